"""`pixace train`"""

import re
import time
from collections.abc import Sequence
from typing import Any

from pixace.cli.flags import FlagSet
from pixace.config import ModelOptions, TokenizerConfig, TrainConfig
from pixace.devices import DEVICES
from pixace.errors import ConfigError

ABOUT = (
    "Train a model on a folder or archive of pictures, or a data set. The same command again goes on where the run "
    "stopped; the model lies in WEIGHTS_DIR/NAME, and `tensorboard --logdir WEIGHTS_DIR` shows how it learns."
)


def make_flags() -> FlagSet:
    """The flags of this command."""
    flags = FlagSet("pixace train --images=FOLDER --model_name=NAME [--flags]", ABOUT)
    flags.add("model_name", None, str, "name of the model (default: month, day and time)", "where")
    flags.add("weights_dir", "model-weights", str, "folder that holds the models", "where")
    flags.add_alias("model_dir", "weights_dir")
    flags.add("device", "auto", str, "what to compute on; gpu and tpu fail where there is none", "where", DEVICES)
    flags.add("deterministic", False, bool, "on a GPU: the same bits in every run, at a cost in speed", "where")
    flags.add("check", False, bool, "only overfit one batch, in under a minute: does it learn?", "where")
    flags.add_section("the run", TrainConfig)
    flags.add_section("pictures and tokens", TokenizerConfig)
    flags.add_section("the model", ModelOptions)
    return flags


def run(arguments: Sequence[str]) -> int:
    """Train; returns the exit code."""
    flags = make_flags()
    given, _ = flags.parse(arguments)
    refuse_repeats(arguments)
    given.pop("debug", None)
    own: dict[str, Any] = {name: given.pop(name, flags.default(name)) for name in ("device", "deterministic")}
    name = given.pop("model_name", None) or time.strftime("%m%d_%H%M")
    weights_dir = given.pop("weights_dir", flags.default("weights_dir"))
    if given.pop("check", False):
        from pixace.training.check import check

        return 0 if check(weights_dir, **own, **given) else 1
    from pixace.training.loop import train

    result = train(name, weights_dir, **own, **given)
    return 0 if result.signal is None else 128 + result.signal


def refuse_repeats(arguments: Sequence[str]) -> None:
    """Raise `ConfigError` for several sources of pictures: the shell makes such flags of --images=a-{0..3}.tar."""
    for name in ("images", "val_images"):
        count = sum(re.fullmatch(rf"--?{name}(=.*)?", word, re.DOTALL) is not None for word in arguments)
        if count > 1:
            raise ConfigError(f"--{name} is given {count} times; put braces in quotes")
