"""Numbers within their bounds, and expressions tried out with such values as a run has."""

import math
import random as chance
from collections.abc import Mapping
from typing import Any

from pixace.errors import ConfigError
from pixace.guide.expressions import LARGEST, Expression
from pixace.guide.members import Member
from pixace.guide.variables import learnrate_values, resolution_values, similarity_values, time_values

Moments = Mapping[float, Mapping[str, Any]]  # variables by the share of the time
_EDGE, _RATE, _SIMILARITY = 224, 0.01, 25.0


def number(value: Any) -> int | float:
    """A value if it is a number of sensible size, infinity included; raises `ConfigError` if it is none."""
    if not isinstance(value, int | float) or (isinstance(value, float) and math.isnan(value)):
        raise ConfigError(f"{shown(value)} is no number")
    if isinstance(value, int) and abs(value) > LARGEST:
        raise ConfigError(f"{shown(value)} is too large")
    return value


def check(member: Member, value: Any) -> int | float:
    """A number of the member's type and within its bounds; those of whole numbers lose what follows the point.

    Raises:
        ConfigError: it is none.
    """
    if member.kind == "int" and math.isinf(number(value)):
        raise ConfigError(f"{value} is no whole number")
    found = int(value) if member.kind == "int" else float(number(value))
    if member.least is not None and found < member.least:
        raise ConfigError(f"{found} is too small; {member.least:g} is the least")
    if member.most is not None and found > member.most:
        raise ConfigError(f"{found} is too large; {member.most:g} is the most")
    return found


def moments(constants: Mapping[str, float], epochs: int) -> Moments:
    """All variables at the beginning, the middle and the end of a run with otherwise usual settings."""
    usual = {**resolution_values(_EDGE, _EDGE), **learnrate_values(_RATE, 1.0), **similarity_values(_SIMILARITY)}
    return {
        share: {**constants, **usual, **time_values(round(share * (epochs - 1)), epochs)} for share in (0.0, 0.5, 1.0)
    }


def failures(member: Member, expression: Expression, at: Moments) -> dict[float, str]:
    """Why an expression gives no number of the member, by the share of the time; empty if it always does."""
    found = {}
    for share, variables in at.items():
        try:
            check(member, expression(variables, chance.Random(0)))
        except ConfigError as error:
            found[share] = str(error)
    return found


def try_out(member: Member, expression: Expression, at: Moments) -> None:
    """Raise `ConfigError` if an expression gives no number of the member at any time that is tried."""
    found = failures(member, expression, at)
    if len(found) == len(at):
        why = next(iter(found.values()))
        raise ConfigError(why if expression.source in why else f"{expression.source!r} cannot be used: {why}")


def printable(text: str) -> str:
    """A text that a file gives, for people: what would move a terminal's cursor, or end the line, is written out."""
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)


def shown(value: object) -> str:
    """A value for messages."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
