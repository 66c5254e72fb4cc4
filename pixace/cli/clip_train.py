"""`pixace clip train`"""

import time
from collections.abc import Sequence
from typing import Any

from pixace.cli.flags import FlagSet
from pixace.clip.training.config import ClipNetwork, ClipTraining
from pixace.devices import DEVICES

ABOUT = (
    "Train a small CLIP on pictures and their names: a tower for pictures and a tower for texts, which end in vectors "
    "of one space. The same command again goes on where the run stopped; the CLIP lies in WEIGHTS_DIR/NAME, and "
    "`pixace clip rate --model=WEIGHTS_DIR/NAME` uses it."
)


def make_flags() -> FlagSet:
    """The flags of this command."""
    flags = FlagSet("pixace clip train --images=FOLDER --model=NAME [--flags]", ABOUT)
    flags.add("model", None, str | None, "name of the CLIP (default: month, day and time)", "where")
    flags.add("weights_dir", "clip-models", str, "folder that holds the CLIPs", "where")
    flags.add("device", "auto", str, "gpu and tpu fail where there is none", "where", DEVICES)
    flags.add("deterministic", False, bool, "on a GPU: the same bits in every run, at a cost in speed", "where")
    flags.add_section("the run", ClipTraining)
    flags.add_section("the network that is trained", ClipNetwork)
    flags.add_alias("model_name", "model")
    flags.add_alias("model_dir", "weights_dir")
    flags.add_alias("data_dir", "images")
    return flags


def run(arguments: Sequence[str]) -> int:
    """Train; returns the exit code."""
    flags = make_flags()
    given, _ = flags.parse(arguments)
    given.pop("debug", None)
    own: dict[str, Any] = {name: given.pop(name, flags.default(name)) for name in ("device", "deterministic")}
    name = given.pop("model", None) or time.strftime("%m%d_%H%M")
    weights_dir = given.pop("weights_dir", flags.default("weights_dir"))
    from pixace.clip.training.train import train_clip

    result = train_clip(name, weights_dir, **own, **given)
    return 0 if result.signal is None else 128 + result.signal
