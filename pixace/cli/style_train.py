"""`pixace style train`"""

import dataclasses
import re
import time
import typing
from collections.abc import Sequence
from typing import Any

from pixace.cli.flags import FlagSet, comma_list
from pixace.devices import DEVICES
from pixace.style.fast.config import FastTraining, TransformConfig

ABOUT = (
    "Train a network that redraws any picture in a style, in one pass. Several --style pictures make one network of "
    "several styles, which can be mixed. The same command again goes on where the run stopped; the network lies in "
    "WEIGHTS_DIR/NAME, and `pixace style apply --model=NAME` uses it."
)
# Names that the source project has for the same.
ALIASES = {
    "model_name": "model",
    "model_dir": "weights_dir",
    "save_dir": "weights_dir",
    "data_dir": "images",
    "img_size": "image_size",
    "vgg": "network",
    "content_labels": "content_layers",
    "style_labels": "style_layers",
}


def make_flags() -> FlagSet:
    """The flags of this command."""
    flags = FlagSet("pixace style train --style=PICTURE --images=FOLDER --model=NAME [--flags]", ABOUT)
    flags.add(
        "style",
        None,
        list[str],
        "pictures of the styles: files or http(s) addresses, with commas between; may repeat",
        "where",
    )
    flags.add("model", None, str | None, "name of the network (default: month, day and time)", "where")
    flags.add("weights_dir", "style-models", str, "folder that holds the networks", "where")
    flags.add("device", "auto", str, "gpu and tpu fail where there is none", "where", DEVICES)
    flags.add("deterministic", False, bool, "on a GPU: the same bits in every run, at a cost in speed", "where")
    flags.add_section("the run", FastTraining)
    hints = typing.get_type_hints(TransformConfig)
    for field in dataclasses.fields(TransformConfig):
        if field.name != "n_styles":  # so many as there are --style
            choices, help = field.metadata["choices"], field.metadata["help"]
            flags.add(field.name, field.default, hints[field.name], help, "the network that is trained", choices)
    for alias, name in ALIASES.items():
        flags.add_alias(alias, name)
    return flags


def run(arguments: Sequence[str]) -> int:
    """Train; returns the exit code."""
    flags = make_flags()
    given, _ = flags.parse(with_underscores(arguments))
    given.pop("debug", None)
    own: dict[str, Any] = {name: given.pop(name, flags.default(name)) for name in ("device", "deterministic")}
    name, styles = given.pop("model", None) or time.strftime("%m%d_%H%M"), comma_list(given.pop("style", None))
    weights_dir = given.pop("weights_dir", flags.default("weights_dir"))
    from pixace.style.fast.training import train_fast_style

    result = train_fast_style(name, styles, weights_dir, **own, **given)
    return 0 if result.signal is None else 128 + result.signal


def with_underscores(arguments: Sequence[str]) -> list[str]:
    """The words of a command line with --style-weight as --style_weight, as the source project writes flags."""
    return [re.sub("^--[^=]*", lambda name: "--" + name[0][2:].replace("-", "_"), word) for word in arguments]
