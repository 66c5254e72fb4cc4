"""What a pickle says, without doing it: no name in it is ever looked up, so nothing in it can run.

Python's own unpickler imports and calls what a file names. Here the opcodes are read with `pickletools` and
played on a stack of plain values; a class or function is a `Name`, a call of one is a `Made`, and whoever reads
the result decides what these mean. Names that do not belong in a checkpoint are refused when they are met.
"""

import pickletools
import struct
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import IO, Any

from pixace.errors import PixaceError

# Packages whose classes may be named, and names that plain Python values and arrays are made of.
PACKAGES = ("jax", "jaxlib", "ml_dtypes", "trax")
_NUMPY_TYPES = (
    *("bool_", "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64"),
)
NAMES = {
    *(f"numpy{core}.multiarray.{name}" for core in (".core", "._core") for name in ("_reconstruct", "scalar")),
    *(f"numpy{core}.numeric._frombuffer" for core in (".core", "._core")),
    *(f"numpy.{name}" for name in ("ndarray", "dtype", *_NUMPY_TYPES)),
    *(f"{module}.{name}" for module in ("builtins", "__builtin__") for name in ("set", "frozenset", "bytearray")),
    *(f"{module}.{name}" for module in ("builtins", "__builtin__") for name in ("list", "dict", "tuple", "object")),
    *("_codecs.encode", "collections.OrderedDict", "collections.defaultdict"),
    *("copyreg._reconstructor", "copy_reg._reconstructor"),
}


MOST_OPERATIONS = 2_000_000  # a long history of training has some ten thousands


@dataclass(frozen=True)
class Name:
    """A class or function that the pickle names, as `module.name`."""

    text: str


@dataclass(eq=False)
class Made:
    """What calling `name` with `args` would have made; `state` is what it would then have been given."""

    name: str
    args: tuple[Any, ...]
    state: Any = None


@dataclass(frozen=True)
class Kept:
    """What the pickle says of a thing that is kept outside it: a persistent id."""

    id: Any


def read_pickle(
    data: bytes | IO[bytes], names: Collection[str] = (), kept: bool = False, packages: Collection[str] = ()
) -> Any:
    """The value that a pickle of any protocol describes: plain Python values, `Name`s, `Made`s and `Kept`s.

    Sets are lists here, dictionaries keep only entries whose keys are text, and attributes of theirs are left out.

    Args:
        data: the pickle, or an open file, which is then read up to its end and no further.
        names: classes and functions that it may name besides `NAMES`.
        kept: whether it may speak of things outside it.
        packages: whose classes and functions it may name besides those of `PACKAGES`.

    Raises:
        PixaceError: if it is damaged, or names or does what no checkpoint needs; nothing has run.
    """
    try:
        return _Reader(names, kept, {*PACKAGES, *packages}).read(pickletools.genops(data))
    except (ValueError, TypeError, LookupError, OverflowError, AttributeError, struct.error) as error:
        raise PixaceError(f"it is not a whole pickle ({str(error)[:200]!r})") from None


class _Mark:
    pass


class _Reader:
    """A pickle machine whose only effects are on its own stack and memo."""

    def __init__(self, names: Collection[str], kept: bool, packages: Collection[str]) -> None:
        self.names, self.kept, self.packages = names, kept, packages
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def read(self, operations: Iterator[tuple[Any, Any, Any]]) -> Any:
        for count, (operation, argument, _) in enumerate(operations):
            if count == MOST_OPERATIONS:
                raise PixaceError(f"it takes more than {MOST_OPERATIONS:,} operations, as no checkpoint does")
            if operation.name == "STOP":
                return self.stack.pop()
            if operation.name in _VALUES:
                self.stack.append(argument)
            elif operation.name in _CONSTANTS:
                self.stack.append(_CONSTANTS[operation.name]())
            elif operation.name in _STEPS:
                _STEPS[operation.name](self, argument)
            elif operation.name == "BINPERSID" and self.kept:
                self.stack.append(Kept(*self.take(1)))
            elif operation.name not in ("PROTO", "FRAME"):
                raise PixaceError(f"it uses {operation.name}, which no checkpoint needs; nothing in it was run")
        raise ValueError("it has no end")

    def since_mark(self) -> list[Any]:
        place = len(self.stack) - 1
        while self.stack[place] is not _Mark:
            place -= 1
            if place < 0:
                raise ValueError("a mark is missing")
        items = self.stack[place + 1 :]
        del self.stack[place:]
        return items

    def take(self, count: int) -> list[Any]:
        if count > len(self.stack):
            raise ValueError("its stack is empty")
        items = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        return items

    # ---- containers

    def pack(self, items: list[Any]) -> None:
        self.stack.append(tuple(items))

    def extend(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, list):
            target.extend(items)
        elif not isinstance(target, Made):  # whose own entries, if it is a kind of list, nobody reads
            raise TypeError("entries are added to what is no list")

    def put_entries(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, dict):
            target.update(_entries(items))
        elif not isinstance(target, Made):
            raise TypeError("entries are added to what is no dictionary")

    # ---- names, calls and states

    def name(self, module: Any, name: Any) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise TypeError("a name is not text")
        text = f"{module}.{name}"
        if module.split(".")[0] not in self.packages and text not in NAMES and text not in self.names:
            raise PixaceError(f"it names {text!r:.200}, which no checkpoint needs; nothing in it was run")
        self.stack.append(Name(text))

    def call(self, function: Any, args: Any) -> None:
        if not isinstance(function, Name) or not isinstance(args, tuple):
            raise PixaceError("it calls something that has no name of its own; nothing in it was run")
        make = _PLAIN.get(function.text.replace("__builtin__", "builtins"))
        self.stack.append(make(args) if make else Made(function.text, args))

    def build(self) -> None:
        target, state = self.take(2)
        if isinstance(target, Made):
            target.state = state
        elif not isinstance(target, dict):
            raise PixaceError("it gives a state to what has none; nothing in it was run")
        self.stack.append(target)

    def memoize(self, place: int) -> None:
        if place >= 2**32:
            raise ValueError("a memo number is too large")
        self.memo[place] = self.stack[-1]


