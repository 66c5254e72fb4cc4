"""What a run that goes on may be asked for: fields of its configuration, against what its folder says."""

import dataclasses
import os
from collections.abc import Callable, Collection, Sequence, Set
from pathlib import Path
from typing import Any, TypeVar

from pixace.checkpoints import CONFIG, STATES, WEIGHTS
from pixace.errors import ConfigError, PixaceError
from pixace.fields import convert, hints_of, require

# These may change when a run goes on; all others would make it another run.
FREE = {"n_steps", "max_minutes", "save_minutes", "keep", "steps_per_sample", "n_samples"}

Section = TypeVar("Section")
Config = TypeVar("Config")


def typed(given: dict[str, Any], *sections: type, but: Set[str] = frozenset()) -> dict[str, Any]:
    """What was given for the fields of configuration classes, as values of their types.

    Raises:
        ConfigError: there is no such field, or it is one of `but`; or the value is of another type.
    """
    hints = hints_of(*sections)
    unknown = sorted(set(given) - set(hints) | set(given) & but)
    require(not unknown, f"unknown training options: {', '.join(unknown)}")
    return {name: convert(hints[name], name, _plain(value)) for name, value in given.items()}


def in_folder(folder: Path, load: Callable[[], Config]) -> Config | None:
    """What `load` makes of the run in a folder, or None where a run may begin.

    Raises:
        ConfigError: of `load`, unless nothing was saved yet: then the run may begin anew with other values.
        PixaceError: the folder holds a network without its `config.json`.
    """
    if (folder / CONFIG).exists():
        try:
            return load()
        except ConfigError:
            if _holds_states(folder):
                raise
    elif _holds_states(folder):
        raise PixaceError(
            f"{folder} holds a network but no {CONFIG}: put that file back, or choose another --model to begin anew"
        )
    return None


def go_on(folder: Path, saved: Section, given: dict[str, Any], free: Set[str], paths: Collection[str] = ()) -> Section:
    """A section of the configuration of a run that goes on: as it was saved, but for what may change.

    Args:
        folder: the run's.
        saved: what `config.json` says.
        given: what was asked for; fields of other sections are left alone.
        free: names of the fields that may change.
        paths: names of those that are the same where they lead to the same file.

    Raises:
        ConfigError: another field was to change; says both values.
    """
    own = part(given, type(saved))
    for name, value in own.items():
        before = getattr(saved, name)
        same = before == value or (name in paths and value and before and same_files([before], [value]))
        if name not in free and not same:
            refuse(folder, name, before, value)
    return dataclasses.replace(saved, **{name: value for name, value in own.items() if name in free})  # type: ignore[type-var]


def part(given: dict[str, Any], section: type) -> dict[str, Any]:
    """What was given for one configuration class."""
    return {name: value for name, value in given.items() if name in hints_of(section)}


def same_files(before: Sequence[str], now: Sequence[str]) -> bool:
    """Whether two lists of paths lead to the same files, in the same order."""
    return [Path(name).resolve() for name in before] == [Path(name).resolve() for name in now]


def _plain(value: Any) -> Any:
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def _holds_states(folder: Path) -> bool:
    return (folder / WEIGHTS).exists() or any(entry.name.isdigit() for entry in (folder / STATES).glob("*"))


def refuse(folder: Path, name: str, before: Any, now: Any) -> None:
    """Raise the `ConfigError` of a run that goes on and was asked for another value; it says both."""
    raise ConfigError(
        f"the run in {folder} was started with --{name}={before}, now it is {now}; "
        "leave the flag out to go on, or choose another --model"
    )
