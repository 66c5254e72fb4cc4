"""What a CLIP that is trained here and its run are made of, and the `config.json` that says so."""

import dataclasses
import json
import math
from dataclasses import dataclass

from pixace.clip.config import HEAD, ClipConfig, ConvnetConfig, TextConfig
from pixace.errors import ConfigError
from pixace.fields import option, require
from pixace.fitting.sections import read_document, read_section

KIND, FORMAT_VERSION = "clip", 1
WIDEST, DEEPEST, LARGEST_EDGE = 1024, 32, 512


@dataclass(frozen=True)
class ClipNetwork:
    """Both towers: a residual network, and a causal transformer."""

    image_size: int = option(32, "edge of the pictures, in pixels: with three stages a multiple of 16")
    image_width: int = option(64, "channels of the image tower's first map; each further stage doubles them")
    image_blocks: tuple[int, ...] = option((2, 2, 2), "residual blocks in each stage of the image tower")
    text_length: int = option(16, "tokens of a text, its beginning and end included")
    text_width: int = option(128, "width of the text tower, a multiple of 64")
    text_layers: int = option(1, "layers of the text tower")
    space: int = option(128, "entries of the vectors that both towers end in")

    def __post_init__(self) -> None:
        even = 2 <= self.image_width <= WIDEST and self.image_width % 2 == 0
        require(even, f"image_width={self.image_width}: an even number from 2 to {WIDEST} is needed")
        good = 1 <= len(self.image_blocks) <= 4 and all(1 <= count <= DEEPEST for count in self.image_blocks)
        require(good, f"image_blocks={self.image_blocks}: up to four numbers from 1 to {DEEPEST} are needed")
        cell = 2 ** (len(self.image_blocks) + 1)
        fits = 16 <= self.image_size <= LARGEST_EDGE and self.image_size % cell == 0
        require(fits, f"image_size={self.image_size}: a multiple of {cell} from 16 to {LARGEST_EDGE} is needed")
        require(3 <= self.text_length <= 512, f"text_length={self.text_length}: 3 to 512 are possible")
        heads = HEAD <= self.text_width <= WIDEST and self.text_width % HEAD == 0
        require(heads, f"text_width={self.text_width}: a multiple of {HEAD} up to {WIDEST} is needed")
        require(1 <= self.text_layers <= DEEPEST, f"text_layers={self.text_layers}: 1 to {DEEPEST} are possible")
        require(1 <= self.space <= WIDEST, f"space={self.space}: 1 to {WIDEST} are possible")

    def clip(self, vocabulary: int) -> ClipConfig:
        """The towers' sizes, with a vocabulary of so many tokens."""
        image = ConvnetConfig(self.image_size, self.image_width, self.image_blocks)
        words = TextConfig(vocabulary, self.text_length, self.text_width, self.text_layers, self.text_width // HEAD)
        return ClipConfig(image, words, self.space, "gelu")


@dataclass(frozen=True)
class ClipTraining:
    """One run of training: its pictures and names, the length, and what it writes on the way."""

    images: str | None = option(
        None,
        "pictures to train on: a folder, or a .zip, .tar, .tar.gz or .tgz file (default: the folder emoji that "
        "`pixace download --dataset=emoji` makes)",
    )
    names: str | None = option(
        None,
        "table of their names, tab-separated: file, name (default: names.tsv among the pictures; else names are "
        "made from those of the files)",
    )
    hold_out: bool = option(True, "keep one family in ten, and one variant in five of the others, to validate with")
    batch_size: int = option(128, "pictures a step")
    n_steps: int = option(1100, "length of the run in steps")
    varied: float = option(0.5, "share of the pictures that are varied; the others stand on white as they are")
    n_easy: int = option(
        300, "steps over which --varied and --adversarial grow from 0: with all at once nothing is learned"
    )
    max_minutes: float | None = option(None, "end the run after so many minutes of training, if that is sooner")
    lr: float = option(2e-3, "highest learning rate (AdamW): it rises at the beginning and falls to the end")
    weight_decay: float = option(0.05, "decoupled weight decay of the kernels")
    adversarial: float = option(
        0.01,
        "each picture is changed against its text by so much a value, root mean square, of a range of 1: the network "
        "then sees what people see; 0 for not at all, which takes 2/3 of the time",
    )
    ema: bool = option(True, "average the weights over the steps, and share the average")
    seed: int = option(0, "seed of the initial weights, the order of pictures and their variations")
    save_minutes: float = option(10.0, "minutes between checkpoints")
    keep: int = option(2, "checkpoints to keep")
    steps_per_sample: int = option(500, "steps between validations")

    def __post_init__(self) -> None:
        for name in ("batch_size", "n_steps", "keep", "steps_per_sample"):
            require(getattr(self, name) >= 1, f"{name}={getattr(self, name)}: at least 1 is needed")
        require(self.batch_size >= 2, f"batch_size={self.batch_size}: at least 2 are needed, to tell one from another")
        for name in ("lr", "max_minutes", "save_minutes"):
            value = getattr(self, name)
            require(value is None or 0 < value < math.inf, f"{name}={value}: it must be above 0 and finite")
        for name in ("weight_decay", "adversarial", "n_easy", "seed"):
            require(0 <= getattr(self, name) < math.inf, f"{name}={getattr(self, name)}: it must not be negative")
        require(0 <= self.varied <= 1, f"varied={self.varied}: it must be from 0 to 1")
        require(self.seed < 2**31 - 1, f"seed={self.seed}: it must be below 2**31 - 1")
        require(self.n_steps < 2**31, f"n_steps={self.n_steps}: it must be below 2**31")


@dataclass(frozen=True)
class TrainedClip:
    """Everything that `config.json` says: the network and its training."""

    network: ClipNetwork
    training: ClipTraining


def to_json(config: TrainedClip, versions: dict[str, str]) -> str:
    """`config.json` as text; `versions` names the libraries that wrote it."""
    sections = {"kind": KIND, "format": FORMAT_VERSION, "versions": versions, **dataclasses.asdict(config)}
    return json.dumps(sections, indent=2) + "\n"


def from_json(text: str, where: str) -> TrainedClip:
    """Read `config.json`. Raises `ConfigError` naming `where`, the field and what is wrong."""
    raw = read_document(text, where, KIND, FORMAT_VERSION, "of {found}, not of a CLIP that `pixace clip train` made")
    try:
        sections = (read_section(ClipNetwork, raw.get("network")), read_section(ClipTraining, raw.get("training")))
        return TrainedClip(*sections)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None
