"""What networks for unpaired translation and the run that trains them are made of, and their `config.json`."""

import dataclasses
import json
import math
from dataclasses import dataclass

from pixace.errors import ConfigError
from pixace.fields import check_choices, option, require
from pixace.fitting.sections import read_document, read_section

KIND, FORMAT_VERSION = "unpaired", 1
WIDEST, DEEPEST, LARGEST_EDGE = 512, 100, 4096
SMALLEST_MAP = 4  # edge of the last map that a discriminator judges patches by; its two 4x4 kernels need no more


@dataclass(frozen=True)
class UnpairedNetworks:
    """The two generators, which are alike, and the two discriminators."""

    width: int = option(64, "channels of a generator's first map")
    n_residual: int = option(9, "residual blocks of a generator: 9 for 256 pixels and more, 6 for fewer")
    upsample_type: str = option(
        "transpose",
        "how maps become larger: transpose (a transposed convolution, as published) or interpolate (nearest, then a "
        "convolution: no checkerboard)",
        ("transpose", "interpolate"),
    )
    d_width: int = option(64, "channels of a discriminator's first map")
    d_layers: int = option(3, "strided layers of a discriminator: 3 judge patches of 70 pixels, 2 of 34, 1 of 16")
    dtype: str = option("float32", "number format of the convolutions: float32 or bfloat16", ("float32", "bfloat16"))

    def __post_init__(self) -> None:
        check_choices(self)
        for name in ("width", "d_width"):
            require(1 <= getattr(self, name) <= WIDEST, f"{name}={getattr(self, name)}: 1 to {WIDEST} are possible")
        require(0 <= self.n_residual <= DEEPEST, f"n_residual={self.n_residual}: 0 to {DEEPEST} are possible")
        require(1 <= self.d_layers <= 6, f"d_layers={self.d_layers}: 1 to 6 are possible")


@dataclass(frozen=True)
class UnpairedTraining:
    """One run of training: its pictures, the loss, the length, and what it writes on the way."""

    a: str | None = option(
        None, "pictures of the one kind: a folder, a .zip, .tar, .tar.gz, .tgz or .parquet file, or tfds:NAME"
    )
    b: str | None = option(None, "pictures of the other kind, in the same forms; they need not match those of --a")
    max_samples: int | None = option(100_000, "of more pictures of a kind, take a fair sample of so many")
    image_size: int = option(256, "edge of the squares to train on, cut out of the pictures at random, in pixels")
    load_size: int | None = option(
        None, "shorter edge that pictures are scaled to before that (default: --image_size * 286 / 256)"
    )
    flip: bool = option(True, "mirror each training picture left to right, half of the time")
    cycle_weight: float = option(10.0, "weight of coming back, A to B to A and B to A to B")
    identity_weight: float = option(
        0.5, "weight, times --cycle_weight, of leaving alone what is of the right kind already; it keeps colours"
    )
    pool_size: int = option(50, "generated pictures kept to show the discriminators again; 0: none")
    batch_size: int = option(1, "pictures of each kind a step")
    n_steps: int = option(200_000, "length of the run in steps")
    n_decay: int | None = option(
        None, "of these, the last ones, over which the learning rate falls to 0 in a line (default: half)"
    )
    max_minutes: float | None = option(None, "end the run after so many minutes of training, if that is sooner")
    lr: float = option(2e-4, "learning rate (Adam)")
    beta1: float = option(0.5, "decay of Adam's average of the gradients")
    ema: bool = option(True, "average the generators' weights over the steps, and apply the average")
    seed: int = option(0, "seed of the initial weights, of the order of pictures, and of all that is random")
    save_minutes: float = option(10.0, "minutes between checkpoints")
    keep: int = option(2, "checkpoints to keep")
    steps_per_sample: int = option(500, "steps between sheets of samples")
    n_samples: int = option(4, "training pictures of each kind on a sheet; 0 for no sheets")

    def __post_init__(self) -> None:
        for name in ("max_samples", "batch_size", "n_steps", "keep", "steps_per_sample"):
            value = getattr(self, name)
            require(value is None or value >= 1, f"{name}={value}: at least 1 is needed")
        for name in ("lr", "max_minutes", "save_minutes"):
            value = getattr(self, name)
            require(value is None or 0 < value < math.inf, f"{name}={value}: it must be above 0 and finite")
        for name in ("cycle_weight", "identity_weight", "pool_size", "n_samples", "seed"):
            require(0 <= getattr(self, name) < math.inf, f"{name}={getattr(self, name)}: it must not be negative")
        good = 16 <= self.image_size <= LARGEST_EDGE
        require(good, f"image_size={self.image_size}: 16 to {LARGEST_EDGE} are possible")
        good = self.image_size <= self.loaded <= 2 * LARGEST_EDGE
        require(good, f"load_size={self.load_size}: squares of image_size={self.image_size} must fit in it")
        require(0 <= self.decaying <= self.n_steps, f"n_decay={self.n_decay}: 0 to n_steps={self.n_steps} are possible")
        require(0 <= self.beta1 < 1, f"beta1={self.beta1}: it must be in [0, 1)")
        require(self.seed < 2**31 - 1, f"seed={self.seed}: it must be below 2**31 - 1")
        require(self.n_steps < 2**31, f"n_steps={self.n_steps}: it must be below 2**31")

    @property
    def loaded(self) -> int:
        """Edge of the squares that training cuts its own out of."""
        return round(self.image_size * 286 / 256) if self.load_size is None else self.load_size

    @property
    def decaying(self) -> int:
        """Steps over which the learning rate falls."""
        return self.n_steps // 2 if self.n_decay is None else self.n_decay


@dataclass(frozen=True)
class UnpairedConfig:
    """Everything that `config.json` says: the networks and their training."""

    network: UnpairedNetworks
    training: UnpairedTraining

    def __post_init__(self) -> None:
        edge, layers = self.training.image_size, self.network.d_layers
        require(
            edge >> layers >= SMALLEST_MAP,
            f"image_size={edge} is too small for d_layers={layers}: "
            f"give at least {SMALLEST_MAP << layers} pixels, or fewer layers",
        )


def to_json(config: UnpairedConfig, versions: dict[str, str]) -> str:
    """`config.json` as text; `versions` names the libraries that wrote it."""
    sections = {"kind": KIND, "format": FORMAT_VERSION, "versions": versions, **dataclasses.asdict(config)}
    return json.dumps(sections, indent=2) + "\n"


def from_json(text: str, where: str) -> UnpairedConfig:
    """Read `config.json`. Raises `ConfigError` naming `where`, the field and what is wrong."""
    foreign = "of {found}, not of unpaired translation; `pixace style unpaired` makes one"
    raw = read_document(text, where, KIND, FORMAT_VERSION, foreign)
    try:
        return UnpairedConfig(
            read_section(UnpairedNetworks, raw.get("network")), read_section(UnpairedTraining, raw.get("training"))
        )
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None
