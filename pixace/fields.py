"""The fields of configuration classes: their help, the values they may take, their types, and how they are written."""

import dataclasses
import types
import typing
from dataclasses import field
from typing import Any

from pixace.errors import ConfigError


def option(default: Any, help: str, choices: tuple[str, ...] = ()) -> Any:
    """A dataclass field with help text and, for strings, the values it may take."""
    return field(default=default, metadata={"help": help, "choices": choices})


def require(condition: bool, message: str) -> None:
    """Raise `ConfigError` unless the condition holds."""
    if not condition:
        raise ConfigError(message)


def check_choices(config: Any) -> None:
    """Raise `ConfigError` where a field has none of the values it may take."""
    for entry in dataclasses.fields(config):
        choices, value = entry.metadata.get("choices"), getattr(config, entry.name)
        require(
            not choices or value is None or value in choices,
            f"{entry.name}={value!r} is not known; choose one of {', '.join(choices or ())}",
        )


def shown(value: Any) -> str:
    """A value as it is written on the command line."""
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def hints_of(*sections: type) -> dict[str, Any]:
    """The types of the fields of configuration classes, by name."""
    return {name: hint for section in sections for name, hint in typing.get_type_hints(section).items()}


def convert(hint: Any, name: str, value: Any) -> Any:
    """`value` as the type `hint` (int, float, bool, str, tuple of int, or one of these | None).

    Raises:
        ConfigError: naming the field and the type that it needs.
    """
    if isinstance(hint, types.UnionType):
        if value is None:
            return None
        hint = next(arg for arg in typing.get_args(hint) if arg is not types.NoneType)
    if typing.get_origin(hint) is tuple:
        if isinstance(value, list | tuple) and all(type(v) is int for v in value):
            return tuple(value)
    elif hint is float and type(value) in (int, float):
        return float(value)
    elif type(value) is hint:
        return value
    raise ConfigError(f"{name}={value!r} is not of type {getattr(hint, '__name__', hint)}")
