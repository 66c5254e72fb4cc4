"""What a network for fast style transfer and the run that trains it are made of, and the `config.json` that says so."""

import dataclasses
import json
import math
from dataclasses import dataclass

from pixace.errors import ConfigError
from pixace.fields import check_choices, option, require
from pixace.fitting.sections import read_document, read_section
from pixace.style.layers import LAYER_SETS, Weighted, find_layer_set, parse_layers
from pixace.style.options import STATISTICS

# Johnson's, which add up rather than being averaged, so that the usual weights of content and style hold.
CONTENT_LAYERS: Weighted = (("relu3_3", 1.0),)
STYLE_LAYERS: Weighted = (("relu1_2", 1.0), ("relu2_2", 1.0), ("relu3_3", 1.0), ("relu4_3", 1.0))
KIND, FORMAT_VERSION = "fast style transfer", 1
MOST_STYLES, WIDEST, DEEPEST, LARGEST_EDGE = 1000, 512, 100, 4096


@dataclass(frozen=True)
class TransformConfig:
    """The image transformation network."""

    padding_mode: str = option(
        "reflect", "what convolutions see beyond the edge: reflect, zero or replicate", ("reflect", "zero", "replicate")
    )
    norm_type: str = option(
        "instance", "what follows a convolution: instance norm, batch norm or none", ("instance", "batch", "none")
    )
    upsample_type: str = option(
        "interpolate",
        "how maps become larger: interpolate (nearest, then a convolution) or transpose (a transposed convolution, "
        "which may leave a checkerboard)",
        ("interpolate", "transpose"),
    )
    output_fn: str = option(
        "none", "what is done to the colours at the end: none, clamp or sigmoid", ("none", "clamp", "sigmoid")
    )
    skips: bool = option(False, "hand the maps of the first layers on to the last ones, as a U-Net does")
    width: int = option(32, "channels of the first map")
    n_residual: int = option(5, "residual blocks")
    n_styles: int = option(1, "styles in one network")
    dtype: str = option("float32", "number format of the convolutions: float32 or bfloat16", ("float32", "bfloat16"))

    def __post_init__(self) -> None:
        check_choices(self)
        require(1 <= self.width <= WIDEST, f"width={self.width}: 1 to {WIDEST} are possible")
        require(0 <= self.n_residual <= DEEPEST, f"n_residual={self.n_residual}: 0 to {DEEPEST} are possible")
        require(1 <= self.n_styles <= MOST_STYLES, f"{self.n_styles} styles: 1 to {MOST_STYLES} are possible")
        require(
            self.n_styles == 1 or self.norm_type != "none",
            f"norm_type=none has no place for {self.n_styles} styles: they differ in the scales of their norms",
        )


