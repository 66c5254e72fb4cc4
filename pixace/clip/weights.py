"""CLIPs with their weights: downloaded by name, or from a folder or a file."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from pixace.checkpoints import WEIGHTS
from pixace.clip.config import ACTIVATIONS, ClipConfig
from pixace.clip.model import Clip
from pixace.clip.naming import recognise
from pixace.clip.tokens import read_pairs
from pixace.clip.trained import load_trained
from pixace.clip.words import WORD_LIST
from pixace.errors import PixaceError
from pixace.folders import expanded
from pixace.weight_files.listing import list_arrays
from pixace.weight_files.stored import about

NAMES = ("clip-vit-b32", "clip-vit-l14", "clip-vit-b32-laion", "clip-rn50", "clip-rn101", "clip-rn50x4")  # in the index
DEFAULT = NAMES[0]
EMBEDDED = Path(__file__).resolve().parent / "models"  # folders of those that are part of the package
SMALL = "emoji-clip"  # is one of these
WORDS = "clip-words"  # there, too: the pairs of those whose weights are one file
VOCABULARY, MERGES = "vocab.json", "merges.txt"
_WEIGHTS = ("model.safetensors", "open_clip_model.safetensors")
_CONFIGS = ("config.json", "open_clip_config.json")


def load_clip(
    source: str | os.PathLike = DEFAULT,
    *,
    dtype: str = "float32",
    offline: bool | None = None,
    say: Callable[[str], None] | None = None,
) -> Clip:
    """A CLIP.

    Args:
        source: one of `NAMES`, downloaded when it is first asked for; emoji-clip, which comes with pixace; a folder
            as `pixace clip train` makes it or as the hub has it; or a file of weights (`.safetensors`, `.pt`,
            `.ckpt`; nothing in it is run). Where no `vocab.json` and `merges.txt` lie beside it, those of OpenAI are
            downloaded when the first text is read.
        dtype: what it computes in, float32 or bfloat16.
        offline: download nothing (default: as the environment says).
        say: takes lines for people (default: printed on standard error).

    Raises:
        PixaceError: there is no such file, it is not a CLIP's, or the download fails.
    """
    path = _find(source, offline, say)
    if path.with_name(WORD_LIST).is_file():
        config, weights, words = load_trained(path.parent)
        return Clip(_placed(weights, dtype), config, words.tokenize, str(source), dtype)
    with about(path):
        config, weights = recognise(list_arrays(path))
    config = replace(config, activation=_activation(path, config))

    def tokenize(texts: list[str]) -> Any:
        files = [path.with_name(name) for name in (VOCABULARY, MERGES)]
        if not any(file.is_file() for file in files):
            from pixace.zoo.download import needed_network

            found = needed_network(WORDS, offline=offline, say=say)
            files = [found[name] for name in (VOCABULARY, MERGES)]
        for file in files:
            if not file.is_file():
                raise PixaceError(f"{file} is missing, which texts need; `pixace download {WORDS}` fetches one")
        return read_pairs(*files, config.text.length)(texts)

    return Clip(_placed(weights, dtype), config, tokenize, str(source), dtype)


def _placed(weights: Any, dtype: str) -> Any:
    """Weights on the device: kernels in `dtype`, what is added and what scales in float32."""
    return jax.tree.map(lambda array: jnp.asarray(array, dtype if array.ndim > 1 else "float32"), weights)


def _find(source: str | os.PathLike, offline: bool | None, say: Callable[[str], None] | None) -> Path:
    """The file of weights that is meant, downloaded if it must be."""
    if source in NAMES:
        from pixace.zoo.download import needed_network

        try:
            files = needed_network(str(source), offline=offline, say=say)
        except PixaceError as error:
            raise PixaceError(f"{error}; {SMALL}, which knows emoji alone, is here already") from None
        return next(path for name, path in files.items() if name in _WEIGHTS or name.endswith(".pt"))
    path = expanded(source)
    if source == SMALL and not path.exists():
        path = EMBEDDED / SMALL
    if path.is_dir():
        names = [WEIGHTS, *_WEIGHTS] if (path / WORD_LIST).is_file() else _WEIGHTS
        inside = [path / name for name in names if (path / name).is_file()]
        if not inside:
            raise PixaceError(f"{path} has none of {', '.join(names)}")
        return inside[0]
    if not path.is_file():
        raise PixaceError(f"there is no CLIP {path}; to download: {', '.join(NAMES)}; with pixace: {SMALL}")
    return path


def _activation(path: Path, config: ClipConfig) -> str:
    """What the file of sizes beside the weights says; OpenAI's own where there is none."""
    for name in _CONFIGS:
        beside = path.with_name(name)
        if beside.is_file():
            try:
                said = json.loads(beside.read_text())
            except (OSError, ValueError) as error:
                raise PixaceError(f"{beside} cannot be read: {error}") from None
            return _said(said) or config.activation
    return config.activation


def _said(document: Any) -> str | None:
    if not isinstance(document, dict):
        return None
    if isinstance(openclip := document.get("model_cfg"), dict):  # OpenCLIP's are exact unless they say otherwise
        return "quick_gelu" if openclip.get("quick_gelu") else "gelu"
    text = document.get("text_config")
    said = text.get("hidden_act") if isinstance(text, dict) else None
    return said if said in ACTIVATIONS else None
