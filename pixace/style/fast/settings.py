"""From what was asked for, and what a run's folder says already, to the configuration of the run."""

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pixace.checkpoints import CONFIG, STATES, WEIGHTS
from pixace.errors import ConfigError, PixaceError
from pixace.fields import convert, hints_of, require
from pixace.style.fast.config import FastConfig, FastTraining, TransformConfig
from pixace.style.fast.model import load_config

# These may change when a run goes on; all others would make it another run.
FREE = {"n_steps", "max_minutes", "save_minutes", "keep", "steps_per_sample", "n_samples"}
PATHS = ("images", "network")


def resolve(folder: Path, styles: Sequence[str], given: dict[str, Any]) -> FastConfig:
    """The configuration of the run in `folder`.

    Args:
        folder: the run's, which need not exist.
        styles: the style pictures as they were named; a run that goes on needs none.
        given: only what was asked for, by the names of the fields of `FastTraining` and `TransformConfig`; the rest
            comes from the folder's `config.json`, else from the defaults.

    Raises:
        ConfigError: for unknown names, and for values that contradict the folder's; says both.
        PixaceError: there are no pictures or no style, or the folder holds a network without its `config.json`.
    """
    hints = hints_of(TransformConfig, FastTraining)
    unknown = sorted(set(given) - set(hints) | set(given) & {"n_styles"})
    require(not unknown, f"unknown training options: {', '.join(unknown)}")
    given = {name: convert(hints[name], name, _plain(value)) for name, value in given.items()}
    if (folder / CONFIG).exists():
        try:
            return _continued(folder, load_config(folder), styles, given)
        except ConfigError:
            if _holds_states(folder):
                raise  # else nothing was saved yet: the run may begin anew with other values
    elif _holds_states(folder):
        raise PixaceError(
            f"{folder} holds a network but no {CONFIG}: put that file back, or choose another --model to begin anew"
        )
    training = FastTraining(**_part(given, FastTraining))
    if not styles:
        raise PixaceError("no style: give a picture of it as --style=PICTURE; several make a network of several styles")
    if training.images is None:
        raise PixaceError("no pictures to train on: give a folder or archive of any photographs as --images=FOLDER")
    network = TransformConfig(**_part(given, TransformConfig), n_styles=len(styles))
    return FastConfig(network, training, tuple(styles))


def _plain(value: Any) -> Any:
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def _holds_states(folder: Path) -> bool:
    return (folder / WEIGHTS).exists() or any(entry.name.isdigit() for entry in (folder / STATES).glob("*"))


def _part(given: dict[str, Any], section: type) -> dict[str, Any]:
    return {name: value for name, value in given.items() if name in hints_of(section)}


def _continued(folder: Path, saved: FastConfig, styles: Sequence[str], given: dict[str, Any]) -> FastConfig:
    if styles and not _same_files(saved.styles, styles):
        _refuse(folder, "style", ", ".join(saved.styles), ", ".join(styles))
    for section in (saved.network, saved.training):
        for name, value in _part(given, type(section)).items():
            before = getattr(section, name)
            same = before == value or (name in PATHS and value and before and _same_files([before], [value]))
            if name not in FREE and not same:
                _refuse(folder, name, before, value)
    changes = {name: value for name, value in given.items() if name in FREE}
    return dataclasses.replace(saved, training=dataclasses.replace(saved.training, **changes))


def _same_files(before: Sequence[str], now: Sequence[str]) -> bool:
    return [Path(name).resolve() for name in before] == [Path(name).resolve() for name in now]


def _refuse(folder: Path, name: str, before: Any, now: Any) -> None:
    raise ConfigError(
        f"the run in {folder} was started with --{name}={before}, now it is {now}; "
        "leave the flag out to go on, or choose another --model"
    )
