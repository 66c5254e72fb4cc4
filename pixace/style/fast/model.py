"""A trained network in its folder: `config.json` and `weights.safetensors`."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from pixace.checkpoints import CONFIG, WEIGHTS, library_versions, read_config
from pixace.errors import PixaceError
from pixace.folders import model_folder, write_atomically
from pixace.style.fast.config import FastConfig, from_json, to_json
from pixace.style.fast.network import Weights, weight_table

STYLE_MODELS = "style-models"  # the folder that holds them where none is named


@dataclass(frozen=True)
class FastModel:
    """A network that is ready to be applied.

    Attributes:
        name: the name of its folder.
        weights: those of `config.network`.
        config: all that is known of it.
    """

    name: str
    weights: Weights
    config: FastConfig


def load_model(name_or_path: str | os.PathLike, weights_dir: str | os.PathLike = STYLE_MODELS) -> FastModel:
    """The network in WEIGHTS_DIR/NAME, or in the folder of that path.

    Raises:
        ConfigError, PixaceError: there is none, or it is damaged or of another kind; one line says which and where.
    """
    folder = model_folder(name_or_path, weights_dir)
    config = load_config(folder)
    return FastModel(folder.resolve().name, load_weights(folder, config), config)


def load_config(folder: Path) -> FastConfig:
    """Read `config.json`; raises `ConfigError` naming what is wrong in it."""
    return read_config(folder, from_json)


def save_config(folder: Path, config: FastConfig) -> None:
    """Write `config.json`."""
    write_atomically(folder / CONFIG, lambda path: path.write_text(to_json(config, library_versions())))


def save_weights(folder: Path, weights: Weights, step: int) -> None:
    """Write `weights.safetensors`; the old file stands until the new one is whole."""
    data = save({name: np.asarray(array) for name, array in weights.items()}, {"step": str(step)})
    write_atomically(folder / WEIGHTS, lambda path: path.write_bytes(data))


def load_weights(folder: Path, config: FastConfig) -> Weights:
    """Read `weights.safetensors`; raises `PixaceError` if it is missing, damaged or of another network."""
    shapes = {name: weight.shape for name, weight in weight_table(config.network).items()}
    return read_weights(folder, shapes, "pixace style train")


def read_weights(folder: Path, shapes: Mapping[str, tuple[int, ...]], command: str) -> Weights:
    """Read `weights.safetensors` with weights of these shapes, by name, float32; `command` trains such networks.

    Raises:
        PixaceError: the file is missing, damaged or of another network.
    """
    file = folder / WEIGHTS
    if not file.exists():
        raise PixaceError(f"{file} is missing: the network has no weights yet; go on with `{command}`")
    try:
        with safe_open(file, framework="numpy") as opened:
            found = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError) as error:
        raise PixaceError(f"{file} is damaged ({error}); copy or train the network again") from None
    for name in sorted(found.keys() | shapes.keys()):
        has = found[name].shape if name in found else "nothing"
        needed = shapes.get(name, "nothing")
        if has != needed:
            raise PixaceError(f"{file} is of another network than {CONFIG}: {name} is {has}, not {needed}")
    return {name: jnp.asarray(found[name], jnp.float32) for name in shapes}
