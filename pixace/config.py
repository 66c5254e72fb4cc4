"""Frozen configuration: what a model's pictures, network and training run are made of.

`RunConfig` is what `config.json` holds (`config_file.py`). Each field carries its own help text, from which
the command line makes its flags, so that a name, its type, its default and its meaning are written once.
"""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from pixace.errors import ConfigError
from pixace.fields import check_choices, option, require, shown

MOST_BITS = 15  # of a token
LARGEST_EDGE = 4096  # pixels
N_RESERVED = 2  # ids 0 (<pad>, also the start id) and 1 (<fill>)
ENGINES = ("jax", "trax")
DEFAULT_HASHES, MOST_HASHES = 2, 64
MOST_ADDRESSES = 2**29  # of LSH attention: they are 32-bit integers


@dataclass(frozen=True)
class TokenizerConfig:
    """How a picture becomes integers: colour space, bits, edge length and the way of resizing."""

    tokenizer: str = option("hsv", "colour space of the tokens", ("hsv", "rgb"))
    bitdepth: tuple[int, ...] = option((5, 4, 4), "bits a channel: hue,saturation,value or red,green,blue")
    image_size: int = option(32, "edge of the square picture, in pixels")
    resize: str = option(
        "squash", "how a picture becomes square: squash it, crop its centre, or pad it", ("squash", "crop", "pad")
    )
    exact: bool = option(False, "decode JPEG files at full size: slower, equal to the source project's pixels")
    background: str = option("white", "colour behind transparent pixels and padding: a name or #rrggbb")

    def __post_init__(self) -> None:
        check_choices(self)
        bits = self.bitdepth
        require(
            len(bits) == 3 and all(isinstance(b, int) and b >= 1 for b in bits),
            f"bitdepth={','.join(map(str, bits))}: three whole numbers of at least 1 are needed, such as 5,4,4",
        )
        require(
            sum(bits) <= MOST_BITS,
            f"bitdepth={','.join(map(str, bits))}: the bits add up to {sum(bits)}, {MOST_BITS} are possible at most",
        )
        require(1 <= self.image_size <= LARGEST_EDGE, f"image_size={self.image_size}: 1 to {LARGEST_EDGE} are possible")
        require(_is_colour(self.background), f"background={self.background!r} is not a colour; try white or #ff8800")

    @property
    def vocab_size(self) -> int:
        """Number of token ids, the two reserved ones included."""
        return 2 ** sum(self.bitdepth) + N_RESERVED

    @property
    def n_tokens(self) -> int:
        """Tokens in one picture."""
        return self.image_size**2


def _is_colour(text: str) -> bool:
    from PIL import ImageColor  # here, so that showing the help does not load it

    try:
        return bool(ImageColor.getrgb(text))
    except ValueError:
        return False


