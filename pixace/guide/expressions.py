"""Expressions of time in guide files: the part of Python that computes, safe in files from strangers.

Text becomes Python's syntax tree, of which every node must be of a listed kind, and the tree is then walked with
values. Python's own `eval` is never asked. There is no loop, no attribute but a table's `get`, and no call but of the
listed functions; length, nodes and the size of numbers are bounded, so that an evaluation ends within a millisecond.
"""

import ast
import math
import operator
import random as chance
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from pixace.errors import ConfigError

LONGEST = 2000  # characters
MOST_NODES, DEEPEST = 400, 60
LARGEST = 2**64  # of whole numbers; what is larger is no sensible size or count

Value = Any  # a number, a truth value, a text, or a list, tuple or dictionary of such

_BINARY: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
    ast.BitXor: operator.xor,
    ast.RShift: operator.rshift,
}
_COMPARISONS: dict[type, Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.In: lambda value, group: value in group,
    ast.NotIn: lambda value, group: value not in group,
}
_UNARY: dict[type, Callable[[Any], Any]] = {
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
    ast.Not: operator.not_,
    ast.Invert: operator.invert,
}
_ALLOWED: tuple[type, ...] = (
    *(ast.Expression, ast.Constant, ast.Name, ast.Load, ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.And, ast.Or),
    *(ast.Compare, ast.IfExp, ast.Call, ast.Subscript, ast.Slice, ast.List, ast.Tuple, ast.Dict, ast.Attribute),
    *(ast.Pow, ast.LShift, *_BINARY, *_COMPARISONS, *_UNARY),
)


def _small(function: Callable[..., int], most: int) -> Callable[..., int]:
    """A function of whole numbers whose result grows without bounds, for numbers up to `most`."""

    def bounded(*numbers: int) -> int:
        if any(abs(number) > most for number in numbers):
            raise ValueError(f"takes numbers up to {most}")
        return function(*numbers)

    return bounded


def _round(value: float, digits: int | None = None) -> float:
    if digits is not None and abs(digits) > 30:  # Python computes that power of 10, however long it takes
        raise ValueError("round keeps up to 30 digits")
    return round(value, digits)


def _clip(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)


def _smoothstep(low: float, high: float, value: float) -> float:
    share = _clip((value - low) / (high - low), 0.0, 1.0)
    return share * share * (3 - 2 * share)


_MATH = (
    *("acos", "acosh", "asin", "asinh", "atan", "atan2", "atanh", "ceil", "copysign", "cos", "cosh", "degrees", "dist"),
    *("erf", "erfc", "exp", "expm1", "fabs", "floor", "fmod", "fsum", "gamma", "gcd", "hypot", "isclose", "isfinite"),
    *("isinf", "isnan", "isqrt", "lcm", "ldexp", "lgamma", "log", "log10", "log1p", "log2", "modf", "nextafter", "pow"),
    *("prod", "radians", "remainder", "sin", "sinh", "sqrt", "tan", "tanh", "trunc", "ulp"),
)
FUNCTIONS: dict[str, Callable[..., Value]] = {
    **{name: getattr(math, name) for name in _MATH},
    "factorial": _small(math.factorial, 20),
    "comb": _small(math.comb, 60),
    "perm": _small(math.perm, 15),
    **{function.__name__: function for function in (abs, bool, divmod, float, int, len, max, min, sorted, sum)},
    "round": _round,
    "clip": _clip,
    "lerp": lambda start, end, share: start + (end - start) * share,
    "smoothstep": _smoothstep,
    "sin01": lambda turns: 0.5 - 0.5 * math.cos(2 * math.pi * turns),
}
CONSTANTS: dict[str, float] = {"pi": math.pi, "tau": math.tau, "e": math.e, "inf": math.inf, "nan": math.nan}
# Of Python's module `random`; each draws from the generator that an evaluation is given.
RANDOM = (
    *("random", "uniform", "randint", "randrange", "choice", "gauss", "normalvariate", "lognormvariate", "triangular"),
    *("betavariate", "expovariate", "gammavariate", "vonmisesvariate", "paretovariate", "weibullvariate", "sample"),
)


