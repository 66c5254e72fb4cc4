"""`pixace predict`"""

import itertools
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pixace import devices
from pixace.canvas.kinds import KINDS
from pixace.cli.choosing import add_choosing, load_choice
from pixace.cli.flags import FlagSet, add_facts, add_model, comma_list
from pixace.cli.outputs import LONGEST_EDGE, check_size, check_writable
from pixace.cli.refine import add_refining, make_wishes, refined
from pixace.config import ENGINES
from pixace.errors import ConfigError
from pixace.folders import DEFAULT_MODEL, expanded, name_of_model

if TYPE_CHECKING:
    from pixace.sampling.predictor import Drawing, Predictor

ABOUT = (
    "Draw new pictures with a trained model, or complete prompts that are cut anywhere. The sheet has a row a picture "
    "and a column a temperature, with prompts also the prompt and the cut prompt; pictures drawn from nothing at one "
    "temperature stand in a grid."
)
HOTTEST = 1e6  # as in `pixace.sampling.model`, which would bring JAX
ANIMATION_WIDTH = 1024  # pixels, at most
INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "lanczos")
SHEET, OUTPUT, CHECKED = "what to draw", "what to write", "checked against the model; told of a Trax checkpoint"
CHOICE = "which of them are kept"
REFINE = "large pictures of what was drawn"


def make_flags() -> FlagSet:
    """The flags of this command."""
    flags = FlagSet("pixace predict [--model_name=NAME] [--prompt=FILE_OR_URL,...] [--flags]", ABOUT)
    add_model(
        flags, f"name of the model in WEIGHTS_DIR, or of one in the package (default: {DEFAULT_MODEL} of the package)"
    )
    flags.add("device", "auto", str, "gpu and tpu fail where there is none", "where", devices.DEVICES)
    flags.add(
        "engine", "jax", str, "what draws: our engine, or Trax's models (pip install '.[trax]')", "where", ENGINES
    )
    flags.add("batch_size", 16, int, "pictures to draw where there is no prompt; 9 if no model is named either", SHEET)
    flags.add_alias("n", "batch_size")
    flags.add("prompt", None, list[str], "files or http(s) addresses, with commas between; may repeat", SHEET)
    flags.add_alias("prompt_image", "prompt")
    flags.add("cut", None, str | None, "kept part of a prompt: pixels (512), rows (16r), a share (50%) [half]", SHEET)
    flags.add("temperature", ["1.0"], list[str], "0 is greedy; several, with commas, give a column each", SHEET)
    flags.add("top_k", None, int | None, "draw from the k most likely tokens", SHEET)
    flags.add("top_p", None, float | None, "draw from the most likely tokens that together have probability p", SHEET)
    flags.add("min_p", None, float | None, "draw from tokens at least so likely, against the most likely one", SHEET)
    flags.add("seed", None, int | None, "seed of the noise (default: a fresh one, printed)", SHEET)
    add_choosing(flags, CHOICE)
    flags.add("scale", 256, int, "pixels of one tile in the sheet (with --refine: as large as they are)", OUTPUT)
    flags.add("interpolation", "nearest", str, "how tiles are enlarged", OUTPUT, INTERPOLATIONS)
    flags.add("out", "collage.png", str, "file of the sheet; its ending gives the format", OUTPUT)
    flags.add("out_dir", None, str | None, "also save each picture, at the model's own size, in this folder", OUTPUT)
    flags.add("animate", None, str | None, "also save the drawing as it goes: .gif, .webp or .png", OUTPUT)
    refine = "make large, sharp pictures that scale down to the drawn tokens, by changing a canvas of this kind"
    flags.add("refine", None, str | None, refine, REFINE, KINDS)
    add_refining(flags, REFINE, "refine_")
    add_facts(flags, CHECKED)
    return flags


def run(arguments: Sequence[str]) -> int:
    """Draw; returns the exit code."""
    flags = make_flags()
    given, _ = flags.parse(arguments)
    options = flags.options(given)
    if given.get("model_name") == "":
        raise ConfigError("--model_name= names no model; --model_name=NAME does, or leave it out to draw emoji")
    if not {"batch_size", "model_name", "checkpoint"} & given.keys():
        options["batch_size"] = 9
    if options["refine"] and "scale" not in given:
        options["scale"] = options["refine_size"] + 2  # with its border: each pixel of a large picture as it is
    temperatures = _numbers(comma_list(options["temperature"]))
    prompts = comma_list(options["prompt"])
    if "prompt" in given and not prompts:
        raise ConfigError("--prompt= names no picture; leave the flag out to draw without a prompt")
    _check_outputs(options)
    devices.prepare(options["device"])
    import jax

    from pixace.sampling.predictor import get_predictor, sheet_shape

    found = devices.find_devices(options["device"])
    with jax.default_device(found[0]):
        predictor = get_predictor(
            options["model_name"],
            options["model_type"],
            options["weights_dir"],
            options["image_size"],
            options["bitdepth"],
            options["checkpoint"],
            options["engine"],
            options["n_heads"],
        )
        drawn = len(prompts) or options["batch_size"]
        choose = load_choice(options, drawn)
        columns, rows = sheet_shape(options["keep"] or drawn, len(temperatures), bool(prompts))
        scale = _animation_scale(options, columns, rows) if options["animate"] else 0
        check_size(options["out"], columns * options["scale"], rows * options["scale"])
        edge = predictor.model.tokenizer.config.image_size
        wishes = make_wishes(options, "refine_", edge) if options["refine"] else []  # before hours of drawing
        drawing, frames = _draw(predictor, options, prompts, temperatures, found)
        drawing = choose(drawing) if choose else drawing
        if options["refine"]:
            drawing = _enlarged(drawing, predictor, options, wishes)
    _save(drawing, options, name_of_model(predictor.model.folder))
    if options["animate"]:
        from pixace.sheets import save_animation

        save_animation(frames, options["animate"], scale=scale)
        print(f"saved {options['animate']}")
    return 0