@dataclass(frozen=True)
class ModelConfig:
    """Every switch of the network, spelled out; presets only fill these in (see `ModelOptions`)."""

    vocab_size: int
    height: int
    width: int
    arch: str
    d_model: int
    n_layers: int
    n_heads: int
    d_head: int
    d_value: int
    d_ff: int
    residual: str = option("plain", "", ("plain", "remat", "reversible"))
    attention: str = option("full", "", ("full", "lsh", "local"))
    window: int = 0
    n_hashes: int = 0
    norm: str = option("rms", "", ("rms", "layer"))
    positions: str = option("rotary", "", ("rotary", "learned"))
    qk_norm: bool = True
    activation: str = option("relu2", "", ("relu2", "relu", "gelu"))
    attention_bias: bool = False
    mlp_bias: bool = False
    output_bias: bool = False
    streams: str = option("mean", "", ("mean", "concat"))
    dropout: float = 0.0
    attention_dropout: float = 0.0
    position_dropout: float = 0.0
    output_dropout: float = 0.0
    dropout_shared: bool = False
    dtype: str = option("float32", "", ("float32", "bfloat16"))

    def __post_init__(self) -> None:
        check_choices(self)
        for name in ("vocab_size", "height", "width", "d_model", "n_layers", "n_heads", "d_head", "d_value", "d_ff"):
            value = getattr(self, name)
            require(isinstance(value, int) and value >= 1, f"{name}={value}: a whole number of at least 1 is needed")
        require(
            (self.window >= 1) == (self.attention != "full"), f"window={self.window} with {self.attention} attention"
        )
        require(
            (self.n_hashes >= 1) == (self.attention == "lsh"),
            f"n_hashes={self.n_hashes} with {self.attention} attention",
        )
        for name in ("dropout", "attention_dropout", "position_dropout", "output_dropout"):
            require(0 <= getattr(self, name) < 1, f"{name}={getattr(self, name)}: it must be in [0, 1)")
        require(self.n_hashes <= MOST_HASHES, f"n_hashes={self.n_hashes}: at most {MOST_HASHES} rounds are possible")
        require(
            self.attention != "lsh" or self.n_buckets * 2 * self.n_positions <= MOST_ADDRESSES,
            f"window={self.window} is too small for {self.n_positions} pixels: they would fall into {self.n_buckets} "
            "buckets a round",
        )
        require(
            self.positions != "rotary" or self.d_head % 4 == 0,
            f"d_head={self.d_head}: two-dimensional rotary positions need a multiple of 4 for each head; "
            "change --d_model or --n_heads (their quotient is the width of a head)",
        )

    @property
    def n_positions(self) -> int:
        """Tokens in one picture."""
        return self.height * self.width

    @property
    def n_buckets(self) -> int:
        """LSH buckets a round: an even number, so many that one fills about a window; 1 where a window holds all."""
        return (
            1
            if self.attention != "lsh" or self.n_positions <= self.window
            else 2 * math.ceil(self.n_positions / self.window / 2)
        )

    @property
    def model_type(self) -> str:
        """`reformer` for reversible residuals, else `transformer`."""
        return "reformer" if self.residual == "reversible" else "transformer"


@dataclass(frozen=True)
class ModelOptions:
    """What people choose about the network; `build` turns it into a `ModelConfig`."""

    model_type: str = option("reformer", "reformer (reversible residuals) or transformer", ("transformer", "reformer"))
    arch: str = option("base", "base: our recipe; trax: exactly Trax's TransformerLM or ReformerLM", ("base", "trax"))
    d_model: int = option(512, "width of the model")
    n_layers: int = option(6, "number of layers")
    n_heads: int = option(8, "attention heads")
    d_ff: int | None = option(None, "hidden width of the feed-forward part (default: 4 x d_model)")
    dropout: float | None = option(None, "dropout rate (default: 0.1 with --arch=trax, 0 with base)")
    attention: str = option(
        "full",
        "what a pixel sees: full: all pixels before it; lsh: those that hashing puts beside it; local: the last few; "
        "lsh and local take far less memory and time where pictures are large",
        ("full", "lsh", "local"),
    )
    window: int | None = option(
        None,
        "how many pixels one looks back with --attention=local, or in its bucket in each round of lsh "
        "(default: two rows of pixels)",
    )
    n_hashes: int | None = option(None, "rounds of hashing with --attention=lsh (default: 2)")
    residual: str | None = option(
        None, "plain, remat (less memory) or reversible (default: by --model_type)", ("plain", "remat", "reversible")
    )
    dtype: str = option("float32", "number format of the computation: float32 or bfloat16", ("float32", "bfloat16"))

    def __post_init__(self) -> None:
        check_choices(self)
        require(self.n_heads >= 1, f"n_heads={self.n_heads}: at least 1 is needed")
        require(self.d_model % self.n_heads == 0, f"d_model={self.d_model} is not a multiple of n_heads={self.n_heads}")
        full = self.attention == "full"
        require(full or self.arch == "base", f"--arch=trax has full attention only, not {self.attention}")
        require(not full or self.window is None, f"window={self.window} is for --attention=local or lsh")
        require(
            self.n_hashes is None or self.attention == "lsh", f"n_hashes={self.n_hashes} is for --attention=lsh alone"
        )
        for name in ("window", "n_hashes"):
            value = getattr(self, name)
            require(value is None or value >= 1, f"{name}={value}: at least 1 is needed")
        reversible = self.model_type == "reformer"
        require(
            self.residual is None or (self.residual == "reversible") == reversible,
            f"residual={self.residual} contradicts model_type={self.model_type}: "
            "the reformer is reversible, the transformer plain or remat",
        )

    def build(self, tokenizer: TokenizerConfig) -> ModelConfig:
        """The full `ModelConfig` for pictures of this tokenizer."""
        reversible = self.model_type == "reformer"
        common: dict[str, Any] = dict(
            vocab_size=tokenizer.vocab_size,
            height=tokenizer.image_size,
            width=tokenizer.image_size,
            arch=self.arch,
            d_model=self.d_model,
            n_layers=self.n_layers,
            n_heads=self.n_heads,
            d_head=self.d_model // self.n_heads,
            d_value=self.d_model // self.n_heads,
            d_ff=4 * self.d_model if self.d_ff is None else self.d_ff,
            residual=self.residual or ("reversible" if reversible else "plain"),
            attention=self.attention,
            window=0 if self.attention == "full" else self.window or 2 * tokenizer.image_size,
            n_hashes=(self.n_hashes or DEFAULT_HASHES) if self.attention == "lsh" else 0,
            dtype=self.dtype,
        )
        if self.arch == "base":
            rate = self.dropout or 0.0
            return ModelConfig(**common, dropout=rate)
        rate = 0.1 if self.dropout is None else self.dropout
        return ModelConfig(
            **common,
            norm="layer",
            positions="learned",
            qk_norm=False,
            activation="gelu" if reversible else "relu",
            attention_bias=not reversible,
            mlp_bias=True,
            output_bias=True,
            streams="concat",
            dropout=rate,
            attention_dropout=rate,
            position_dropout=rate if reversible else 0.0,
            output_dropout=rate if reversible else 0.0,
            dropout_shared=reversible,
        )


