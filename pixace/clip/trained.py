"""The folder of a CLIP that `pixace clip train` made: `config.json`, `weights.safetensors` and `words.json`."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pixace.checkpoints import CONFIG, WEIGHTS, library_versions, read_config
from pixace.clip.config import ClipConfig
from pixace.clip.model import clip_shapes
from pixace.clip.training.config import TrainedClip, from_json, to_json
from pixace.clip.words import WORD_LIST, Words, load_words
from pixace.errors import PixaceError
from pixace.folders import write_atomically
from pixace.weight_files.listing import list_arrays
from pixace.weight_files.stored import about


def load_trained(folder: Path) -> tuple[ClipConfig, Any, Words]:
    """The sizes, the weights, as they are stored, and the words of a CLIP.

    Raises:
        ConfigError, PixaceError: a file of it is missing, damaged or of another network.
    """
    network = load_config(folder).network
    words = load_words(folder / WORD_LIST)
    if words.length > network.text_length:
        raise PixaceError(
            f"{folder / WORD_LIST} is of another network than {CONFIG}: its texts have {words.length} tokens"
        )
    config = network.clip(words.size)
    file = folder / WEIGHTS
    if not file.is_file():
        raise PixaceError(f"{file} is missing: the CLIP has no weights yet; go on with `pixace clip train`")
    shapes, tree = jax.tree_util.tree_flatten_with_path(clip_shapes(config), is_leaf=lambda x: isinstance(x, tuple))
    leaves = []
    with about(file):
        arrays = list_arrays(file)
        for path, shape in shapes:
            name = _name(path)
            has = arrays[name].shape if name in arrays else "nothing"
            if has != shape:
                raise PixaceError(
                    f"it is of another network than {CONFIG} and {WORD_LIST}: {name} is {has}, not {shape}"
                )
            leaves.append(arrays[name].read())
    return config, tree.unflatten(leaves), words


def load_config(folder: Path) -> TrainedClip:
    """Read `config.json`; raises `ConfigError` naming what is wrong in it."""
    return read_config(folder, from_json)


def save_config(folder: Path, config: TrainedClip) -> None:
    """Write `config.json`."""
    write_atomically(folder / CONFIG, lambda path: path.write_text(to_json(config, library_versions())))


def save_weights(folder: Path, weights: Any, step: int, dtype: str = "float32") -> None:
    """Write `weights.safetensors`; the old file stands until the new one is whole."""
    from safetensors.numpy import save

    leaves = jax.tree_util.tree_flatten_with_path(weights)[0]
    arrays = {_name(path): np.asarray(jnp.asarray(leaf, dtype)) for path, leaf in leaves}
    data = save(arrays, {"step": str(step)})
    write_atomically(folder / WEIGHTS, lambda path: path.write_bytes(data))


def _name(path: Any) -> str:
    return jax.tree_util.keystr(path, simple=True, separator=".")