def _draw(
    predictor: "Predictor", options: dict[str, Any], prompts: list[str], temperatures: list[float], found: Sequence[Any]
) -> tuple["Drawing", list[Any]]:
    """What was drawn and, where an animation is wanted, a frame (uint8 (h, w, 3)) after each row of pixels."""
    import numpy as np

    from pixace.progress import Bar

    width = predictor.model.config.model.width
    with Bar("drawing") as bar:
        drawings = predictor.stream(
            options["batch_size"],
            prompts,
            options["cut"],
            temperatures,
            options["top_k"],
            options["top_p"],
            options["min_p"],
            options["seed"],
            chunk=width if options["animate"] else None,
            progress=bar,
        )
        first = next(drawings)  # so prompts and settings are good
        print(devices.describe(found[:1]), file=sys.stderr)
        devices.warn_of_idle_gpu(found)
        drawing, frames = first, []
        for drawing in itertools.chain([first], drawings):
            if options["animate"]:
                frames.append(np.asarray(drawing.sheet(width + 2)))
    return drawing, frames


def _enlarged(drawing: "Drawing", predictor: "Predictor", options: dict[str, Any], wishes: Any) -> "Drawing":
    """The drawing with large pictures in place of what was drawn; prompts are enlarged pixel by pixel."""
    from dataclasses import replace

    import numpy as np
    from PIL import Image

    size, tokenizer = options["refine_size"], predictor.model.tokenizer
    small = np.stack([picture for column in drawing.columns for picture in column])
    tokens = tokenizer.encode_rgb(small).reshape(len(small), -1)
    large = list(refined(tokens, tokenizer, options, options["refine"], "refine_", wishes))
    count = len(drawing.columns[0])

    def plain(pictures: list[Any]) -> list[Any]:
        return [np.asarray(Image.fromarray(p).resize((size, size), Image.Resampling.NEAREST)) for p in pictures]

    columns = [large[i : i + count] for i in range(0, len(large), count)]
    return replace(drawing, columns=columns, prompts=plain(drawing.prompts), cuts=plain(drawing.cuts))


def _save(drawing: "Drawing", options: dict[str, Any], model: str) -> None:
    """Write the sheet and, where a folder is given, each picture; say so."""
    from PIL import Image

    from pixace.sheets import save_picture

    facts = {
        "Software": "pixace",
        "model": model,
        "seed": str(drawing.seed),
        "temperature": ",".join(map(str, drawing.temperatures)),
        **{name: str(options[name]) for name in ("top_k", "top_p", "min_p") if options[name] is not None},
        **({"text": "; ".join(options["text"])} if options["text"] else {}),
        **({"cut": str(drawing.cut)} if drawing.prompts else {}),
        **({name: str(options[name]) for name in ("refine", "refine_size")} if options["refine"] else {}),
    }
    save_picture(drawing.sheet(options["scale"], options["interpolation"]), options["out"], metadata=facts)
    print(f"seed {drawing.seed}, saved {options['out']}")
    if not options["out_dir"]:
        return
    folder = expanded(options["out_dir"])
    for temperature, column in zip(drawing.temperatures, drawing.columns, strict=True):
        for i, picture in enumerate(column):
            own = {**facts, "temperature": str(temperature), "index": str(i)}
            name = f"{i:04d}-t{str(temperature).removesuffix('.0')}.png"
            save_picture(Image.fromarray(picture), folder / name, metadata=own)
    count = len({*drawing.temperatures}) * len(drawing.columns[0])
    print(f"saved {count} pictures in {options['out_dir']}")


def _check_outputs(options: dict[str, Any]) -> None:
    """Raise, before any work, where the results could not be written in the end."""
    from pixace.sheets import check_animation, check_format

    if options["scale"] < 1:
        raise ConfigError(f"--scale={options['scale']}: at least 1 pixel is needed")
    if options["refine_style"] and not options["refine"]:
        raise ConfigError("--refine_style is for --refine=imstack, or another canvas")
    check_format(options["out"])
    if options["animate"]:
        check_animation(options["animate"])
    for name in ("out", "animate", "out_dir"):
        if options[name]:
            check_writable(expanded(options[name]), is_folder=name == "out_dir")


def _animation_scale(options: dict[str, Any], columns: int, rows: int) -> int:
    """Width of the animation: that of the sheet, or less where it would be too large."""
    tallest = LONGEST_EDGE.get(Path(options["animate"]).suffix.lower(), 65535)
    tile = min(options["scale"], ANIMATION_WIDTH // columns, tallest // max(rows, 1))
    return max(1, tile) * columns


def _numbers(words: list[str]) -> list[float]:
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        raise ConfigError(f"--temperature={','.join(words)}: numbers with commas between are needed") from None
    if not numbers or not all(0 <= number <= HOTTEST for number in numbers):
        raise ConfigError(f"--temperature={','.join(words)}: numbers from 0 to {HOTTEST:g} are needed")
    return numbers
