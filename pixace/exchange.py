"""Models from and for elsewhere: Trax's checkpoints, and a whole model in one safetensors file.

`find_model` is what drawing, training from given weights and both commands have in common: it takes whatever may
stand where a model is asked for.
"""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from pixace.checkpoints import (
    CONFIG,
    STATES,
    WEIGHTS,
    library_versions,
    load_config,
    load_weights,
    load_weights_file,
    portable_config,
    save_config,
    save_portable,
    save_weights,
    weights_step,
)
from pixace.config import ModelConfig, ModelOptions, RunConfig, TokenizerConfig, TrainConfig, check_agrees
from pixace.config_file import from_json, to_json
from pixace.errors import ConfigError, PixaceError
from pixace.fields import convert, hints_of
from pixace.folders import ENDINGS, expanded, model_folder
from pixace.models.spec import Parameters
from pixace.models.trax import config_from_trax, parameters_from_trax, trax_from_parameters
from pixace.trax_files import arrays_beside, read_trax, trax_file, write_trax

Say = Callable[[str], None]
HINTS = ("model_type", "n_heads", "image_size", "bitdepth")  # what may be told of a Trax checkpoint
_TYPES = hints_of(TokenizerConfig, ModelConfig, ModelOptions, TrainConfig)


@dataclass(frozen=True)
class Found:
    """A model that was found: its configuration, the folder or file it is in, and how to load it."""

    config: RunConfig
    path: Path
    load: Callable[[], tuple[Parameters, int]]
    """Float32 weights and the training step they are of; raises `PixaceError` if they cannot be read."""


def find_model(
    name_or_path: str | os.PathLike,
    weights_dir: str | os.PathLike | None = "model-weights",
    given: Mapping[str, Any] | None = None,
    *,
    numbers_too: bool = True,
    any_size: bool = False,
    say: Say | None = None,
) -> Found:
    """Find a model: a name in `weights_dir`, its folder, its weights file, an exported file or a Trax checkpoint.

    Args:
        name_or_path: which model.
        weights_dir: where names are looked for; None if a path is meant.
        given: what must hold of it, by names of configuration fields; None values say nothing. Of a Trax
            checkpoint they tell what its arrays do not.
        numbers_too: whether `dropout` and `dtype` must agree as well.
        any_size: whether `image_size` may be another than the model's own, if its weights do not depend on it: then
            that is the size of what is found.
        say: takes lines about what was guessed (default: printed on standard error).

    Raises:
        ConfigError: where something given contradicts the model; says both values.
        PixaceError: if there is no such model or it cannot be read.
    """
    path, given = Path(name_or_path), dict(given or {})
    for name in HINTS:
        if given.get(name) is not None:
            given[name] = convert(_TYPES[name], name, given[name])
    if unknown := given.keys() - _TYPES.keys():
        raise ConfigError(f"nothing is known of a model by the name of {', '.join(sorted(unknown))}")
    if weights_dir is None and not path.exists():
        raise PixaceError(f"there is no {path}; --checkpoint takes the folder of a model, or a file of weights")
    if (checkpoint := trax_file(path, weights_dir)) is not None:
        found = _in_trax(checkpoint, given, say or partial(print, file=sys.stderr, flush=True))
    elif path.suffix == ENDINGS["safetensors"] and path.is_file() and not _in_folder(path):
        config, step = portable_config(path)
        found = Found(config, path, lambda: (load_weights_file(path, config.model, "its metadata"), step))
    else:
        found = _in_own_folder(path.parent if _in_folder(path) else path, weights_dir)
    if any_size and given.get("image_size"):
        found = replace(found, config=found.config.at_size(given["image_size"]))
    check_agrees(found.config, given, f"the model in {found.path}", numbers_too)
    return found


def _in_folder(path: Path) -> bool:
    """Whether this is the weights file of a model's folder."""
    return path.name == WEIGHTS and (path.parent / CONFIG).is_file()


def _in_own_folder(path: Path, weights_dir: str | os.PathLike | None) -> Found:
    folder = model_folder(path) if weights_dir is None else model_folder(path, weights_dir)
    config = load_config(folder)
    return Found(config, folder, lambda: (load_weights(folder, config.model), weights_step(folder)))


