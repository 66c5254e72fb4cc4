"""What `--engine=trax` allows: options that Trax has no counterpart of are refused, never ignored."""

from typing import Any

from pixace.config import ModelConfig
from pixace.errors import ConfigError
from pixace.fields import shown

# What Trax's loop does, in our words. These stand in the saved configuration; anything else is an error.
FIXED: dict[str, Any] = {
    "arch": "trax",
    "attention": "full",
    "dtype": "float32",
    "optimizer": "source",
    "weight_decay": 1e-5,
    "clip": 0.0,
    "accumulate": 1,
    "ema": False,
}


def with_fixed(given: dict[str, Any]) -> dict[str, Any]:
    """The options of a new run with those added that this engine sets.

    Raises:
        ConfigError: where one of them was given with another value; says both.
    """
    for name, value in FIXED.items():
        found = given.get(name)
        if found is not None and found != value:
            raise ConfigError(f"--engine=trax works with --{name}={shown(value)} only, not {shown(found)}")
    if given.get("residual") == "remat":
        raise ConfigError("--engine=trax knows no --residual=remat; leave it out, or take --model_type=reformer")
    return {**given, **FIXED}


def check_model(model: ModelConfig, where: str) -> None:
    """Raise `ConfigError` for a model that Trax cannot compute; `where` names it."""
    for name in ("arch", "attention", "dtype"):
        value = getattr(model, name)
        if value != FIXED[name]:
            raise ConfigError(f"--engine=trax computes models of {name}={FIXED[name]}; {where} has {name}={value}")
    if model.residual == "remat":
        raise ConfigError(f"--engine=trax knows no residual=remat, which {where} has")
    if model.d_model % 2:
        raise ConfigError(f"--engine=trax needs an even d_model; {where} has d_model={model.d_model}")
    if model.attention_dropout != model.dropout:
        raise ConfigError(
            f"--engine=trax has one dropout rate for all places, {where} has dropout={model.dropout} "
            f"and attention_dropout={model.attention_dropout}"
        )
