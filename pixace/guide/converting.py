"""Values of guide files as the table wants them: numbers, words, times and files."""

import math
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pixace.errors import ConfigError
from pixace.guide.constants import read_constants
from pixace.guide.context import Context
from pixace.guide.members import Member
from pixace.guide.places import resolve, within
from pixace.guide.settings import FrameTime
from pixace.guide.trying import number, shown
from pixace.guide.vectors import constant, read_number, read_vector

OPENAI_MODELS = ("ViT-B/32", "ViT-L/14", "RN50", "RN101", "RN50x4")  # names of CLIPs, some with a slash
WEIGHTS = (".safetensors", ".pt", ".ckpt", ".bin")  # endings of files of weights


def convert(member: Member, raw: Any, context: Context) -> Any:
    """A value as the table wants it.

    Raises:
        ConfigError: it is none that this member can have.
    """
    if raw is None:
        if member.nullable:
            return None
        raise ConfigError("null is no value here; leave the key out instead")
    if member.kind in ("float", "int"):
        return read_vector(member, raw, context) if member.lengths else read_number(member, raw, context)
    return _CONVERSIONS[member.kind](member, raw, context)


def _boolean(member: Member, raw: Any, context: Context) -> bool:
    known = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
    word = str(raw).strip().lower()
    if isinstance(raw, bool | int | str) and word in known:
        return known[word]
    raise ConfigError(f"{shown(raw)} is neither true nor false")


def _text(member: Member, raw: Any, context: Context) -> str:
    if isinstance(raw, str | int | float):
        return str(raw).lower() if isinstance(raw, bool) else str(raw)
    raise ConfigError(f"{shown(raw)} is no text")


def _choice(member: Member, raw: Any, context: Context) -> str:
    word = _text(member, raw, context).strip().lower()
    word = member.spelled.get(word, word)
    if word in member.choices:
        return word
    near = get_close_matches(word, [*member.choices, *member.spelled], 1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise ConfigError(f"{shown(raw)} is not known; choose one of {', '.join(member.choices)}{hint}")


def _time(member: Member, raw: Any, context: Context) -> FrameTime:
    if isinstance(raw, bool) or not isinstance(raw, int | float | str):
        raise ConfigError(f"{shown(raw)} is no time; an epoch is whole, a share of the time 0.5 or 50%")
    if not isinstance(raw, str):
        return _finite(number(raw))
    text = raw.strip()
    if text.endswith("%"):
        return float(_finite(constant(member, text[:-1], context))) / 100
    return _finite(constant(member, text, context))


def _interval(member: Member, raw: Any, context: Context) -> int | float:
    if isinstance(raw, bool) or not isinstance(raw, int | float | str):
        raise ConfigError(f"{shown(raw)} is neither a whole number of epochs nor seconds")
    found = _finite(constant(member, raw.strip(), context) if isinstance(raw, str) else number(raw))
    if found < 0:
        raise ConfigError(f"{shown(raw)} is below 0, which is for never")
    return found


def _finite(value: int | float) -> int | float:
    if math.isinf(value):
        raise ConfigError(f"{value} is no time")
    return value


def _image(member: Member, raw: Any, context: Context) -> str:
    if not isinstance(raw, str) or not raw.strip():
        raise ConfigError(f"{shown(raw)} is neither a file nor an address")
    return resolve(raw.strip(), context.folder, context.others)


def _model(member: Member, raw: Any, context: Context) -> str:
    """The name of a CLIP, or the absolute path of its file or folder."""
    text = _text(member, raw, context)
    if text in OPENAI_MODELS or not ({"/", "\\", "~"} & set(text) or Path(text).suffix in WEIGHTS):
        return text
    if "://" in text:
        raise ConfigError(f"{text}: a CLIP is a name, file or folder; `pixace download` fetches some")
    return resolve(text, context.folder, context.others, folders=True)


def _place(member: Member, raw: Any, context: Context) -> str:
    """A file to write, from the working folder on; one outside must be named by the command line."""
    text = _text(member, raw, context)
    if context.folder is not None:
        if "://" in text:
            raise ConfigError(f"{text}: the picture goes to a file or folder, not to an address")
        within(text, Path.cwd(), (context.folder, *context.others))
    return text


def _tensor(member: Member, raw: Any, context: Context) -> tuple:
    def fits(rows: Any) -> bool:
        return isinstance(rows, list | tuple) and bool(rows)

    if not fits(raw) or len(raw) != 3 or not all(fits(plane) and all(map(fits, plane)) for plane in raw):
        raise ConfigError("colours must be nested lists, [3][height][width]")
    if len({len(plane) for plane in raw}) != 1 or len({len(row) for plane in raw for row in plane}) != 1:
        raise ConfigError("its channels and rows must be of one size")
    return tuple(tuple(tuple(_colour(member, value, context) for value in row) for row in plane) for plane in raw)


def _colour(member: Member, raw: Any, context: Context) -> float:
    return float(constant(member, raw, context) if isinstance(raw, str) else number(raw))


def _vars(member: Member, raw: Any, context: Context) -> dict[str, float]:
    return read_constants(raw, context.constants)


_CONVERSIONS = {
    "bool": _boolean,
    "text": _text,
    "choice": _choice,
    "time": _time,
    "interval": _interval,
    "image": _image,
    "model": _model,
    "place": _place,
    "tensor": _tensor,
    "vars": _vars,
}