def _in_trax(path: Path, given: Mapping[str, Any], say: Say) -> Found:
    file = read_trax(path)
    try:
        if file.config is not None:  # we wrote it
            config, guesses = from_json(file.config, "its configuration"), []
        else:
            hints = {name: given.get(name) for name in HINTS}
            config, guesses = config_from_trax(file.weights, length=file.length, **hints)
    except PixaceError as error:
        raise type(error)(f"{path}: {error}") from None
    for guess in guesses:
        say(f"{path}: {guess}")

    def load() -> tuple[Parameters, int]:
        try:
            return parameters_from_trax(file.weights, config.model), file.step
        except PixaceError as error:
            raise PixaceError(f"{path}: {error}") from None

    return Found(config, path, load)


def import_model(
    checkpoint: str | os.PathLike,
    model_name: str,
    weights_dir: str | os.PathLike = "model-weights",
    *,
    model_type: str | None = None,
    n_heads: int | None = None,
    image_size: int | None = None,
    bitdepth: Sequence[int] | None = None,
    say: Say | None = None,
) -> Path:
    """Make a model's folder of a Trax checkpoint or an exported file; returns the folder.

    Args:
        checkpoint: the `.pkl.gz` or `.safetensors` file.
        model_name: name of the new folder in `weights_dir`.
        model_type, n_heads, image_size, bitdepth: what the file does not say; None to find or guess it.
        say: takes lines for people (default: printed on standard error).

    Raises:
        ConfigError: where something given contradicts the file; says both values.
        PixaceError: if the file cannot be read, or there is such a model already.
    """
    if Path(model_name).name != model_name or model_name in ("", ".", ".."):
        raise ConfigError(f"--model_name={model_name!r} must be a plain name; its folder lies in --weights_dir")
    folder = Path(weights_dir) / model_name
    for name in (CONFIG, WEIGHTS, STATES):
        if (folder / name).exists():
            raise PixaceError(f"{folder} holds a model already; choose another --model_name")
    given = {"model_type": model_type, "n_heads": n_heads, "image_size": image_size, "bitdepth": bitdepth}
    found = find_model(checkpoint, None, given, say=say)
    parameters, step = found.load()
    with _or_nothing([folder / WEIGHTS]):
        save_weights(folder, parameters, step)
        save_config(folder, replace(found.config, training=None))  # last: a folder with it is a whole model
    return folder


def export_model(
    name_or_path: str | os.PathLike,
    out: str | os.PathLike,
    format: str = "safetensors",
    weights_dir: str | os.PathLike | None = "model-weights",
    *,
    say: Say | None = None,
) -> list[Path]:
    """Write a model for use elsewhere; returns the files.

    Args:
        name_or_path: a name in `weights_dir`, or a path.
        out: the file to write: `.safetensors`, or `.pkl.gz` for Trax, which gets `.weights.npy.gz` beside it.
        format: `safetensors`, one file with the configuration in its metadata, which this package loads; or
            `trax`, the two files of Trax 1.4.1.
        weights_dir: None if `name_or_path` is a path.
        say: takes lines for people (default: printed on standard error).

    Raises:
        ConfigError: for another format, or a name that does not end as it must.
        PixaceError: if the model cannot be read, is none that Trax knows, or the files are there already.
    """
    out = expanded(out)
    if format not in ENDINGS:
        raise ConfigError(f"--format={format} is not known; choose one of {', '.join(ENDINGS)}")
    ending = ENDINGS[format]
    if not out.name.endswith(ending) or out.name == ending:
        raise ConfigError(f"--out={out}: the name must end with {ending}, as --format={format} has it")
    files = [out] if format == "safetensors" else [out, arrays_beside(out)]
    for file in files:
        if file.exists():
            raise PixaceError(f"{file} exists already; remove it, or choose another --out")
    found = find_model(name_or_path, weights_dir, say=say)
    parameters, step = found.load()
    config = replace(found.config, training=None)
    if format == "safetensors":
        with _or_nothing(files):
            save_portable(out, config, parameters, step)
    else:
        arrays = trax_from_parameters(parameters, config.model)
        with _or_nothing(files):
            write_trax(out, arrays, step, to_json(config, library_versions()))
    return files


@contextlib.contextmanager
def _or_nothing(files: Sequence[Path]) -> Iterator[None]:
    """If what is done within fails, none of these new files stays, nor their folder if it is new."""
    folder = files[0].parent
    existed = folder.exists()
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):
            for file in files:
                file.unlink(missing_ok=True)
            if not existed:
                folder.rmdir()
        raise
