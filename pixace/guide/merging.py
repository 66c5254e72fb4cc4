"""Several guide files as one, and what the command line changes in them."""

import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from pixace.errors import ConfigError
from pixace.guide.dialects import unified
from pixace.guide.documents import parse_value
from pixace.guide.schema import Place, path_of
from pixace.guide.table import TARGET

JOINED = ("targets", "postproc", "features", "transforms", "constraints")  # lists that follow each other
_PART = re.compile(r"([^.\[\]]+)|\[(\d+)\]")
_PATH = re.compile(r"[^.\[\]]+(?:\[\d+\]|\.[^.\[\]]+)*")


def merge(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Two documents of one way as one, in which the second wins.

    Mappings are merged key by key. Of targets, effects and features those of the second follow those of the first,
    but targets that share a name, other than the usual one, are merged. All else is replaced, sizes and colours, too.
    """
    found = dict(first)
    for key, value in second.items():
        before = found.get(key)
        if isinstance(before, Mapping) and isinstance(value, Mapping):
            found[key] = merge(before, value)
        elif key in JOINED and isinstance(before, list) and isinstance(value, list):
            found[key] = _targets(before, value) if key == "targets" else [*before, *value]
        else:
            found[key] = value
    return found


def _targets(first: list[Any], second: list[Any]) -> list[Any]:
    usual = next(member.default for member in TARGET.members if member.name == "name")
    found = list(first)
    for target in second:
        name = target.get("name", usual) if isinstance(target, Mapping) else usual
        same = [
            i
            for i, other in enumerate(found)
            if name != usual and isinstance(other, Mapping) and other.get("name", usual) == name
        ]
        if same:
            found[same[0]] = merge(found[same[0]], target)
        else:
            found.append(target)
    return found


def override(document: Mapping[str, Any], path: str, text: str) -> dict[str, Any]:
    """A document of one way in which one value is another.

    Args:
        document: what files say.
        path: such as `epochs`, `init.mean`, `targets[0].batch_size`; a target may be named: `targets.sky.weight`.
        text: the value, as YAML has it; a list, a mapping or quotes where it begins like one, else one value.

    Raises:
        ConfigError: there is nothing at the path.
    """
    if not _PATH.fullmatch(path):
        raise ConfigError(f"{path!r} is no path; one looks like epochs, init.mean or targets[0].batch_size")
    parts = [name or int(index) for name, index in _PART.findall(path)]
    value = parse_value(text)
    if parts == ["model"]:
        parts, value = ["models"], [{"name": text}]
    if parts[-1] == "text":
        value = text
    return unified(_placed(document, parts, value, ()))


def _placed(holder: Any, parts: list[str | int], value: Any, place: Place) -> Any:
    if not parts:
        return value
    part, *others = parts
    if isinstance(holder, list):
        index = part if isinstance(part, int) else _named(holder, part, place)
        if index >= len(holder):
            raise ConfigError(f"{path_of((*place, index))} is not there; {path_of(place)} has {len(holder)} entries")
        changed = _placed(holder[index], others, value, (*place, index))
        return [*holder[:index], changed, *holder[index + 1 :]]
    if isinstance(part, int) or not isinstance(holder, Mapping):
        raise ConfigError(f"{path_of((*place, part))} is not there: {path_of(place) or 'the file'} has no such part")
    return {**holder, part: _placed(holder.get(part, {}), others, value, (*place, part))}


def _named(targets: list[Any], name: str, place: Place) -> int:
    names = [str(target.get("name", "")) if isinstance(target, Mapping) else "" for target in targets]
    if name in names:
        return names.index(name)
    near = get_close_matches(name, names, 1)
    hint = f"; {near[0]} is" if near else ""
    raise ConfigError(f"{path_of((*place, name))}: nothing is named {name!r} there{hint}")
