"""`pixace publish`"""

from collections.abc import Sequence

from pixace import devices
from pixace.cli.flags import FlagSet, add_model, chosen_model
from pixace.errors import ConfigError

ABOUT = (
    "Write a model as a folder for others: weights, configuration without paths of this computer, a card with its "
    "figures, a sheet of drawn pictures, and a manifest of checksums. Put it on any web server or on the Hugging Face "
    "hub, and `pixace download` with its address takes it."
)


def make_flags() -> FlagSet:
    """The flags of this command."""
    flags = FlagSet("pixace publish --model_name=NAME --out=FOLDER [--flags]", ABOUT)
    add_model(flags)
    flags.add("out", None, str | None, "the new folder", "where")
    flags.add("device", "auto", str, "what to draw the sheet on", "where", devices.DEVICES)
    flags.add(
        "dtype", "float32", str, "numbers of the weights: float32 or bfloat16, half the size", "what to write",
        ("float32", "bfloat16"),
    )  # fmt: skip
    flags.add("n_samples", 9, int, "pictures on the sheet; 0 for none", "what to write")
    flags.add("temperature", 1.0, float, "temperature of these pictures", "what to write")
    flags.add("seed", 0, int, "seed of these pictures", "what to write")
    flags.add(
        "licence", None, str | None, "short name of the licence for the card, such as apache-2.0", "what to write"
    )
    flags.add("about", None, str | None, "a paragraph for the card, such as what the pictures were", "what to write")
    return flags


def run(arguments: Sequence[str]) -> int:
    """Publish; returns the exit code."""
    flags = make_flags()
    given, _ = flags.parse(arguments)
    options = flags.options(given)
    model, weights_dir = chosen_model(options)
    if not options["out"]:
        raise ConfigError("where to? --out=FOLDER is needed")
    devices.prepare(options["device"])
    from pixace.zoo.publish import publish_model

    drawing = {key: options[key] for key in ("dtype", "n_samples", "temperature", "seed", "licence", "about")}
    folder = publish_model(model, options["out"], weights_dir, **drawing)
    print(f"published in {folder}; put the folder on a web server or a hub, and read its README.md first")
    return 0
