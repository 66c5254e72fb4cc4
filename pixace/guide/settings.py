"""What a guide file says, once it has been read and checked: frozen, complete, with no default left to fill in.

Numbers that may change over time are expressions. Sizes are width first, as guide files have them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pixace.guide.expressions import Expression

Number = float | int | Expression
Vector = tuple[Number, ...]
FrameTime = int | float  # the number of an epoch, or a share of the time in [0, 1]

SELECT = ("all", "best", "worst", "mix")
FEATURE_SCALES = ("equal", "fair")
FEATURE_LOSSES = ("cosine", "l1", "l2", "spherical")
INTERPOLATIONS = ("nearest", "linear", "cubic")
OPTIMIZERS = ("adam", "adamw", "sgd", "rmsprop", "rmsprob", "adadelta", "lion")
CANVASES = ("pixels", "imstack", "fourier", "laplacian")
REDUCTIONS = ("sum", "mean")


@dataclass(frozen=True)
class Effect:
    """One transform, constraint or effect of post-processing.

    Attributes:
        kind: its name, such as `random_crop`.
        values: the numbers of its members; that of an effect with one alone is called `value`. A member that may be
            left out, and was, is not there.
        texts: members that are words, such as `mode` or `loss`.
        start, end: when it works, both inclusive.
        path: where it stands, for messages: `targets[0].transforms[2].blur`.
    """

    kind: str
    values: Mapping[str, Vector]
    texts: Mapping[str, str]
    start: FrameTime
    end: FrameTime
    path: str


@dataclass(frozen=True)
class Feature:
    """What a picture shall be like, or with a negative weight unlike: a text, or else a picture."""

    text: str | None
    image: str | None
    start: FrameTime
    end: FrameTime
    weight: Number
    scale: Number
    loss: str
    path: str


@dataclass(frozen=True)
class Target:
    """Views of the picture, and what is asked of them.

    Attributes:
        batch_size: views that are drawn each epoch.
        select: which features count, view by view: one of `SELECT`.
        feature_scale: one of `FEATURE_SCALES`.
    """

    active: bool
    name: str
    start: FrameTime
    end: FrameTime
    weight: Number
    batch_size: int
    select: str
    feature_scale: str
    features: tuple[Feature, ...]
    transforms: tuple[Effect, ...]
    constraints: tuple[Effect, ...]
    path: str


@dataclass(frozen=True)
class Init:
    """What the picture is before the first epoch.

    Attributes:
        mean, std: of the noise, by channel; of a picture they shift and scale the colours.
        image: a path or address.
        resolution: (width, height) at which noise is drawn or the picture fitted before it gets its size.
        image_tensor: colours in [0, 1], [3][height][width]; wins over `image`.
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    image: str | None
    resolution: tuple[int, int] | None
    image_tensor: tuple | None


@dataclass(frozen=True)
class Model:
    """A CLIP by its name or path, and how much its opinion counts beside others."""

    name: str
    weight: float


@dataclass(frozen=True)
class Optimizer:
    """One of `OPTIMIZERS`, with what may be set of it; None leaves its usual value.

    `rmsprop` is what old files call `sparse_adam`; `rmsprob` is the centred one with momentum, as they have it.
    """

    name: str
    betas: tuple[float, float] | None
    momentum: float | None
    weight_decay: float


@dataclass(frozen=True)
class Guide:
    """A whole guide file, or several merged.

    Attributes:
        verbose: 0 is silent, 1 shows progress, 2 figures, too.
        output: a file or a folder that ends with /.
        snapshot_interval: epochs if whole, else seconds; 0 for none.
        epochs, start_epoch: steps from the second to the first.
        resolution: (width, height), expressions of time.
        interpolation: how a picture gets another resolution.
        models: CLIPs.
        learnrate, learnrate_scale: multiply the base rate of the optimiser.
        canvas: what the optimiser changes: one of `CANVASES`.
        total_variation: weight of the picture's own, a penalty on noise (0 for none).
        cutouts: views that are cut out at random besides what targets ask, for each target (0 for none).
        reduction: of the losses of views: one of `REDUCTIONS`.
        compat: `clipig` for that program's ways where they change looks, else None.
        dtype: of the CLIPs.
        seed: of all randomness.
    """

    verbose: int
    output: str | None
    snapshot_interval: int | float
    epochs: int
    start_epoch: int
    resolution: tuple[Number, Number]
    interpolation: str
    models: tuple[Model, ...]
    device: str
    learnrate: Number
    learnrate_scale: Number
    optimizer: Optimizer
    init: Init
    targets: tuple[Target, ...]
    postproc: tuple[Effect, ...]
    canvas: str
    total_variation: Number
    cutouts: int
    reduction: str
    compat: Literal["clipig"] | None
    dtype: str
    seed: int
    vars: Mapping[str, Number] = field(default_factory=dict)
