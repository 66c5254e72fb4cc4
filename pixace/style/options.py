"""What people choose about a style transfer, and recipes: the settings of published methods by name."""

import math
import re
from dataclasses import dataclass, fields
from typing import Any

from pixace.errors import ConfigError
from pixace.fields import check_choices, option, require
from pixace.style.layers import LAYER_SETS, NETWORKS, Weighted, find_layer_set, parse_layers

LARGEST_EDGE = 16384  # pixels
MOST_VIEWS = 64
STATISTICS = ("wasserstein", "moments", "gram_hw", "gram_chw", "cosine")
CANVASES = ("pixels", "imstack", "fourier", "laplacian")
DEFAULT_LR = {"pixels": 0.02, "imstack": 0.05, "fourier": 0.05, "laplacian": 0.01}  # of Adam

ONLY_ADAMS = ("views", "weight_decay")  # the search of L-BFGS needs one loss that stays

# What a recipe changes about the defaults. Flags that are given win over it. Layers are written out where the layers
# of the method have weights of 1 each.
RECIPES: dict[str, dict[str, Any]] = {
    "pixace": {},
    # Gatys, Ecker and Bethge's method as the source project sets it (vgg16, average pools, one scale, L-BFGS).
    "gatys": dict(
        network="vgg16",
        content_layers="relu4_2",
        style_layers="relu1_2,relu2_2,relu3_3,relu4_3",
        statistic="gram_chw",
        content_weight=1.0,
        style_weight=1e6,
        tv="squared",
        tv_weight=1e-6,
        pooling="average",
        rescale=False,
        padding="zero",
        optimizer="lbfgs",
        steps=500,
        min_size=None,
    ),
    # The article's: cosines between channels, colours as they are, no prior.
    "article": dict(
        content_layers="relu5_1",
        style_layers="relu1_1,relu2_1,relu3_1,relu4_1,relu5_1",
        statistic="cosine",
        content_weight=1.0,
        style_weight=1.0,
        tv_weight=0.0,
        padding="zero",
        preprocessing="none",
        optimizer="lbfgs",
        steps=200,
        min_size=None,
        size="224",
    ),
    # A stack of layers, as ImStack's author transfers style with it.
    "imstack": dict(
        network="vgg16",
        layers="imstack",
        statistic="gram_hw",
        content_distance="l1",
        content_weight=0.9,
        style_weight=0.1,
        tv_weight=0.0,
        padding="zero",
        preprocessing="none",
        canvas="imstack",
        views=4,
        weight_decay=0.01,
        steps=30,
        min_size=None,
        size="256",
    ),
}


