"""`config.json`: a `RunConfig` as text, with the versions of the libraries that wrote it."""

import dataclasses
import json
import typing
from typing import Any

from pixace.config import ModelConfig, RunConfig, TokenizerConfig, TrainConfig
from pixace.errors import ConfigError
from pixace.fields import convert, require

FORMAT_VERSION = 1


def to_json(config: RunConfig, versions: dict[str, str]) -> str:
    """`config.json` as text; `versions` names the libraries that wrote it."""
    sections = {"format": FORMAT_VERSION, "versions": versions, **dataclasses.asdict(config)}
    return json.dumps(sections, indent=2) + "\n"


def from_json(text: str, where: str) -> RunConfig:
    """Read `config.json`. Raises `ConfigError` naming `where`, the field and what is wrong."""
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError) as error:  # also numbers too long, and brackets too deep
        raise ConfigError(f"{where} is not valid JSON: {error}") from None
    if not isinstance(raw, dict) or raw.get("format") != FORMAT_VERSION:
        found = raw.get("format") if isinstance(raw, dict) else None
        raise ConfigError(f"{where}: format {found} is not known to this version of pixace (it reads {FORMAT_VERSION})")
    unknown = set(raw) - {"format", "versions", "tokenizer", "model", "training"}
    require(not unknown, f"{where}: unknown sections: {', '.join(sorted(unknown))}")
    try:
        training = raw.get("training")
        return RunConfig(
            tokenizer=_from_dict(TokenizerConfig, raw.get("tokenizer")),
            model=_from_dict(ModelConfig, raw.get("model")),
            training=None if training is None else _from_dict(TrainConfig, training),
        )
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None


def _from_dict(kind: type, raw: Any) -> Any:
    if not isinstance(raw, dict):
        raise ConfigError(f"the section for {kind.__name__} is missing")
    hints = typing.get_type_hints(kind)
    unknown, needed = (
        set(raw) - set(hints),
        {f.name for f in dataclasses.fields(kind) if f.default is dataclasses.MISSING},
    )
    require(not unknown, f"unknown entries: {', '.join(sorted(unknown))}")
    require(needed <= set(raw), f"missing entries: {', '.join(sorted(needed - set(raw)))}")
    return kind(**{name: convert(hints[name], name, value) for name, value in raw.items()})
