"""`pixace tokenize`"""

from collections.abc import Sequence

import numpy as np

from pixace.cli.flags import FlagSet
from pixace.cli.outputs import check_size, check_writable
from pixace.config import TokenizerConfig
from pixace.errors import ConfigError
from pixace.folders import expanded

ABOUT = (
    "Show what tokenizing does to pictures: each at full resolution (or at --image_size), beside what is left of it "
    "under each bit depth, with the peak signal-to-noise ratio in dB."
)


def make_flags() -> FlagSet:
    """The flags of this command."""
    flags = FlagSet("pixace tokenize IMAGE... [--bitdepth=5,4,4 --bitdepth=4,3,3] [--flags]", ABOUT)
    options = TokenizerConfig.__dataclass_fields__
    flags.add("bitdepth", ["5,4,4", "4,3,3", "3,2,2"], list[str], "bits a channel; repeat it for more columns")
    flags.add("tokenizer", "hsv", str, options["tokenizer"].metadata["help"], choices=("hsv", "rgb"))
    flags.add("image_size", None, int | None, "first make the pictures squares of this edge, as for training")
    for name in ("resize", "exact", "background"):
        entry = options[name]
        kind = bool if name == "exact" else str
        flags.add(name, entry.default, kind, entry.metadata["help"], choices=entry.metadata["choices"])
    flags.add("scale", 256, int, "width of one tile in the table, in pixels")
    flags.add("out", "tokens.png", str, "file of the table; its ending gives the format")
    return flags


def run(arguments: Sequence[str]) -> int:
    """Make the table; returns the exit code."""
    from pixace.images import load_square, open_picture
    from pixace.sheets import check_format, save_picture
    from pixace.token_table import token_table
    from pixace.tokenizer import Tokenizer, psnr

    flags = make_flags()
    given, pictures = flags.parse(arguments, positional=True)

    def value(name: str):
        return given.get(name, flags.default(name))

    if not pictures:
        raise ConfigError("which pictures? pixace tokenize IMAGE... takes files or http(s) addresses")
    if value("scale") < 16:
        raise ConfigError(f"--scale={value('scale')}: at least 16 pixels are needed")
    check_format(value("out"))
    check_writable(expanded(value("out")))
    depths = [_bits(text) for text in value("bitdepth")]
    check_size(value("out"), value("scale") * (1 + len(depths)), value("scale") * len(pictures))
    tokenizers = [Tokenizer(TokenizerConfig(tokenizer=value("tokenizer"), bitdepth=bits)) for bits in depths]
    rows = []
    for picture in pictures:
        if value("image_size") is not None:
            checked = TokenizerConfig(image_size=value("image_size"), background=value("background"))
            resize, exact = value("resize"), value("exact")
            rgb = load_square(picture, checked.image_size, resize=resize, exact=exact, background=checked.background)
        else:
            rgb = np.asarray(open_picture(picture, background=value("background")))
        row = [(rgb, "original")]
        for tokenizer, bits in zip(tokenizers, depths, strict=True):
            copy = tokenizer.decode_tokens(tokenizer.encode_rgb(rgb))
            label = f"{value('tokenizer')} {','.join(map(str, bits))}: {psnr(rgb, copy):.1f} dB"
            row.append((copy, label))
            print(f"{picture}  {label}  ({tokenizer.vocab_size} ids)")
        rows.append(row)
    save_picture(token_table(rows, value("scale")), value("out"))
    print(f"saved {value('out')}")
    return 0


def _bits(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(f"--bitdepth={text}: whole numbers with commas, such as 5,4,4, are needed") from None
