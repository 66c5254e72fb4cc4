"""Expressions of a similarity, computed inside a compiled step: for each view another value, known only there.

The same walk as `expressions`, with JAX's functions where a value is traced: both branches of a condition are computed
and one is chosen. What follows from numbers that are known outside stays Python's.
"""

import ast
import random as chance
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from pixace.errors import ConfigError
from pixace.guide.expressions import Expression, Value, Walk

_OPERATIONS: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: jnp.add,
    ast.Sub: jnp.subtract,
    ast.Mult: jnp.multiply,
    ast.Div: jnp.divide,
    ast.FloorDiv: jnp.floor_divide,
    ast.Mod: jnp.mod,
    ast.Pow: jnp.power,
}
_COMPARISONS: dict[type, Callable[[Any, Any], Any]] = {
    ast.Lt: jnp.less,
    ast.LtE: jnp.less_equal,
    ast.Gt: jnp.greater,
    ast.GtE: jnp.greater_equal,
    ast.Eq: jnp.equal,
    ast.NotEq: jnp.not_equal,
}


def _least(*given: Any) -> jax.Array:
    return _folded(jnp.minimum, given)


def _largest(*given: Any) -> jax.Array:
    return _folded(jnp.maximum, given)


def _folded(pick: Callable[[Any, Any], jax.Array], given: tuple[Any, ...]) -> jax.Array:
    first, *others = given[0] if len(given) == 1 else given
    for other in others:
        first = pick(first, other)
    return jnp.asarray(first)


def _round(value: Any, digits: int = 0) -> jax.Array:
    if abs(digits) > 30:
        raise ValueError("round keeps up to 30 digits")
    return jnp.round(value, digits)


def _smoothstep(low: Any, high: Any, value: Any) -> jax.Array:
    share = jnp.clip((value - low) / (high - low), 0, 1)
    return share * share * (3 - 2 * share)


_SAME = (
    *("sin", "cos", "tan", "sinh", "cosh", "tanh", "exp", "expm1", "log", "log2", "log10", "log1p", "sqrt", "floor"),
    *("ceil", "trunc", "fabs", "fmod", "hypot", "degrees", "radians", "power", "copysign", "isnan", "isinf"),
)
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{name: getattr(jnp, name) for name in _SAME},
    **{name: getattr(jnp, "arc" + name[1:]) for name in ("asin", "acos", "atan", "asinh", "acosh", "atanh", "atan2")},
    "abs": jnp.abs,
    "pow": jnp.power,
    "min": _least,
    "max": _largest,
    "clip": jnp.clip,
    "int": jnp.trunc,
    "round": _round,
    "float": lambda value: value,
    "bool": lambda value: value != 0,
    "erf": jax.scipy.special.erf,
    "erfc": jax.scipy.special.erfc,
    "lerp": lambda start, end, share: start + (end - start) * share,
    "smoothstep": _smoothstep,
    "sin01": lambda turns: 0.5 - 0.5 * jnp.cos(2 * jnp.pi * turns),
}


def trace(expression: Expression, variables: Mapping[str, Value]) -> jax.Array:
    """The value of an expression, float32 (), of which variables may be traced.

    Args:
        expression: one that draws no random numbers.
        variables: a value for each of its names, or a function of numbers.

    Raises:
        ConfigError: it does something with a traced value that cannot be compiled.
    """
    try:
        value = _TracedWalk(variables, chance.Random(0)).value(expression.tree)
        return jnp.asarray(value, jnp.float32)
    except (ArithmeticError, ValueError, TypeError, LookupError, AttributeError) as error:
        raise ConfigError(f"{expression.source!r} cannot be computed with a similarity: {error!s:.200}") from None


class _TracedWalk(Walk):
    """An evaluation of which some values are traced."""

    def computed(self, operation: ast.operator, left: Value, right: Value) -> Value:
        if not (_traced(left) or _traced(right)):
            return super().computed(operation, left, right)
        if type(operation) not in _OPERATIONS:
            raise ValueError(f"{type(operation).__name__} is for whole numbers")
        return _OPERATIONS[type(operation)](left, right)

    def _UnaryOp(self, node: ast.UnaryOp) -> Value:
        value = self.value(node.operand)
        if not _traced(value):
            return super()._UnaryOp(node)
        if isinstance(node.op, ast.Not):
            return jnp.logical_not(value)
        if isinstance(node.op, ast.Invert):
            raise ValueError("~ is for whole numbers")
        return -value if isinstance(node.op, ast.USub) else value

    def _BoolOp(self, node: ast.BoolOp) -> Value:
        found = self.value(node.values[0])
        for part in node.values[1:]:
            decided = isinstance(node.op, ast.Or)
            if not _traced(found):
                found = found if bool(found) == decided else self.value(part)
            else:
                holds = found != 0
                other = self.value(part)
                found = jnp.where(holds, found, other) if decided else jnp.where(holds, other, found)
        return found

    def _Compare(self, node: ast.Compare) -> Value:
        values = [self.value(part) for part in (node.left, *node.comparators)]
        if not any(map(_traced, values)):
            return super()._Compare(node)
        found: Any = True
        for kind, left, right in zip(node.ops, values, values[1:], strict=False):
            if type(kind) not in _COMPARISONS:
                raise ValueError("`in` looks for numbers that are known")
            found = jnp.logical_and(found, _COMPARISONS[type(kind)](left, right))
        return found

    def _IfExp(self, node: ast.IfExp) -> Value:
        test = self.value(node.test)
        if not _traced(test):
            return self.value(node.body if test else node.orelse)
        return jnp.where(test != 0, self.value(node.body), self.value(node.orelse))

    def _Call(self, node: ast.Call) -> Value:
        given = [self.value(argument) for argument in node.args]
        if not any(map(_holds_traced, given)):
            return super()._Call(node)
        if isinstance(node.func, ast.Attribute):
            found = given[1] if len(given) > 1 else 0.0
            for key, value in self.value(node.func.value).items():
                found = jnp.where(given[0] == key, value, found)
            return found
        name = ast.unparse(node.func)
        if name in self.variables:
            return self.variables[name](*given)
        if name not in _FUNCTIONS:
            raise ValueError(f"{name} is for numbers that are known before a view is seen")
        return _FUNCTIONS[name](*given)

    def _Subscript(self, node: ast.Subscript) -> Value:
        group, index = self.value(node.value), self.value(node.slice)
        return jnp.asarray(group)[jnp.trunc(index).astype(int)] if _traced(index) else group[index]


def _traced(value: Value) -> bool:
    return isinstance(value, jax.Array)


def _holds_traced(value: Value) -> bool:
    return any(map(_traced, value)) if isinstance(value, list | tuple) else _traced(value)