@dataclass(frozen=True)
class Expression:
    """An expression that has been checked.

    Attributes:
        source: as it was written.
        names: the variables in it.
        draws: whether it draws random numbers.
        tree: its syntax, every node of which is allowed.
    """

    source: str
    names: frozenset[str]
    draws: bool
    tree: ast.expr = field(compare=False, repr=False)

    def __call__(self, variables: Mapping[str, Value], random: chance.Random) -> Value:
        """Its value.

        Args:
            variables: a value for each of `names`, or a function of numbers.
            random: what random numbers are drawn from.

        Raises:
            ConfigError: it cannot be computed with these, such as a division by 0.
        """
        try:
            return Walk(variables, random).value(self.tree)
        except (ArithmeticError, ValueError, TypeError, LookupError, AttributeError) as error:
            text = f"nothing stands at {error}" if isinstance(error, KeyError) else str(error)
            raise ConfigError(f"{self.source!r} cannot be computed: {text:.200}") from None


def parse(source: str, variables: frozenset[str] | set[str] = frozenset()) -> Expression:
    """The expression that a text is.

    Args:
        source: the text.
        variables: names that it may use, besides `CONSTANTS`, `FUNCTIONS` and `RANDOM`.

    Raises:
        ConfigError: it is none, or says what an expression may not.
    """
    if len(source) > LONGEST:
        raise ConfigError(f"an expression of {len(source)} characters is too long: {LONGEST} are the most")
    try:
        with warnings.catch_warnings(action="ignore"):  # of Python's own, on odd but valid texts
            tree = ast.parse(source.strip(), mode="eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        raise ConfigError(f"{_short(source)} is no expression: {getattr(error, 'msg', None) or error}") from None
    nodes = list(ast.walk(tree))
    if len(nodes) > MOST_NODES or _depth(tree) > DEEPEST:
        raise ConfigError(
            f"{_short(source)} is too large: {MOST_NODES} parts, {DEEPEST} within each other, are the most"
        )
    called = {id(node.func) for node in nodes if isinstance(node, ast.Call)}
    for node in nodes:
        if reason := _refused(node, called, variables):
            raise ConfigError(f"{_short(source)}: {reason}")
    names = {node.id for node in nodes if isinstance(node, ast.Name)}
    return Expression(source, frozenset(names & set(variables)), bool(names & set(RANDOM) - set(variables)), tree.body)


def _short(source: str) -> str:
    return repr(source if len(source) <= 80 else source[:77] + "...")


def _depth(tree: ast.AST) -> int:
    """How deep the tree is; no recursion, which a deep one would exhaust."""
    level, depth = [tree], 0
    while level and depth <= DEEPEST:
        level, depth = [child for node in level for child in ast.iter_child_nodes(node)], depth + 1
    return depth


def _refused(node: ast.AST, called: set[int], variables: frozenset[str] | set[str]) -> str | None:
    """Why a node may not be there."""
    if not isinstance(node, _ALLOWED):
        return f"{type(node).__name__} is not part of expressions"
    if isinstance(node, ast.Constant):
        known = isinstance(node.value, bool | int | float | str)
        large = isinstance(node.value, int) and node.value > LARGEST
        return None if known and not large else f"{node.value!s:.40} is no value of expressions"
    if isinstance(node, ast.Attribute):
        of_table = node.attr == "get" and id(node) in called and isinstance(node.value, ast.Dict)
        return None if of_table else f".{node.attr} is not allowed; a table in braces has .get(key, default)"
    if isinstance(node, ast.Call):
        if node.keywords:
            return "names of arguments are not allowed"
        plain = isinstance(node.func, ast.Name | ast.Attribute)
        return None if plain else "only functions that have a name can be called"
    if isinstance(node, ast.Dict) and None in node.keys:
        return "** is not allowed in a table"
    if isinstance(node, ast.Name):
        callable_name = node.id in FUNCTIONS or node.id in RANDOM
        if node.id in variables or node.id in CONSTANTS or (callable_name and id(node) in called):
            return None
        if callable_name:
            return f"{node.id} is a function: {node.id}(...)"
        near = get_close_matches(node.id, [*variables, *FUNCTIONS, *RANDOM, *CONSTANTS], 1)
        hint = f"; {near[0]} is" if near else ""
        return f"{node.id} is not known here{hint}"
    return None


class Walk:
    """One evaluation."""

    def __init__(self, variables: Mapping[str, Value], random: chance.Random):
        self.variables, self.random = variables, random

    def value(self, node: ast.expr) -> Value:
        """The value of a part of the tree."""
        return getattr(self, "_" + type(node).__name__)(node)

    def _Constant(self, node: ast.Constant) -> Value:
        return node.value

    def _Name(self, node: ast.Name) -> Value:
        for known in (self.variables, CONSTANTS, FUNCTIONS):
            if node.id in known:
                return known[node.id]
        return getattr(self.random, node.id)

    def _UnaryOp(self, node: ast.UnaryOp) -> Value:
        return _UNARY[type(node.op)](self.value(node.operand))

    def _BinOp(self, node: ast.BinOp) -> Value:
        return self.computed(node.op, self.value(node.left), self.value(node.right))

    def computed(self, operation: ast.operator, left: Value, right: Value) -> Value:
        """What an operation makes of two numbers."""
        for side in (left, right):
            if not isinstance(side, int | float):
                raise TypeError(f"{type(side).__name__} is no number")
        if isinstance(operation, ast.Pow):
            return _bounded(_power(left, right))
        if isinstance(operation, ast.LShift):
            if not 0 <= right <= 64:
                raise ValueError("a shift goes by 0 to 64 places")
            return _bounded(left << right)  # type: ignore[operator]
        return _bounded(_BINARY[type(operation)](left, right))

    def _BoolOp(self, node: ast.BoolOp) -> Value:
        wanted, found = isinstance(node.op, ast.Or), None
        for part in node.values:
            found = self.value(part)
            if bool(found) == wanted:
                break
        return found

    def _Compare(self, node: ast.Compare) -> bool:
        left = self.value(node.left)
        for kind, part in zip(node.ops, node.comparators, strict=True):
            right = self.value(part)
            if not _COMPARISONS[type(kind)](left, right):
                return False
            left = right
        return True

    def _IfExp(self, node: ast.IfExp) -> Value:
        return self.value(node.body if self.value(node.test) else node.orelse)

    def _Call(self, node: ast.Call) -> Value:
        given = [self.value(argument) for argument in node.args]
        if isinstance(node.func, ast.Attribute):
            return self.value(node.func.value).get(*given)
        function = self.value(node.func)
        if not callable(function):
            raise TypeError(f"{ast.unparse(node.func)} is a number, not a function")
        if getattr(function, "__self__", None) is self.random:  # some of them would search for ever
            _check_draw(given)
        return _bounded(function(*given))

    def _Subscript(self, node: ast.Subscript) -> Value:
        return self.value(node.value)[self.value(node.slice)]

    def _Slice(self, node: ast.Slice) -> slice:
        return slice(*(None if part is None else self.value(part) for part in (node.lower, node.upper, node.step)))

    def _List(self, node: ast.List) -> list[Value]:
        return [self.value(item) for item in node.elts]

    def _Tuple(self, node: ast.Tuple) -> tuple[Value, ...]:
        return tuple(self.value(item) for item in node.elts)

    def _Dict(self, node: ast.Dict) -> dict[Value, Value]:
        keys = [self.value(key) for key in node.keys if key is not None]
        return dict(zip(keys, map(self.value, node.values), strict=True))


def _check_draw(given: list[Value]) -> None:
    numbers = [number for number in given if isinstance(number, int | float)]
    if not all(abs(number) <= LARGEST for number in numbers):
        raise ValueError(f"random numbers are drawn with values up to {LARGEST:.3g}")


def _power(base: float, exponent: float) -> Value:
    """A power; one that is above `LARGEST` is a float, as `math.pow` has it."""
    if isinstance(base, int) and isinstance(exponent, int) and 0 <= exponent <= 64 and abs(base) <= LARGEST:
        whole = base**exponent
        return whole if abs(whole) <= LARGEST else float(whole)
    return math.pow(base, exponent)


def _bounded(value: Value) -> Value:
    if isinstance(value, complex):
        raise ValueError("the root of a negative number came out")
    if isinstance(value, int) and abs(value) > LARGEST:
        raise OverflowError(f"a whole number above {LARGEST:.3g} came out")
    return value
