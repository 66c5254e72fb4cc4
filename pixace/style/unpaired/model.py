"""Trained networks for unpaired translation in their folder: `config.json` and `weights.safetensors`."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp

from pixace.checkpoints import CONFIG, library_versions, read_config
from pixace.folders import model_folder, write_atomically
from pixace.progress import Progress, silent
from pixace.style.fast.apply import Applied, redraw_files
from pixace.style.fast.model import STYLE_MODELS, read_weights, save_weights
from pixace.style.fast.network import Weights
from pixace.style.unpaired.config import KIND, UnpairedConfig, UnpairedNetworks, from_json, to_json
from pixace.style.unpaired.generator import generate, generator_shapes


@dataclass(frozen=True)
class UnpairedModel:
    """Generators that are ready to be applied.

    Attributes:
        name: the name of their folder.
        generators: the weights of `ab` and of `ba`.
        config: all that is known of them.
    """

    name: str
    generators: dict[str, Weights]
    config: UnpairedConfig


def is_unpaired(name_or_path: str | os.PathLike, weights_dir: str | os.PathLike = STYLE_MODELS) -> bool:
    """Whether a model is one of unpaired translation; raises `PixaceError` if there is none of that name."""
    try:
        found = json.loads((model_folder(name_or_path, weights_dir) / CONFIG).read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(found, dict) and found.get("kind") == KIND


def load_unpaired(name_or_path: str | os.PathLike, weights_dir: str | os.PathLike = STYLE_MODELS) -> UnpairedModel:
    """The networks in WEIGHTS_DIR/NAME, or in the folder of that path.

    Raises:
        ConfigError, PixaceError: there are none, or they are damaged or of another kind; one line says which.
    """
    folder = model_folder(name_or_path, weights_dir)
    config = load_config(folder)
    shapes = {
        f"{way}.{name}": shape for way in ("ab", "ba") for name, shape in generator_shapes(config.network).items()
    }
    found = read_weights(folder, shapes, "pixace style unpaired")
    generators = {way: {name[3:]: found[name] for name in shapes if name.startswith(way)} for way in ("ab", "ba")}
    return UnpairedModel(folder.resolve().name, generators, config)


def load_config(folder: Path) -> UnpairedConfig:
    """Read `config.json`; raises `ConfigError` naming what is wrong in it."""
    return read_config(folder, from_json)


def save_config(folder: Path, config: UnpairedConfig) -> None:
    """Write `config.json`."""
    write_atomically(folder / CONFIG, lambda path: path.write_text(to_json(config, library_versions())))


def save_generators(folder: Path, generators: dict[str, Weights], step: int) -> None:
    """Write `weights.safetensors`; the old file stands until the new one is whole."""
    named = {f"{way}.{name}": weight for way, weights in generators.items() for name, weight in weights.items()}
    save_weights(folder, named, step)


def apply_unpaired(
    model: UnpairedModel,
    sources: Sequence[str | os.PathLike],
    out_dir: str | os.PathLike,
    *,
    backward: bool = False,
    image_size: int | None = None,
    batch_size: int = 4,
    format: str | None = None,
    progress: Progress = silent,
) -> Applied:
    """Make pictures of B from those of A, or with `backward` of A from those of B; the rest is as in `apply_style`."""
    weights = model.generators["ba" if backward else "ab"]
    return redraw_files(
        lambda pictures: translate(weights, model.config.network, pictures),
        sources,
        out_dir,
        name=model.name,
        metadata={"Software": "pixace", "model": model.name, "way": "B to A" if backward else "A to B"},
        image_size=image_size,
        batch_size=batch_size,
        format=format,
        progress=progress,
    )


@partial(jax.jit, static_argnums=1)
def translate(weights: Weights, config: UnpairedNetworks, pictures: jax.Array) -> jax.Array:
    """uint8 (B, H, W, 3) from uint8 (B, H, W, 3), by one generator."""
    found = generate(weights, config, pictures.astype(jnp.float32) / 127.5 - 1)
    return jnp.round(127.5 * (found + 1)).astype(jnp.uint8)
