"""A model's `config.json`: what kind of model it is of, and a section for each configuration class."""

import json
from typing import Any, TypeVar

from pixace.errors import ConfigError
from pixace.fields import convert, hints_of, require

Section = TypeVar("Section")


def read_document(text: str, where: str, kind: str, version: int, foreign: str) -> dict[str, Any]:
    """All of `config.json`, whose sections are not looked at yet.

    Args:
        text: what the file holds.
        where: its name.
        kind, version: what it must say of itself.
        foreign: what is wrong if it is of another kind; `{found}` in it is that kind.

    Raises:
        ConfigError: it is no JSON, or of another kind or version.
    """
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{where} is not valid JSON: {error}") from None
    if not isinstance(raw, dict) or raw.get("kind") != kind:
        found = raw.get("kind", "another kind of model") if isinstance(raw, dict) else "no model"
        raise ConfigError(f"{where} is {foreign.format(found=found)}")
    found = raw.get("format")
    require(found == version, f"{where}: format {found} is not known; this version reads {version}")
    return raw


def read_section(kind: type[Section], raw: Any) -> Section:
    """A configuration from its section, which must hold all of its fields and no others; else `ConfigError`."""
    hints = hints_of(kind)
    if not isinstance(raw, dict) or set(raw) != set(hints):
        different = sorted(set(raw) ^ set(hints)) if isinstance(raw, dict) else ["all of it"]
        raise ConfigError(f"the section for {kind.__name__} lacks or should not have: {', '.join(different)}")
    return kind(**{name: convert(hints[name], name, value) for name, value in raw.items()})
