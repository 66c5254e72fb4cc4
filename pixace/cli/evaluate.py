"""`pixace evaluate`"""

import json
from collections.abc import Sequence

from pixace import devices
from pixace.cli.flags import FlagSet, add_facts, add_model, chosen_model

ABOUT = (
    "Measure a model on pictures that it has not seen: likelihood, bits a dimension, what tokenizing costs; and on "
    "pictures that it draws: are their patches like real ones, and are they copies of training pictures? Prints a "
    "table and saves figures and pictures, also for TensorBoard."
)
MEASURED, DRAWN, OUTPUT = "what to measure on", "what to draw", "what to write"


def make_flags() -> FlagSet:
    """The flags of this command."""
    flags = FlagSet("pixace evaluate --model_name=NAME [--images=FOLDER] [--flags]", ABOUT)
    add_model(flags)
    flags.add("device", "auto", str, "gpu and tpu fail where there is none", "where", devices.DEVICES)
    flags.add(
        "images",
        None,
        str | None,
        "folder of pictures that the model has not seen (default: its own validation pictures)",
        MEASURED,
    )
    flags.add(
        "train_images",
        None,
        str | None,
        "folder of the pictures that it was trained on (default: the one that its config.json names)",
        MEASURED,
    )
    flags.add("n_images", None, int | None, "look at so many of the pictures at most, a fair sample", MEASURED)
    flags.add("batch_size", None, int | None, "pictures at a time (default: by their size)", MEASURED)
    flags.add("n_samples", None, int | None, "pictures to draw (default: 200); 0 for none", DRAWN)
    flags.add("temperature", 1.0, float, "of the drawing; 0 is greedy", DRAWN)
    flags.add("seed", 0, int, "of the drawing, and of the choice of patches", DRAWN)
    flags.add("samples", None, str | None, "folder of pictures drawn already, instead of drawing", DRAWN)
    flags.add("json", False, bool, "print one JSON object instead of the table", OUTPUT)
    flags.add(
        "out_dir",
        None,
        str | None,
        "folder of the pictures and evaluation.json (default: evaluation in the model's)",
        OUTPUT,
    )
    add_facts(flags, "checked against the model; told of a Trax checkpoint")
    return flags


def run(arguments: Sequence[str]) -> int:
    """Measure; returns the exit code."""
    flags = make_flags()
    given, _ = flags.parse(arguments)
    options = flags.options(given)
    model, options["weights_dir"] = chosen_model(options)
    del options["model_name"], options["checkpoint"]
    as_json = options.pop("json")
    facts = {key: options.pop(key) for key in ("model_type", "n_heads", "image_size", "bitdepth")}
    devices.prepare(options["device"])
    from pixace.evaluation.evaluate import evaluate

    found = evaluate(model, given=facts, **options)
    if as_json:
        print(json.dumps(found.as_json()))
        return 0
    print(found.table())
    if found.files:
        print(f"\nsaved {', '.join(file.name for file in found.files)} in {found.files[0].parent}")
    return 0
