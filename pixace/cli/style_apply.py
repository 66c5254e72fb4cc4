"""`pixace style apply`"""

import sys
from collections.abc import Sequence

from pixace import devices
from pixace.cli.flags import FlagSet
from pixace.cli.outputs import check_writable
from pixace.cli.style_train import with_underscores
from pixace.errors import ConfigError
from pixace.folders import expanded

ABOUT = (
    "Redraw pictures with a network that `pixace style train` made, in one pass and at any size. The results are "
    "OUT_DIR/NAME_MODEL.png; pictures that cannot be read are told and left out."
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
    flags.add("batch_size", 4, int, "pictures of one size that are computed together")
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
    from pixace.style.fast.apply import apply_style, style_mixture
    from pixace.style.fast.model import load_model

    found = devices.find_devices(options["device"])
    with jax.default_device(found[0]):
        model = load_model(options["model"], options["weights_dir"])
        mixture = style_mixture(model, options["style_index"], weights)
        print(devices.describe(found[:1]), file=sys.stderr)
        devices.warn_of_idle_gpu(found)
        sizes = {name: options[name] for name in ("image_size", "batch_size")}
        with Bar("styling") as bar:
            done = apply_style(model, pictures, options["out_dir"], mixture=mixture, progress=bar, **sizes)
    for name, why in done.skipped:
        print(f"skipped {why if name in why else f'{name}: {why}'}", file=sys.stderr)
    told = f", {len(done.skipped)} could not be read" if done.skipped else ""
    print(f"saved {len(done.saved)} pictures in {options['out_dir']}{told}")
    return 0 if done.saved else 1


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise ConfigError(f"--style_weights={text}: numbers with commas between, such as 0.3,0.7, are needed") from None