@dataclass(frozen=True)
class StyleOptions:
    """All settings of a style transfer; see `stylize`."""

    recipe: str = option("pixace", "settings to begin with; any flag given wins over them", tuple(RECIPES))
    network: str = option(
        "vgg19", "what looks at pictures: vgg19, vgg16, or a file of their weights (.safetensors, .pth, .npz)"
    )
    layers: str = option(
        "default",
        "set of layers: default, shallow (for weights that end at conv3_4), gatys, blocks, johnson, article, imstack",
        tuple(LAYER_SETS),
    )
    content_layers: str | None = option(None, "layers of the content, such as relu4_2:1 (default: by --layers)")
    style_layers: str | None = option(None, "layers of the style, such as relu1_1:4,relu2_1 (default: by --layers)")
    statistic: str = option(
        "wasserstein",
        "what of a style is to be met: wasserstein, the distance of Gaussians (mean and covariance of the maps); "
        "moments, mean and deviation; gram_hw, gram_chw, Gram matrices by H W or C H W; cosine, of channels",
        STATISTICS,
    )
    content_distance: str = option(
        "mse", "distance of content: mse, l1, or normalised (mse by its own size)", ("mse", "l1", "normalised")
    )
    content_weight: float = option(0.015, "weight of the content")
    style_weight: float = option(1.0, "weight of the style")
    style_weights: str | None = option(None, "of several styles, a weight each, with commas (default: all alike)")
    tv: str = option(
        "nine",
        "kind of total variation: squared, absolute, or nine (squared, diagonals too)",
        ("squared", "absolute", "nine"),
    )
    tv_weight: float = option(2.0, "weight of the total variation, which smooths")
    keep_faces: float = option(
        0.0,
        "weight of keeping the content's faces as they are; 20 is sensible, 80 leaves photographs, 0 is off; needs "
        "pip install '.[faces]'",
    )
    size: str = option("512", "longer edge of the result in pixels, or WIDTHxHEIGHT; the shape is the content's")
    fit: str = option("crop", "what --size=WIDTHxHEIGHT does to another shape", ("crop", "stretch"))
    style_scale: float = option(1.0, "size of the style pictures, 1 being that of the result: larger, larger strokes")
    style_size: int | None = option(None, "longer edge of the style pictures in pixels, instead of --style_scale")
    init: str | None = option(
        None, "what to start from: content, noise, grey, style, or a picture (default: content, without one noise)"
    )
    canvas: str = option("pixels", "what is changed: pixels, imstack, fourier, or laplacian", CANVASES)
    min_size: int | None = option(
        128, "longer edge of the first scale, each later one larger by sqrt(2); none: one scale"
    )
    steps: int = option(250, "steps at each scale; twice as many at the first of several")
    optimizer: str = option("adam", "adam, or lbfgs: fewer, longer steps, more memory", ("adam", "lbfgs"))
    lr: float | None = option(None, "step length (default: of adam by --canvas; lbfgs searches for it)")
    average: float = option(0.99, "decay of the average over adam's steps, which is the result; 0: the best step is")
    weight_decay: float = option(0.0, "of adam: each step makes the canvas's numbers smaller by lr times this")
    views: int = option(
        0,
        "of adam: each step looks at so many random parts of the picture for the style, and as many for the content, "
        "of all sizes and slightly turned, instead of at the whole; each costs as much as the whole",
    )
    color: str = option(
        "style",
        "whose colours: style; luminance: the content's, put back at the end; grey: the same, and the style is seen "
        "in grey; match: the style's are first moved to the content's",
        ("style", "luminance", "grey", "match"),
    )
    match: str = option("transport", "how --color=match moves them", ("transport", "pca", "cholesky"))
    tile: int | None = option(None, "longest edge that is looked at in one piece, in pixels (default: 1024)")
    pooling: str = option("max", "what pools do: max, average or l2", ("max", "average", "l2"))
    rescale: bool = option(True, "keep maps as large with other pools as with max")
    padding: str = option(
        "replicate", "what is beyond the edge: replicate, fewer traces there, or zero", ("replicate", "zero")
    )
    preprocessing: str | None = option(
        None, "colours the network sees (default: as its weights need)", ("torchvision", "caffe", "none")
    )
    dtype: str = option("float32", "number format of the network", ("float32", "bfloat16"))
    seed: int = option(0, "seed of the noise to start from")

    def __post_init__(self) -> None:
        check_choices(self)
        for name in ("content_weight", "style_weight", "tv_weight", "keep_faces", "weight_decay"):
            require(0 <= getattr(self, name) < math.inf, f"{name}={getattr(self, name)}: it must not be negative")
        for name in ("style_scale", "lr"):
            value = getattr(self, name)
            require(value is None or 0 < value < math.inf, f"{name}={value}: it must be above 0")
        for name in ("steps", "style_size", "min_size", "tile"):
            value = getattr(self, name)
            require(value is None or 1 <= value <= 2**20, f"{name}={value}: at least 1 is needed")
        require(0 <= self.views <= MOST_VIEWS, f"views={self.views}: 0 to {MOST_VIEWS} are possible")
        for name in ONLY_ADAMS:
            good = self.optimizer == "adam" or not getattr(self, name)
            require(good, f"{name}={getattr(self, name)} is for --optimizer=adam; with {self.optimizer} it must be 0")
        require(0 <= self.average < 1, f"average={self.average}: it must be in [0, 1)")
        require(0 <= self.seed < 2**32, f"seed={self.seed}: it must be from 0 to 2**32 - 1")
        _ = self.edges, self.weights_of_styles(None), self.layers_with_weights  # raise for a bad text

    @property
    def edges(self) -> int | tuple[int, int]:
        """The longer edge, or (H, W).

        `size` is 512, 640x480 (width x height) or, as the source project writes it, (480, 640) (height, width).
        """
        text = self.size.strip(" ()[]")
        numbers = [int(part) for part in re.split("[x, ]+", text) if part.isdecimal()]
        good = re.fullmatch(r"\d+(\s*[x,]\s*\d+)?", text) and all(1 <= n <= LARGEST_EDGE for n in numbers)
        require(bool(good), f"size={self.size}: one edge or WIDTHxHEIGHT is needed, 1 to {LARGEST_EDGE} pixels")
        if len(numbers) == 1:
            return numbers[0]
        return (numbers[1], numbers[0]) if "x" in text else (numbers[0], numbers[1])

    def weights_of_styles(self, count: int | None) -> tuple[float, ...]:
        """The weight of each of `count` styles; None only checks the text."""
        if self.style_weights is None:
            return (1.0,) * (count or 0)
        try:
            weights = tuple(float(part) for part in self.style_weights.split(","))
        except ValueError:
            weights = (math.nan,)
        good = all(0 <= weight < math.inf for weight in weights) and sum(weights) > 0
        require(good, f"style_weights={self.style_weights}: numbers with commas between are needed, not all 0")
        require(count in (None, len(weights)), f"style_weights={self.style_weights}: {count} styles need a weight each")
        return weights

    @property
    def architecture(self) -> str:
        """What layers are named by: the network, or vgg19, which has all layers, for a file of weights."""
        return self.network if self.network in NETWORKS else "vgg19"

    @property
    def layers_with_weights(self) -> tuple[Weighted, Weighted]:
        """Layers of the content and of the style; for `none` there are none."""
        chosen = find_layer_set(self.layers)
        content, style = (
            whole if text is None else () if text.lower() in ("", "none") else parse_layers(text, self.architecture)
            for text, whole in ((self.content_layers, chosen.content), (self.style_layers, chosen.style))
        )
        return content, style


def make_options(given: dict[str, Any]) -> StyleOptions:
    """The options that are given, over those of the recipe, over the defaults.

    A set of layers that is given wins over layers that the recipe names, and L-BFGS over what is Adam's alone.

    Raises:
        ConfigError: for an unknown name or a value that makes no sense.
    """
    known = {entry.name for entry in fields(StyleOptions)}
    if unknown := sorted(given.keys() - known):
        raise ConfigError(f"{unknown[0]} is no option of style transfer; there are {', '.join(sorted(known))}")
    recipe = given.get("recipe", "pixace")
    require(recipe in RECIPES, f"recipe={recipe!r} is not known; choose one of {', '.join(RECIPES)}")
    layers: dict[str, Any] = {"content_layers": None, "style_layers": None} if "layers" in given else {}
    own = {
        name: value
        for name, value in RECIPES[recipe].items()
        if name not in ONLY_ADAMS or given.get("optimizer", "adam") == "adam"
    }
    return StyleOptions(**{**own, **layers, **given})
