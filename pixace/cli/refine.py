"""`pixace refine`"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pixace import devices
from pixace.canvas.kinds import KINDS
from pixace.cli.choosing import CLIP_HELP
from pixace.cli.flags import FlagSet
from pixace.cli.outputs import check_size, check_writable
from pixace.config import TokenizerConfig
from pixace.errors import ConfigError
from pixace.folders import expanded

ABOUT = (
    "Make large, sharp pictures of small drawings. Each picture is first made as small as a model's drawings and "
    "quantised as they are; the result gives back these tokens when it is scaled down, and is smooth along edges and "
    "sharp across them where they leave a choice. `pixace predict --refine=imstack` does the same with what it draws."
)
DRAWING, RESULT, OUTPUT = "what the drawing is", "what is made of it", "what to write"


def make_flags() -> FlagSet:
    """The flags of this command."""
    flags = FlagSet("pixace refine IMAGE... [--size=512] [--flags]", ABOUT)
    flags.add("model_name", None, str | None, "take the tokens of this model in WEIGHTS_DIR", DRAWING)
    flags.add("weights_dir", "model-weights", str, "folder that holds the models", DRAWING)
    hints = {"image_size": int, "bitdepth": tuple[int, ...], "tokenizer": str, "resize": str}
    for name, hint in hints.items():
        entry = TokenizerConfig.__dataclass_fields__[name]
        flags.add(name, entry.default, hint, entry.metadata["help"], DRAWING, entry.metadata["choices"])
    add_refining(flags, RESULT, "")
    flags.add("out", "refined.png", str, "file of the result; with several pictures a sheet of them", OUTPUT)
    flags.add("out_dir", None, str | None, "also save each picture by itself in this folder", OUTPUT)
    flags.add("device", "auto", str, "gpu and tpu fail where there is none", OUTPUT, devices.DEVICES)
    return flags


def add_refining(flags: FlagSet, section: str, prefix: str) -> None:
    """Flags that say how pictures are refined; their names begin with `prefix`."""
    flags.add(f"{prefix}size", 512, int, "edge of the large pictures, in pixels", section)
    flags.add(f"{prefix}style", None, str | None, "a picture whose style they take on: a file or address", section)
    weight = "how strong the style is, beside the drawing"
    flags.add(f"{prefix}style_weight", 1.0, float, weight, section)
    network = "what looks at the style: vgg19, vgg16, or a file of their weights"
    flags.add(f"{prefix}network", "vgg19", str, network, section)
    flags.add(f"{prefix}layers", "default", str, "set of layers for the style, as of `pixace style`", section)
    weight = "how strong --text is, beside the drawing"
    flags.add(f"{prefix}text_weight", 1.0, float, weight, section)
    if not prefix:
        flags.add("text", None, list[str], "what they shall be like, in words; may repeat", section)
        flags.add("clip", "emoji-clip", str, CLIP_HELP, section)
        flags.add("canvas", "imstack", str, "what is changed: a stack of layers, or something else", section, KINDS)


def run(arguments: Sequence[str]) -> int:
    """Refine; returns the exit code."""
    flags = make_flags()
    given, pictures = flags.parse(arguments, positional=True)
    options = flags.options(given)
    if not pictures:
        raise ConfigError("which pictures? pixace refine IMAGE... takes files or http(s) addresses")
    from pixace.sheets import check_format

    check_format(options["out"])
    check_writable(expanded(options["out"]))
    try:
        check_size(options["out"], options["size"] * len(pictures), options["size"])
    except ConfigError as error:
        what, _, _ = str(error).partition(";")
        raise ConfigError(f"{what}; give a smaller --size or fewer pictures") from None
    if options["out_dir"]:
        check_writable(expanded(options["out_dir"]), is_folder=True)
    names = [Path(picture.rstrip("/")).stem or "picture" for picture in pictures]
    twice = sorted({name for name in names if names.count(name) > 1})
    if options["out_dir"] and twice:
        raise ConfigError(f"--out_dir={options['out_dir']}: two pictures would have one name there, {twice[0]}.png")
    devices.prepare(options["device"])
    import jax
    import numpy as np

    from pixace.tokenizer import Tokenizer

    found = devices.find_devices(options["device"])
    with jax.default_device(found[0]):
        tokenizer = Tokenizer(_tokenizer(options, given))
        tokens = np.stack([tokenizer.encode(picture) for picture in pictures])
        print(devices.describe(found[:1]), file=sys.stderr)
        wishes = make_wishes(options, "", tokenizer.config.image_size)
        large = refined(tokens, tokenizer, options, options["canvas"], "", wishes)
    _save(large, options, names)
    return 0


def make_wishes(options: dict[str, Any], prefix: str, edge: int) -> list[Any]:
    """The style and the words that flags ask for, each with how strong it is; what is wrong with any is told.

    `edge` is that of the drawings, in pixels. Flags of `add_refining` begin with `prefix`, those of words do not.
    """
    from pixace.refine.refine import check_refining

    size, texts = options[f"{prefix}size"], options["text"] or []
    check_refining(edge, size)
    for name in (f"{prefix}style_weight", f"{prefix}text_weight"):
        if not 0 <= options[name] < float("inf"):
            raise ConfigError(f"--{name}={options[name]}: a number from 0 on is needed")
    if not all(text.strip() for text in texts):
        raise ConfigError("--text= says nothing")
    wishes = []
    if options[f"{prefix}style"]:
        from pixace.refine.wishes import style_wish

        looks = {name: options[f"{prefix}{name}"] for name in ("network", "layers")}
        wishes.append((style_wish(options[f"{prefix}style"], size, **looks), options[f"{prefix}style_weight"]))
    if texts:
        from pixace.clip.weights import load_clip
        from pixace.refine.text_wish import text_wish

        wishes.append((text_wish(texts, load_clip(options["clip"])), options[f"{prefix}text_weight"]))
    return wishes


def refined(tokens: Any, tokenizer: Any, options: dict[str, Any], canvas: str, prefix: str, wishes: Any) -> Any:
    """The large pictures of drawings (B, T), uint8 (B, E, E, 3), as the flags say and `make_wishes` made of them."""
    from pixace.progress import Bar
    from pixace.refine.refine import refine, share_kept

    size = options[f"{prefix}size"]
    with Bar("refining") as bar:
        large = refine(
            tokens,
            tokenizer,
            size,
            canvas=canvas,
            wishes=wishes,
            progress=bar,
        )
    kept = sum(share_kept(picture, row, tokenizer) for picture, row in zip(large, tokens, strict=True)) / len(tokens)
    print(f"{100 * kept:.2f} % of the pixels give back their token when the pictures are scaled down")
    return large


def _tokenizer(options: dict[str, Any], given: dict[str, Any]) -> TokenizerConfig:
    """The tokens of the model, or those that the flags describe."""
    if options["model_name"] is None:
        chosen = {name: options[name] for name in ("image_size", "bitdepth", "tokenizer", "resize")}
        return TokenizerConfig(**chosen)
    from pixace.exchange import find_model

    described = {name: given[name] for name in ("image_size", "bitdepth", "tokenizer", "resize") if name in given}
    return find_model(options["model_name"], options["weights_dir"], described).config.tokenizer


def _save(large: Any, options: dict[str, Any], names: list[str]) -> None:
    import numpy as np
    from PIL import Image

    from pixace.sheets import save_picture

    save_picture(Image.fromarray(np.concatenate(list(large), axis=1)), options["out"])
    print(f"saved {options['out']}")
    if options["out_dir"]:
        folder = expanded(options["out_dir"])
        for name, picture in zip(names, large, strict=True):
            save_picture(Image.fromarray(picture), folder / f"{name}.png")
        print(f"saved {len(names)} pictures in {options['out_dir']}")