@dataclass(frozen=True)
class TrainConfig:
    """One training run: its pictures, length, optimiser and what it writes on the way."""

    images: str | None = option(
        None,
        "training pictures: a folder, a .zip, .tar, .tar.gz, .tgz or .parquet file, several of them as "
        "'a-{000..003}.tar', or tfds:NAME[:VERSION][/SPLIT] (default: images/train, else images)",
    )
    val_images: str | None = option(
        None, "validation pictures, as --images (default: images/val if it exists; of a tfds:NAME, validation or test)"
    )
    val_fraction: float = option(0.0, "without --val_images: this share of the pictures is held out")
    batch_size: int = option(16, "pictures a step")
    engine: str = option(
        "jax", "what takes the steps: jax, our own, or trax, Trax's loop (pip install '.[trax]')", ENGINES
    )
    accumulate: int = option(1, "split each batch into this many parts to save memory")
    n_steps: int | None = option(None, "length of the run in steps (wins over --n_epochs x --steps_per_epoch)")
    n_epochs: int = option(10000, "length of the run in epochs")
    steps_per_epoch: int = option(1000, "steps in an epoch; each ends with a checkpoint and a sample sheet")
    steps_per_eval: int | None = option(None, "steps between validations (default: a tenth of an epoch)")
    max_minutes: float | None = option(None, "end the run after so many minutes of training, if that is sooner")
    optimizer: str = option("muon", "adamw, muon, or source (Trax's Adam)", ("adamw", "muon", "source"))
    schedule: str | None = option(
        None,
        "learning rate over the run: warm-up, then cosine, linear or constant; source: the source's inverse "
        "square root (default: source with --optimizer=source, else cosine)",
        ("cosine", "linear", "constant", "source"),
    )
    lr: float | None = option(
        None, "peak learning rate (default: 0.003, adamw 0.001; with --schedule=source its factor, 0.1)"
    )
    warmup_steps: int | None = option(None, "steps of warm-up (default: a tenth of the run, at most 400)")
    weight_decay: float = option(0.05, "decoupled weight decay of the matrices (--optimizer=source has its own)")
    clip: float | None = option(1.0, "largest norm of the gradient; 0 for no clipping")
    ema: bool = option(True, "average the weights over the steps and share the average")
    flip: bool = option(False, "mirror each training picture left to right, half of the time")
    seed: int = option(0, "seed of the initial weights, the order of pictures and dropout")
    checkpoint: str | None = option(
        None,
        "start from the weights of this model (name, path or model.pkl.gz); with --arch=base on pictures of "
        "any size (--image_size)",
    )
    save_minutes: float = option(10.0, "minutes between checkpoints inside an epoch")
    keep: int = option(3, "checkpoints to keep")
    n_samples: int = option(4, "pictures drawn, and completed, at each checkpoint of an epoch; 0 for none")

    def __post_init__(self) -> None:
        check_choices(self)
        for name in ("batch_size", "accumulate", "n_epochs", "steps_per_epoch", "keep"):
            require(getattr(self, name) >= 1, f"{name}={getattr(self, name)}: at least 1 is needed")
        for name in ("n_steps", "steps_per_eval"):
            value = getattr(self, name)
            require(value is None or value >= 1, f"{name}={value}: at least 1 is needed")
        for name in ("lr", "max_minutes", "save_minutes"):
            value = getattr(self, name)
            require(value is None or 0 < value < math.inf, f"{name}={value}: it must be above 0 and finite")
        for name in ("weight_decay", "clip", "warmup_steps", "n_samples", "seed"):
            value = getattr(self, name)
            require(value is None or value >= 0, f"{name}={value}: it must not be negative")
        require(self.seed < 2**32, f"seed={self.seed}: it must be below 2**32")
        require(0 <= self.val_fraction < 1, f"val_fraction={self.val_fraction}: it must be in [0, 1)")
        require(
            self.batch_size % self.accumulate == 0,
            f"batch_size={self.batch_size} is not a multiple of accumulate={self.accumulate}",
        )

    @property
    def total_steps(self) -> int:
        """The most steps this run may take; the step counter on the device ends at 2**31 - 1."""
        steps = self.n_epochs * self.steps_per_epoch if self.n_steps is None else self.n_steps
        return min(steps, 2**31 - 1)

    @property
    def eval_every(self) -> int:
        """Steps between validations."""
        return self.steps_per_eval or max(1, self.steps_per_epoch // 10)


@dataclass(frozen=True)
class RunConfig:
    """Everything `config.json` says of a model."""

    tokenizer: TokenizerConfig
    model: ModelConfig
    training: TrainConfig | None = None

    def __post_init__(self) -> None:
        tokenizer, model = self.tokenizer, self.model
        require(
            (model.vocab_size, model.n_positions) == (tokenizer.vocab_size, tokenizer.n_tokens),
            f"the model is made for {model.vocab_size} token ids and {model.n_positions} positions, "
            f"the tokenizer for {tokenizer.vocab_size} and {tokenizer.n_tokens}",
        )

    def at_size(self, size: int) -> "RunConfig":
        """The same model for pictures of another size, if its positions are not learned; its window keeps its rows."""
        model, tokenizer = self.model, dataclasses.replace(self.tokenizer, image_size=size)
        if model.positions != "rotary":
            return self
        window = -(-model.window * size // model.width)
        model = dataclasses.replace(model, height=size, width=size, window=window)
        return dataclasses.replace(self, tokenizer=tokenizer, model=model)


def check_agrees(config: RunConfig, given: dict[str, Any], where: str, numbers_too: bool = False) -> None:
    """Raise `ConfigError`, with both values, where something given contradicts the configuration of a model."""
    free = set() if numbers_too else {"dropout", "dtype"}
    for section in (config.tokenizer, config.model):
        for name, value in given.items():
            if name in free or value is None or not hasattr(section, name):
                continue
            saved = getattr(section, name)
            if saved != value:
                raise ConfigError(f"--{name}={shown(value)} contradicts {where}, which has {name}={shown(saved)}")
