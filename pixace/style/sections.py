"""Sections of a model's `config.json`: one for each configuration class."""

from typing import Any, TypeVar

from pixace.errors import ConfigError
from pixace.fields import convert, hints_of

Section = TypeVar("Section")


def read_section(kind: type[Section], raw: Any) -> Section:
    """A configuration from its section, which must hold all of its fields and no others; else `ConfigError`."""
    hints = hints_of(kind)
    if not isinstance(raw, dict) or set(raw) != set(hints):
        different = sorted(set(raw) ^ set(hints)) if isinstance(raw, dict) else ["all of it"]
        raise ConfigError(f"the section for {kind.__name__} lacks or should not have: {', '.join(different)}")
    return kind(**{name: convert(hints[name], name, value) for name, value in raw.items()})
