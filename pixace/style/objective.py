"""What a stylised picture should be: near the content in its maps, near the style in their statistics, and smooth.

Where faces are kept, their pixels are to be near to the content, too.

Everything that is asked of a feature map is a sum over its positions. So a large picture is looked at in windows
(`tiles`), one after the other, and once more for the gradient when the loss of all of them is known. The host goes
through them: on a CPU, XLA computes convolutions inside its own loops three times as slowly.

Legend: H, W picture; h, w a layer's map; C its channels; R regions, each with a style of its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pixace.style.layers import Weighted, ordered
from pixace.style.losses import content_distance, mean_square, total_variation
from pixace.style.statistics import Moments, make_target, mix, moments, style_distance
from pixace.style.vgg import Network, NetworkConfig, alike_features
from pixace.style.windows import Window, make_windows

FIGURES: tuple[str, ...] = ("loss", "content", "style", "tv")  # the last three without the weights of the terms


@dataclass(frozen=True)
class Terms:
    """What is weighed how; static.

    Attributes:
        network: how the maps are computed.
        content, style: layers with weights.
        content_weight, style_weight, tv_weight: of the whole terms.
        content_distance, statistic, tv: kinds, as `StyleOptions` names them.
        keep_faces: weight of the content's pixels where faces are; 0 where there is no such term.
    """

    network: NetworkConfig
    content: Weighted
    style: Weighted
    content_weight: float
    style_weight: float
    tv_weight: float
    content_distance: str
    statistic: str
    tv: str
    keep_faces: float = 0.0

    @property
    def content_layers(self) -> tuple[str, ...]:
        """Names of the content's layers, in the order of the network."""
        return ordered(name for name, _ in self.content)

    @property
    def style_layers(self) -> tuple[str, ...]:
        """Names of the style's layers, in the order of the network."""
        return ordered(name for name, _ in self.style)

    @property
    def figures(self) -> tuple[str, ...]:
        """Names of what an `Objective` tells: `FIGURES` and, if they are kept, `faces`."""
        return (*FIGURES, "faces") if self.keep_faces else FIGURES


Sums = tuple[dict[str, Moments], dict[str, jax.Array]]  # by style layer (R, ...), by content layer ()
Kept = tuple[jax.Array, jax.Array] | None  # pixels to be near to (H, W, 3), and how much each counts (H, W)


@partial(jax.tree_util.register_dataclass, data_fields=["targets", "weights"], meta_fields=[])
@dataclass(frozen=True)
class Styles:
    """What the statistics are compared with: by layer a target for each of R regions, and the regions' weights (R,)."""

    targets: dict[str, Any]
    weights: jax.Array


class Objective:
    """The loss of pictures of one size (H, W), and its gradient."""

    def __init__(
        self,
        terms: Terms,
        network: Network,
        size: tuple[int, int],
        tile: int,
        content: jax.Array | None,
        styles: Sequence[Mapping[str, Moments]],
        weights: Sequence[float],
        masks: Sequence[np.ndarray] | None = None,
        faces: np.ndarray | None = None,
    ):
        """What pictures are compared with.

        Args:
            terms: what is weighed.
            network: what looks.
            size: (H, W), multiples of 16 if an edge is above `tile`.
            tile: longest edge of a window, in pixels.
            content: (H, W, 3), where the terms have a content.
            styles: the statistics of each style (`measure`).
            weights: of each style.
            masks: (H, W) in [0, 1] for each style, where in the result it is to be; None for all of them
                everywhere, mixed.
            faces: (H, W) in [0, 1], where the content's pixels are kept, where the terms say so.

        Raises:
            ConfigError: a mask is empty at some layer, or tiles are too small.
        """
        self.terms, self.network = terms, network
        regions = [] if not terms.style else [mixed(styles, weights)] if masks is None else list(styles)
        shares = [1.0] if masks is None else [weight / sum(weights) for weight in weights]
        targets = {
            layer: _stacked([make_target(terms.statistic, region[layer]) for region in regions])
            for layer in terms.style_layers
        }
        self.styles = Styles(targets, jnp.asarray(shares, jnp.float32))
        self.kept: Kept = None
        if terms.keep_faces and content is not None and faces is not None:
            self.kept = content, jnp.asarray(faces)
        self.windows = make_windows(terms.network.name, terms.content_layers, terms.style_layers, size, tile, masks)
        if content is not None and terms.content:
            seen = [_with_content(terms, network.weights, window, content) for window in self.windows]
            scales = {layer: sum(window.scales[layer] for window in seen) for layer in terms.content_layers}
            self.windows = [replace(window, scales=scales) for window in seen]

    def __call__(self, picture: jax.Array) -> tuple[jax.Array, jax.Array]:
        """The terms' `figures` of a picture (H, W, 3), float32 (4,) or (5,), and the gradient of its loss (H, W, 3)."""
        terms, weights = self.terms, self.network.weights
        if len(self.windows) == 1:
            return _whole(terms, weights, self.styles, self.kept, self.windows[0], picture)
        sums = _summed(terms, weights, self.windows, picture)
        figures, slopes, gradient = _loss_of_sums(terms, self.styles, self.kept, sums, picture)
        for window in self.windows:
            gradient = _add_gradient(terms, weights, window, picture, slopes, gradient)
        return figures, gradient