@dataclass(frozen=True)
class FastTraining:
    """One run of training: its pictures, the loss, the length, and what it writes on the way."""

    images: str | None = option(
        None,
        "pictures to train on, any: a folder, a .zip, .tar, .tar.gz, .tgz or .parquet file, several of them as "
        "'a-{000..003}.tar', or tfds:NAME[:VERSION][/SPLIT], such as tfds:coco/2017",
    )
    max_samples: int | None = option(100_000, "of more pictures, take a fair sample of so many")
    image_size: int = option(256, "edge of the square pictures to train on, in pixels")
    resize: str = option(
        "crop", "how a picture becomes square: crop its centre, squash it, or pad it", ("crop", "squash", "pad")
    )
    flip: bool = option(False, "mirror each training picture left to right, half of the time")
    style_size: int | None = option(
        None, "longer edge of the style pictures, in pixels: larger gives larger strokes (default: --image_size)"
    )
    network: str = option(
        "vgg19", "what looks at pictures: vgg19, vgg16, or a file of their weights (.safetensors, .pth, .npz)"
    )
    layers: str | None = option(
        None,
        f"set of layers: {', '.join(LAYER_SETS)} (default: those of johnson, with weights of 1)",
        tuple(LAYER_SETS),
    )
    content_layers: str | None = option(
        None, "layers of the content, such as relu3_3:1 (default: by --layers, else relu3_3)"
    )
    style_layers: str | None = option(None, "layers of the style, such as relu1_2,relu2_2:0.5 (default: by --layers)")
    statistic: str = option("gram_chw", "what of a style is to be met, as `pixace style` has it", STATISTICS)
    pooling: str = option("max", "what pools do: max, average or l2", ("max", "average", "l2"))
    content_weight: float = option(1.0, "weight of the content")
    style_weight: float = option(1e5, "weight of the style")
    tv: str = option("squared", "kind of total variation: squared, absolute, or nine", ("squared", "absolute", "nine"))
    tv_weight: float = option(1e-6, "weight of the total variation, which smooths")
    batch_size: int = option(4, "pictures a step")
    n_steps: int = option(40_000, "length of the run in steps")
    max_minutes: float | None = option(None, "end the run after so many minutes of training, if that is sooner")
    lr: float = option(1e-3, "learning rate (AdamW)")
    weight_decay: float = option(1e-2, "decoupled weight decay of the kernels")
    ema: bool = option(True, "average the weights over the steps, and apply the average")
    seed: int = option(0, "seed of the initial weights and of the order of pictures")
    save_minutes: float = option(10.0, "minutes between checkpoints")
    keep: int = option(2, "checkpoints to keep")
    steps_per_sample: int = option(500, "steps between sheets of samples")
    n_samples: int = option(4, "training pictures on a sheet; 0 for no sheets")

    def __post_init__(self) -> None:
        check_choices(self)
        for name in ("max_samples", "style_size", "batch_size", "n_steps", "keep", "steps_per_sample"):
            value = getattr(self, name)
            require(value is None or value >= 1, f"{name}={value}: at least 1 is needed")
        for name in ("lr", "max_minutes", "save_minutes"):
            value = getattr(self, name)
            require(value is None or 0 < value < math.inf, f"{name}={value}: it must be above 0 and finite")
        for name in ("content_weight", "style_weight", "tv_weight", "weight_decay", "n_samples", "seed"):
            require(0 <= getattr(self, name) < math.inf, f"{name}={getattr(self, name)}: it must not be negative")
        for name in ("image_size", "style_size"):
            value = getattr(self, name)
            require(value is None or 16 <= value <= LARGEST_EDGE, f"{name}={value}: 16 to {LARGEST_EDGE} are possible")
        self.layers_of("vgg16" if self.network == "vgg16" else "vgg19")  # raises for a bad text
        require(self.seed < 2**31, f"seed={self.seed}: it must be below 2**31")
        require(self.n_steps < 2**31, f"n_steps={self.n_steps}: it must be below 2**31")

    def layers_of(self, network: str) -> tuple[Weighted, Weighted]:
        """Layers of the content and of the style in a network, with their weights.

        Raises:
            ConfigError: the network lacks one of them.
        """
        chosen = None if self.layers is None else find_layer_set(self.layers)
        own = [
            (self.content_layers, CONTENT_LAYERS if chosen is None else chosen.content),
            (self.style_layers, STYLE_LAYERS if chosen is None else chosen.style),
        ]
        content, style = (parse_layers(text, network) if text else whole for text, whole in own)
        return content, style


@dataclass(frozen=True)
class FastConfig:
    """Everything that `config.json` says: the network, its training, and the files of its styles."""

    network: TransformConfig
    training: FastTraining
    styles: tuple[str, ...]


def to_json(config: FastConfig, versions: dict[str, str]) -> str:
    """`config.json` as text; `versions` names the libraries that wrote it."""
    sections = {"kind": KIND, "format": FORMAT_VERSION, "versions": versions, **dataclasses.asdict(config)}
    return json.dumps(sections, indent=2) + "\n"


def from_json(text: str, where: str) -> FastConfig:
    """Read `config.json`. Raises `ConfigError` naming `where`, the field and what is wrong."""
    foreign = "not that of a network for fast style transfer; `pixace style train` makes one"
    raw = read_document(text, where, KIND, FORMAT_VERSION, foreign)
    styles = raw.get("styles")
    good = isinstance(styles, list) and all(isinstance(style, str) for style in styles)
    require(good, f"{where}: styles={styles!r} is no list of names")
    try:
        sections = (read_section(TransformConfig, raw.get("network")), read_section(FastTraining, raw.get("training")))
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None
    return FastConfig(*sections, tuple(styles or ()))
