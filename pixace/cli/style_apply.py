"""`pixace style apply`"""

import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from pixace import devices
from pixace.cli.flags import FlagSet
from pixace.cli.outputs import check_writable
from pixace.cli.style_train import with_underscores
from pixace.errors import ConfigError, naming
from pixace.folders import expanded

ABOUT = (
    "Redraw pictures with a network that `pixace style train` or `pixace style unpaired` made, in one pass and at any "
    "size. The results are "
    "OUT_DIR/NAME_MODEL with each picture's own ending; pictures that cannot be read are told and left out."
)


def make_flags() -> FlagSet:
    """The flags of this command."""
    flags = FlagSet("pixace style apply --model=NAME IMAGE_OR_FOLDER... [--flags]", ABOUT)
    flags.add("model", None, str | None, "name of the network in WEIGHTS_DIR, or the path of its folder")
    flags.add_alias("model_name", "model")
    flags.add("weights_dir", "style-models", str, "folder that holds the networks")
    flags.add_alias("model_dir", "weights_dir")
    flags.add("out_dir", "styled", str, "folder of the results")
    flags.add("image_size", None, int | None, "longer edge of the results, in pixels (default: that of each picture)")
    flags.add_alias("img_size", "image_size")
    flags.add("style_index", None, int | None, "of several styles, the one to draw in, counted from 0 [0]")
    flags.add("style_weights", None, str | None, "of several styles, the share of each, such as 0.3,0.7")
    backward = "of a network for unpaired translation: from its pictures B to those of A, not from A to B"
    flags.add("backward", False, bool, backward)
    flags.add("batch_size", 4, int, "pictures of one size that are computed together")
    ending = "ending of all results, such as png or jpg (default: each picture's; png for formats with few colours)"
    flags.add("format", None, str | None, ending)
    flags.add("device", "auto", str, "gpu and tpu fail where there is none", choices=devices.DEVICES)
    return flags


def run(arguments: Sequence[str]) -> int:
    """Redraw pictures; returns the exit code."""
    flags = make_flags()
    given, pictures = flags.parse(with_underscores(arguments), positional=True)
    options = flags.options(given)
    if not options["model"]:
        raise ConfigError("which network? give its name or folder as --model=NAME")
    if not pictures:
        raise ConfigError("which pictures? pixace style apply --model=NAME IMAGE_OR_FOLDER... takes files and folders")
    weights = None if options["style_weights"] is None else _numbers(options["style_weights"])
    check_writable(expanded(options["out_dir"]), is_folder=True)
    devices.prepare(options["device"])
    import jax

    from pixace.progress import Bar

    found = devices.find_devices(options["device"])
    with jax.default_device(found[0]):
        apply = _loaded(options, weights)
        print(devices.describe(found[:1]), file=sys.stderr)
        devices.warn_of_idle_gpu(found)
        with Bar("styling") as bar:
            done = apply(sources=pictures, progress=bar)
    for name, why in done.skipped:
        print(f"skipped {naming(name, why)}", file=sys.stderr)
    told = f", {len(done.skipped)} could not be read" if done.skipped else ""
    print(f"saved {len(done.saved)} pictures in {options['out_dir']}{told}")
    return 0 if done.saved else 1


def _loaded(options: dict[str, Any], weights: list[float] | None) -> Callable[..., Any]:
    """What redraws pictures with the network that is asked for, whichever kind it is of."""
    from pixace.style.fast.apply import apply_style, style_mixture
    from pixace.style.fast.model import load_model
    from pixace.style.unpaired.model import apply_unpaired, is_unpaired, load_unpaired

    where = options["model"], options["weights_dir"]
    if is_unpaired(*where):
        if weights is not None or options["style_index"] is not None:
            raise ConfigError(f"{options['model']} has no styles: leave out --style_index and --style_weights")
        translation = load_unpaired(*where)
        ready = partial(apply_unpaired, translation, backward=options["backward"])
    else:
        model = load_model(*where)
        if options["backward"]:
            raise ConfigError(f"{options['model']} has no way back: --backward is for those of `pixace style unpaired`")
        ready = partial(apply_style, model, mixture=style_mixture(model, options["style_index"], weights))

    return partial(
        ready,
        out_dir=options["out_dir"],
        image_size=options["image_size"],
        batch_size=options["batch_size"],
        format=options["format"],
    )


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise ConfigError(f"--style_weights={text}: numbers with commas between, such as 0.3,0.7, are needed") from None
