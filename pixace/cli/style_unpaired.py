"""`pixace style unpaired`"""

import time
from collections.abc import Sequence
from typing import Any

from pixace.cli.flags import FlagSet
from pixace.cli.style_train import with_underscores
from pixace.devices import DEVICES
from pixace.style.unpaired.config import UnpairedNetworks, UnpairedTraining

ABOUT = (
    "Train two networks that make pictures of one kind out of those of another, one each way, from two folders of "
    "pictures that need not match (CycleGAN). The same command again goes on where the run stopped; the networks lie "
    "in WEIGHTS_DIR/NAME, and `pixace style apply --model=NAME` uses them."
)


def make_flags() -> FlagSet:
    """The flags of this command."""
    flags = FlagSet("pixace style unpaired --a=FOLDER --b=FOLDER --model=NAME [--flags]", ABOUT)
    flags.add("model", None, str | None, "name of the networks (default: month, day and time)", "where")
    flags.add("weights_dir", "style-models", str, "folder that holds the networks", "where")
    flags.add("device", "auto", str, "gpu and tpu fail where there is none", "where", DEVICES)
    flags.add("deterministic", False, bool, "on a GPU: the same bits in every run, at a cost in speed", "where")
    flags.add_section("the run", UnpairedTraining)
    flags.add_section("the networks that are trained", UnpairedNetworks)
    flags.add_alias("model_name", "model")
    flags.add_alias("model_dir", "weights_dir")
    return flags


def run(arguments: Sequence[str]) -> int:
    """Train; returns the exit code."""
    flags = make_flags()
    given, _ = flags.parse(with_underscores(arguments))
    given.pop("debug", None)
    own: dict[str, Any] = {
        name: given.pop(name, flags.default(name)) for name in ("device", "deterministic", "weights_dir")
    }
    name = given.pop("model", None) or time.strftime("%m%d_%H%M")
    from pixace.style.unpaired.training import train_unpaired

    result = train_unpaired(name, **own, **given)
    return 0 if result.signal is None else 128 + result.signal