def measure(
    terms: Terms, network: Network, picture: jax.Array, tile: int, mask: np.ndarray | None = None
) -> dict[str, Moments]:
    """The statistics of a style picture (H, W, 3) by layer, where a mask (H, W) in [0, 1] is white.

    It is looked at in windows of `tile` pixels; both its edges must be multiples of 16 if one is longer.
    """
    seen = replace(terms, content=())
    size, masks = (picture.shape[0], picture.shape[1]), None if mask is None else [mask]
    windows = make_windows(terms.network.name, (), terms.style_layers, size, tile, masks)
    found = _summed(seen, network.weights, windows, picture)[0]
    return {layer: jax.tree.map(lambda leaf: leaf[0], moments) for layer, moments in found.items()}


def mixed(styles: Sequence[Mapping[str, Moments]], weights: Sequence[float]) -> dict[str, Moments]:
    """The statistics of several styles in one, by layer, with these weights."""
    return {layer: mix([style[layer] for style in styles], list(weights)) for layer in styles[0]}


def _stacked(trees: Sequence[Any]) -> Any:
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def _look(terms: Terms, weights: Any, window: Window, seen: jax.Array) -> Sums:
    """What a window adds to the sums; `seen` are its pixels (h, w, 3)."""
    layers = ordered([*terms.style_layers, *window.content])
    maps = {name: found[0] for name, found in alike_features(weights, seen[None], layers, terms.network).items()}
    measured = {
        layer: _stacked([moments(maps[layer], share, 1.0) for share in window.shares[layer]])
        for layer in terms.style_layers
    }
    differences = {
        layer: content_distance(
            terms.content_distance, maps[layer], wanted, window.owned[layer], 1.0, window.scales[layer]
        )
        for layer, wanted in window.content.items()
    }
    return measured, differences


def _cut(window: Window, picture: jax.Array) -> jax.Array:
    return jax.lax.dynamic_slice(picture, (window.start[0], window.start[1], 0), (*window.size, 3))


def figures_of(terms: Terms, styles: Styles, kept: Kept, sums: Sums, picture: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The loss, and all `figures` of the terms.

    Args:
        terms: what is weighed how.
        styles: what the statistics are compared with.
        kept: pixels of the content to be near to, or None.
        sums: what was seen of the picture: the statistics of each region, and the distances from the content.
        picture: (H, W, 3).
    """
    measured, differences = sums
    content = sum((weight * differences[layer] for layer, weight in terms.content), start=jnp.float32(0))
    style = jnp.float32(0)
    for layer, weight in terms.style:
        distances = jax.vmap(partial(style_distance, terms.statistic))(measured[layer], styles.targets[layer])
        style = style + weight * jnp.vdot(styles.weights, distances)
    rough = total_variation(picture, terms.tv) if terms.tv_weight else jnp.float32(0)
    loss = terms.content_weight * content + terms.style_weight * style + terms.tv_weight * rough
    if kept is None:
        return loss, jnp.stack([loss, content, style, rough])
    pixels, mask = kept
    # Divided by all positions, not by those of faces: a style pulls at each pixel with a share of 1 / (H W), so this
    # way the two are in the same balance however large a face is and however many there are.
    faces = content_distance("mse", picture, pixels, mask, mask.size)
    loss = loss + terms.keep_faces * faces
    return loss, jnp.stack([loss, content, style, rough, faces])


@partial(jax.jit, static_argnums=0)
def _whole(
    terms: Terms, weights: Any, styles: Styles, kept: Kept, window: Window, picture: jax.Array
) -> tuple[jax.Array, jax.Array]:
    def loss(picture: jax.Array) -> tuple[jax.Array, jax.Array]:
        return figures_of(terms, styles, kept, _look(terms, weights, window, picture), picture)

    gradient, figures = jax.grad(loss, has_aux=True)(picture)
    return figures, gradient


def _summed(terms: Terms, weights: Any, windows: Sequence[Window], picture: jax.Array) -> Sums:
    first, *others = (_sums_of(terms, weights, window, picture) for window in windows)
    for other in others:
        first = jax.tree.map(jnp.add, first, other)
    return first


@partial(jax.jit, static_argnums=0)
def _sums_of(terms: Terms, weights: Any, window: Window, picture: jax.Array) -> Sums:
    return _look(terms, weights, window, _cut(window, picture))


@partial(jax.jit, static_argnums=0)
def _loss_of_sums(
    terms: Terms, styles: Styles, kept: Kept, sums: Sums, picture: jax.Array
) -> tuple[jax.Array, Sums, jax.Array]:
    """The figures, and the gradient of the loss for the sums and, where they are held fast, for the picture."""
    loss = partial(figures_of, terms, styles, kept)
    (slopes, gradient), figures = jax.grad(loss, argnums=(0, 1), has_aux=True)(sums, picture)
    return figures, slopes, gradient


@partial(jax.jit, static_argnums=0, donate_argnums=5)
def _add_gradient(
    terms: Terms, weights: Any, window: Window, picture: jax.Array, slopes: Sums, gradient: jax.Array
) -> jax.Array:
    """The gradient (H, W, 3), and what comes through this window's sums."""
    seen = _cut(window, picture)
    own = jax.vjp(lambda seen: _look(terms, weights, window, seen), seen)[1](slopes)[0]
    return jax.lax.dynamic_update_slice(gradient, _cut(window, gradient) + own, (window.start[0], window.start[1], 0))


@partial(jax.jit, static_argnums=0)
def _with_content(terms: Terms, weights: Any, window: Window, content: jax.Array) -> Window:
    """The window with the maps of the content, and what it adds to their mean squares."""
    found = alike_features(weights, _cut(window, content)[None], terms.content_layers, terms.network)
    maps = {layer: found[layer][0] for layer in terms.content_layers}
    return replace(
        window, content=maps, scales={layer: mean_square(maps[layer], window.owned[layer], 1.0) for layer in maps}
    )
