"""The constants that a guide file names for its expressions."""

import random as chance
from collections.abc import Mapping
from keyword import iskeyword
from typing import Any

from pixace.errors import ConfigError
from pixace.guide.expressions import CONSTANTS, FUNCTIONS, RANDOM, parse
from pixace.guide.trying import number, shown
from pixace.guide.variables import EVERYWHERE

_TAKEN = EVERYWHERE | FUNCTIONS.keys() | CONSTANTS.keys() | set(RANDOM)


def read_constants(raw: Any, known: Mapping[str, float] | None = None) -> dict[str, float]:
    """The constants of a `vars` block, and those `known` already; each may be computed from those before it.

    Raises:
        ConfigError: one is no number, or has a name that means something else.
    """
    if not isinstance(raw, Mapping):
        raise ConfigError(f"{shown(raw)} is no mapping of names to constants")
    found = dict(known or {})
    for name, value in raw.items():
        try:
            found[name] = _constant(name, value, found)
        except ConfigError as error:
            raise ConfigError(f"{name:.60}: {error}") from None
    return found


def _constant(name: str, value: Any, known: Mapping[str, float]) -> int | float:
    if name in _TAKEN:
        raise ConfigError("it is a name of expressions already")
    if not name.isidentifier() or iskeyword(name):
        raise ConfigError("it is no name; one has letters, digits and _")
    if not isinstance(value, str):
        return number(value)
    expression = parse(value, set(known))
    if expression.draws:
        raise ConfigError("a constant cannot be random")
    return number(expression(known, chance.Random(0)))