def _entries(items: list[Any]) -> dict[Any, Any]:
    pairs = zip(items[::2], items[1::2], strict=True)
    return {key: value for key, value in pairs if isinstance(key, str)}


def _as_list(args: tuple[Any, ...]) -> Any:
    return args[0] if args and isinstance(args[0], list | tuple) else []  # not copied: there may be many of it


def _as_bytes(args: tuple[Any, ...]) -> bytes:
    """`bytearray(b"...")`, or text with an encoding that older protocols write bytes as."""
    if not args:
        return b""
    if isinstance(args[0], str) and args[1:] in (("latin1",), ("latin-1",)):
        return _latin1(args[0])
    if isinstance(args[0], bytes | bytearray):
        return bytes(args[0])
    raise TypeError("bytes are made of what is neither bytes nor text")


@lru_cache(maxsize=1)  # the same text again is the same bytes, not a copy
def _latin1(text: str) -> bytes:
    return text.encode("latin-1")


_PLAIN: dict[str, Callable[[tuple[Any, ...]], Any]] = {
    "builtins.set": _as_list,
    "builtins.frozenset": _as_list,
    "builtins.bytearray": _as_bytes,
    "_codecs.encode": _as_bytes,
    "collections.OrderedDict": lambda args: {},  # its entries follow
    "collections.defaultdict": lambda args: {},
}
_VALUES = {  # opcodes whose argument is the value; bytes of Python 2 come as text with one character each
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}
_CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_LIST": list,
    "EMPTY_SET": list,
    "EMPTY_DICT": dict,
    "EMPTY_TUPLE": tuple,
    "MARK": lambda: _Mark,
}
_STEPS: dict[str, Callable[[_Reader, Any], Any]] = {
    "POP": lambda r, _: r.take(1),
    "POP_MARK": lambda r, _: r.since_mark(),
    "DUP": lambda r, _: r.stack.append(r.stack[-1]),
    "LIST": lambda r, _: r.stack.append(r.since_mark()),
    "FROZENSET": lambda r, _: r.stack.append(r.since_mark()),
    "DICT": lambda r, _: r.stack.append(_entries(r.since_mark())),
    "TUPLE": lambda r, _: r.pack(r.since_mark()),
    "TUPLE1": lambda r, _: r.pack(r.take(1)),
    "TUPLE2": lambda r, _: r.pack(r.take(2)),
    "TUPLE3": lambda r, _: r.pack(r.take(3)),
    "APPEND": lambda r, _: r.extend(r.take(1)),
    "APPENDS": lambda r, _: r.extend(r.since_mark()),
    "ADDITEMS": lambda r, _: r.extend(r.since_mark()),
    "SETITEM": lambda r, _: r.put_entries(r.take(2)),
    "SETITEMS": lambda r, _: r.put_entries(r.since_mark()),
    "GLOBAL": lambda r, text: r.name(*text.split(" ", 1)),
    "STACK_GLOBAL": lambda r, _: r.name(*r.take(2)),
    "REDUCE": lambda r, _: r.call(*r.take(2)),
    "NEWOBJ": lambda r, _: r.call(*r.take(2)),
    "NEWOBJ_EX": lambda r, _: r.call(*r.take(3)[:2]),
    "BUILD": lambda r, _: r.build(),
    "PUT": lambda r, place: r.memoize(place),
    "BINPUT": lambda r, place: r.memoize(place),
    "LONG_BINPUT": lambda r, place: r.memoize(place),
    "MEMOIZE": lambda r, _: r.memoize(len(r.memo)),
    "GET": lambda r, place: r.stack.append(r.memo[place]),
    "BINGET": lambda r, place: r.stack.append(r.memo[place]),
    "LONG_BINGET": lambda r, place: r.stack.append(r.memo[place]),
}
