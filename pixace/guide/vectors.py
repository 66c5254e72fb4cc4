"""Numbers of guide files, by themselves and several together.

Constants are computed here, once. What draws random numbers is kept and drawn anew each time, if it may change at all.
"""

import ast
import random as chance
import warnings
from typing import Any

from pixace.errors import ConfigError
from pixace.guide.context import Context
from pixace.guide.expressions import LONGEST, Expression, parse
from pixace.guide.members import Member
from pixace.guide.settings import Number, Vector
from pixace.guide.trying import check, number, shown, try_out
from pixace.guide.variables import EVERYWHERE, GROUPS

_OPENING, _CLOSING = "([{", ")]}"


def read_number(member: Member, raw: Any, context: Context) -> Number:
    """A number, computed if it is constant; raises `ConfigError` if it is none that the member can have."""
    if isinstance(raw, list | tuple) and len(raw) == 1:  # as a list an expression is never split, so some write all so
        raw = raw[0]
    if isinstance(raw, int | float):
        return check(member, raw)
    if not isinstance(raw, str):
        raise ConfigError(f"{shown(raw)} is no number")
    text = raw.strip()
    for kind in (int, float) if member.kind == "int" else (float,):
        try:
            return check(member, kind(text))
        except ValueError:
            continue
    return _computed(member, _expression(member, text, context), context)


def _computed(member: Member, expression: Expression, context: Context) -> Number:
    """The number that an expression is if it is constant, else itself, tried out."""
    varies = bool(expression.names - context.constants.keys())
    if not varies and (not expression.draws or not member.groups):
        return check(member, expression(context.constants, context.random))
    try_out(member, expression, context.moments)
    return expression


def constant(member: Member, text: str, context: Context) -> int | float:
    """The number that a text without variables is, whole if it is written so.

    Raises:
        ConfigError: it is none.
    """
    for kind in (int, float):
        try:
            return number(kind(text))
        except ValueError:
            continue
    return number(_expression(member, text, context)(context.constants, context.random))


def _expression(member: Member, text: str, context: Context) -> Expression:
    allowed = frozenset().union(*(GROUPS[group] for group in member.groups)) | context.constants.keys()
    try:
        return parse(text, allowed)
    except ConfigError:
        if names := _names_elsewhere(text, context) - allowed:
            known = f"those of {' and '.join(member.groups)}" if member.groups else "none, as it is a constant"
            raise ConfigError(
                f"{shown(text)}: {', '.join(sorted(names))} cannot be used here; variables that can: {known}"
            ) from None
        raise


def _names_elsewhere(text: str, context: Context) -> frozenset[str]:
    """The variables of what would be an expression if it could use all; none if it would not be."""
    try:
        return parse(text, EVERYWHERE | context.constants.keys()).names
    except ConfigError:
        return frozenset()


def read_vector(member: Member, raw: Any, context: Context) -> Vector:
    """Numbers from a list, a text or one of them; raises `ConfigError` if they are none that the member can have."""
    if isinstance(raw, list | tuple):
        parts = list(raw)
    elif isinstance(raw, str):
        parts = split(raw)
        if len(parts) == 1 or not all(map(_is_python, parts)):
            return _whole(member, raw, parts, context)
    else:
        parts = [raw]
    return _spread(member, [read_number(member, part, context) for part in _counted(member, parts)])


def _whole(member: Member, text: str, parts: list[str], context: Context) -> Vector:
    """A text that is one expression, of which the value may be a list."""
    if len(parts) > 1 and not _is_python(text):
        broken = next(part for part in parts if not _is_python(part))
        raise ConfigError(f"{shown(broken)} in {shown(text)} is no number or expression; commas part those with spaces")
    try:
        return _spread(member, [read_number(member, text, context)])
    except ConfigError:
        first = _first_value(member, text, context)
        if not isinstance(first, list | tuple):
            raise
    parts = [f"({text})[{i}]" for i in range(len(_counted(member, list(first))))]
    return _spread(member, [read_number(member, part, context) for part in parts])


def _first_value(member: Member, text: str, context: Context) -> Any:
    """The value of an expression in the first epoch, None if it cannot be computed."""
    try:
        return _expression(member, text, context)(context.moments[0.0], chance.Random(0))
    except ConfigError:
        return None


def _counted(member: Member, parts: list[Any]) -> list[Any]:
    if len(parts) != 1 and len(parts) not in member.lengths:
        wanted = " or ".join(map(str, member.lengths))
        raise ConfigError(f"{len(parts)} numbers, where {wanted} are wanted, or 1 for all")
    return parts


def _spread(member: Member, numbers: list[Number]) -> Vector:
    return tuple(numbers) if len(numbers) in member.lengths else (numbers[0],) * member.lengths[0]


def split(text: str) -> list[str]:
    """The parts of a text between its commas, or if it has none between its spaces, outside brackets and quotes."""
    if len(text) > LONGEST:
        return [text]
    parts = {",": [""], " ": [""]}
    depth, quote = 0, ""
    for sign in text.strip():
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "'\"":
            quote = sign
        depth += (sign in _OPENING) - (sign in _CLOSING) if not quote else 0
        for separator, found in parts.items():
            if depth == 0 and not quote and (sign == separator or (separator == " " and sign.isspace())):
                found.append("")
            else:
                found[-1] += sign
    if len(parts[","]) > 1:
        return [part.strip() for part in parts[","]]
    return [part for part in parts[" "] if part] or [""]


def _is_python(text: str) -> bool:
    """Whether a text may be an expression, whatever is in it."""
    if len(text) > LONGEST:
        return True  # what reads it says that it is too long
    try:
        with warnings.catch_warnings(action="ignore"):  # of Python's own, on odd but valid texts
            ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return False
    return True
