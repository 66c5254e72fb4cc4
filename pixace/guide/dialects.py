"""Every way of writing a guide file as one: what is short becomes mappings, and old names the new ones.

Nothing is judged here: what is wrong stays as it is, for the schema to find.
"""

from collections.abc import Mapping
from typing import Any

from pixace.guide.members import Block
from pixace.guide.table import CONSTRAINT, MODEL, OPTIMIZER, PROCESSING, TRANSFORM
from pixace.guide.vectors import split

OLD_NAMES = {"multiply": "mul"}  # of effects


def unified(document: Mapping[str, Any]) -> dict[str, Any]:
    """A document in the one way: each effect, model and optimiser is a mapping. The original stays as it is."""
    found = dict(document)
    if isinstance(found.get("model"), str) and "models" not in found:
        found["models"] = [{"name": found.pop("model")}]
    if isinstance(found.get("models"), list):
        found["models"] = [spread(MODEL, model) for model in found["models"]]
    if "optimizer" in found:
        found["optimizer"] = spread(OPTIMIZER, found["optimizer"])
    if isinstance(found.get("targets"), list):
        found["targets"] = [_target(target) for target in found["targets"]]
    if "postproc" in found:
        found["postproc"] = _effects(PROCESSING, found["postproc"])
    return found


def _target(target: Any) -> Any:
    if not isinstance(target, Mapping):
        return target
    found = dict(target)
    for name, entry in (("transforms", TRANSFORM), ("constraints", CONSTRAINT)):
        if name in found:
            found[name] = _effects(entry, found[name])
    return found


def _effects(entry: Block, entries: Any) -> Any:
    if not isinstance(entries, list):
        return entries
    return [_entry(entry, given) if isinstance(given, Mapping) else given for given in entries]


def _entry(entry: Block, given: Mapping[str, Any]) -> dict[str, Any]:
    found = {}
    for key, value in given.items():
        name = OLD_NAMES.get(key, key)
        member = entry.member(name)
        found[name] = spread(member.block, value) if member and member.block else value
    return found


def spread(block: Block, value: Any) -> Any:
    """A block's value as a mapping: one without is its first member, or the first ones if it has as many parts."""
    if isinstance(value, Mapping):
        renamed = block.alias in value and "value" not in value
        return {"value" if renamed and key == block.alias else key: given for key, given in value.items()}
    if value is None or not block.bare:
        return value
    parts = split(value) if isinstance(value, str) else value if isinstance(value, list) else [value]
    if len(parts) == len(block.bare) > 1:
        return dict(zip(block.bare, parts, strict=True))
    return {block.bare[0]: value}
