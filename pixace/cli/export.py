"""`pixace export`"""

from collections.abc import Sequence

from pixace import devices
from pixace.cli.flags import FlagSet, add_model, chosen_model
from pixace.errors import ConfigError
from pixace.folders import ENDINGS

ABOUT = (
    "Write a model for use elsewhere. safetensors is one file with weights and configuration, for `pixace import` and "
    "every --checkpoint; trax is model.pkl.gz and model.weights.npy.gz, which Trax 1.4.1 loads (--arch=trax only)."
)


def make_flags() -> FlagSet:
    """The flags of this command."""
    flags = FlagSet("pixace export --model_name=NAME --format=trax|safetensors [--out=FILE] [--flags]", ABOUT)
    add_model(flags)
    flags.add("format", "safetensors", str, "what to write", "what to write", tuple(ENDINGS))
    flags.add("out", None, str | None, "the file (default: NAME.safetensors or NAME.pkl.gz)", "what to write")
    return flags


def run(arguments: Sequence[str]) -> int:
    """Export; returns the exit code."""
    flags = make_flags()
    given, _ = flags.parse(arguments)
    options = flags.options(given)
    model, weights_dir = chosen_model(options)
    ending = ENDINGS[options["format"]]
    if not (out := options["out"]):
        if weights_dir is None:
            raise ConfigError(f"where to? --out=FILE{ending} is needed with --checkpoint")
        out = model + ending
    devices.prepare("cpu")  # numbers are only moved about
    from pixace.exchange import export_model

    files = export_model(model, out, options["format"], weights_dir)
    print(f"saved {' and '.join(map(str, files))}")
    return 0
