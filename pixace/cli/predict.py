"""`pixace predict`"""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pixace import devices
from pixace.cli.flags import FlagSet, comma_list
from pixace.config import ModelOptions, TokenizerConfig
from pixace.errors import ConfigError

ABOUT = (
    "Draw new pictures with a trained model, or complete prompts that are cut anywhere. The sheet has a row a picture; "
    "with prompts its columns are the prompt, the cut prompt, and what was drawn at each temperature."
)
INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "lanczos")
SHEET, OUTPUT, CHECKED = "what to draw", "what to write", "checked against the model if given"


def make_flags() -> FlagSet:
    """The flags of this command."""
    flags = FlagSet("pixace predict --model_name=NAME [--prompt=FILE_OR_URL,...] [--flags]", ABOUT)
    flags.add("model_name", None, str, "name of the model in WEIGHTS_DIR", "where")
    flags.add("weights_dir", "model-weights", str, "folder that holds the models", "where")
    flags.add_alias("model_dir", "weights_dir")
    flags.add("checkpoint", None, str | None, "folder of a model, instead of --model_name", "where")
    flags.add("device", "auto", str, "gpu and tpu fail where there is none", "where", devices.DEVICES)
    flags.add("batch_size", 16, int, "pictures to draw where there is no prompt", SHEET)
    flags.add("prompt", None, list[str], "files or http(s) addresses, with commas between; may repeat", SHEET)
    flags.add_alias("prompt_image", "prompt")
    flags.add("cut", None, str | None, "kept part of a prompt: pixels (512), rows (16r), a share (50%) [half]", SHEET)
    flags.add("temperature", ["1.0"], list[str], "0 is greedy; several, with commas, give a column each", SHEET)
    flags.add("top_k", None, int | None, "draw from the k most likely tokens", SHEET)
    flags.add("top_p", None, float | None, "draw from the most likely tokens that together have probability p", SHEET)
    flags.add("min_p", None, float | None, "draw from tokens at least so likely, against the most likely one", SHEET)
    flags.add("seed", None, int | None, "seed of the noise (default: a fresh one, printed)", SHEET)
    flags.add("scale", 256, int, "pixels of one tile in the sheet", OUTPUT)
    flags.add("interpolation", "nearest", str, "how tiles are enlarged", OUTPUT, INTERPOLATIONS)
    flags.add("out", "collage.png", str, "file of the sheet; its ending gives the format", OUTPUT)
    flags.add("out_dir", None, str | None, "also save each picture, at the model's own size, in this folder", OUTPUT)
    flags.add("animate", None, str | None, "also save the drawing as it goes: .gif, .webp or .png", OUTPUT)
    for section, names in ((ModelOptions, ["model_type"]), (TokenizerConfig, ["image_size", "bitdepth"])):
        kinds = {"model_type": str | None, "image_size": int | None, "bitdepth": tuple[int, ...] | None}
        for name in names:
            flags.add(name, None, kinds[name], section.__dataclass_fields__[name].metadata["help"], CHECKED)
    return flags


def run(arguments: Sequence[str]) -> int:
    """Draw; returns the exit code."""
    flags = make_flags()
    given, _ = flags.parse(arguments)

    def value(name: str):
        return given.get(name, flags.default(name))

    temperatures = _numbers(comma_list(value("temperature")))
    if value("scale") < 1:
        raise ConfigError(f"--scale={value('scale')}: at least 1 pixel is needed")
    devices.prepare(value("device"))
    from pixace.progress import Bar
    from pixace.sampling.predictor import get_predictor
    from pixace.sheets import check_animation, check_format, save_animation, save_picture

    check_format(value("out"))
    if value("animate"):
        check_animation(value("animate"))
    found = devices.find_devices(value("device"))
    predictor = get_predictor(
        value("model_name"),
        value("model_type"),
        value("weights_dir"),
        value("image_size"),
        value("bitdepth"),
        value("checkpoint"),
    )
    print(devices.describe(found[:1]), file=sys.stderr)
    devices.warn_of_idle_gpu(found)
    frames, drawing = [], None
    with Bar("drawing") as bar:
        for drawing in predictor.stream(
            value("batch_size"),
            comma_list(value("prompt")),
            value("cut"),
            temperatures,
            value("top_k"),
            value("top_p"),
            value("min_p"),
            value("seed"),
            chunk=predictor.model.config.model.width if value("animate") else None,
            progress=bar,
        ):
            if value("animate"):
                frames.append(np.asarray(drawing.sheet(predictor.model.config.model.width + 2)))
    assert drawing is not None
    facts = {
        "Software": "pixace",
        "model": str(predictor.model.folder),
        "seed": str(drawing.seed),
        "temperature": ",".join(map(str, temperatures)),
        **{name: str(value(name)) for name in ("top_k", "top_p", "min_p") if value(name) is not None},
        **({"cut": str(drawing.cut)} if drawing.prompts else {}),
    }
    save_picture(drawing.sheet(value("scale"), value("interpolation")), value("out"), metadata=facts)
    print(f"seed {drawing.seed}, saved {value('out')}")
    if value("out_dir"):
        print(f"saved {_save_each(drawing, Path(value('out_dir')), facts)} pictures in {value('out_dir')}")
    if value("animate"):
        n_columns = len(drawing.columns) + 2 * bool(drawing.prompts)
        save_animation(frames, value("animate"), scale=min(value("scale"), 1024 // n_columns) * n_columns)
        print(f"saved {value('animate')}")
    return 0


def _save_each(drawing, folder: Path, facts: dict[str, str]) -> int:
    from PIL import Image

    from pixace.sheets import save_picture

    count = 0
    for temperature, column in zip(drawing.temperatures, drawing.columns, strict=True):
        for i, picture in enumerate(column):
            own = {**facts, "temperature": str(temperature), "index": str(i)}
            save_picture(Image.fromarray(picture), folder / f"{i:04d}-t{temperature:g}.png", metadata=own)
            count += 1
    return count


def _numbers(words: list[str]) -> list[float]:
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        raise ConfigError(f"--temperature={','.join(words)}: numbers with commas between are needed") from None
    if not numbers or not all(0 <= number < float("inf") for number in numbers):
        raise ConfigError(f"--temperature={','.join(words)}: numbers of 0 or above are needed")
    return numbers
