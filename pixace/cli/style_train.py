"""`pixace style train`"""

import dataclasses
import re
import sys
import time
import typing
from collections.abc import Sequence
from typing import Any

from pixace.cli.flags import FlagSet
from pixace.cli.style_pictures import picture_list
from pixace.devices import DEVICES
from pixace.errors import ConfigError
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
SOURCE = "names of the source project"


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
    flags.add("epochs", None, int | None, "length in passes over the pictures, instead of --n_steps", SOURCE)
    flags.add("use_avg_pool", None, bool | None, "--pooling=average; --nouse_avg_pool: max", SOURCE)
    flags.add("anisotropic", None, bool | None, "--tv=absolute; --noanisotropic: squared", SOURCE)
    flags.add("tensorboard", None, bool | None, "changes nothing: its events are always written", SOURCE)
    flags.add(
        "num_workers", None, int | None, "changes nothing: as many threads read pictures as there are cores", SOURCE
    )
    for alias, name in ALIASES.items():
        flags.add_alias(alias, name)
    return flags


def run(arguments: Sequence[str]) -> int:
    """Train; returns the exit code."""
    flags = make_flags()
    given, _ = flags.parse(with_underscores(arguments))
    given.pop("debug", None)
    given = _of_the_source(given)
    own: dict[str, Any] = {name: given.pop(name, flags.default(name)) for name in ("device", "deterministic")}
    name, styles = given.pop("model", None) or time.strftime("%m%d_%H%M"), picture_list(given.pop("style", None))
    weights_dir = given.pop("weights_dir", flags.default("weights_dir"))
    from pixace.style.fast.training import train_fast_style

    result = train_fast_style(name, styles, weights_dir, **own, **given)
    return 0 if result.signal is None else 128 + result.signal


def _of_the_source(given: dict[str, Any]) -> dict[str, Any]:
    """What was given, the source project's flags as those that they stand for; tells of those that change nothing."""
    known = {name: value for name, value in given.items() if value is not None}
    for flag, name, (on, off) in (
        ("use_avg_pool", "pooling", ("average", "max")),
        ("anisotropic", "tv", ("absolute", "squared")),
    ):
        if (wanted := known.pop(flag, None)) is not None:
            value = on if wanted else off
            if known.setdefault(name, value) != value:
                raise ConfigError(f"--{'' if wanted else 'no'}{flag} is --{name}={value}, not --{name}={known[name]}")
    if known.pop("tensorboard", None) is not None:
        print("TensorBoard's events are always written, into the folder of the network", file=sys.stderr)
    if known.pop("num_workers", None) is not None:
        print("--num_workers changes nothing: as many threads read pictures as there are cores", file=sys.stderr)
    return known


def with_underscores(arguments: Sequence[str]) -> list[str]:
    """The words of a command line with --style-weight as --style_weight, as the source project writes flags."""
    return [re.sub("^--[^=]*", lambda name: "--" + name[0][2:].replace("-", "_"), word) for word in arguments]
