"""Random views of a picture: what is met by all of them is met whatever part is looked at, and in whatever size.

Each step looks at new ones, cut out as torchvision's RandomResizedCrop does by default, of an area from 8 % of the
picture up and a shape from 3:4 to 4:3, and turned by up to five degrees, as ImStack's author does. What a turned view
sees beside its part is the picture there, and beyond the picture its edge.

Legend: H, W picture; V views; h, w size of a view; C channels of a map.
"""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pixace.canvas.sizes import Size, fitted
from pixace.style.losses import content_distance
from pixace.style.objective import Kept, Styles, Terms, figures_of, mixed
from pixace.style.statistics import Moments, make_target, moments
from pixace.style.vgg import Network, alike_features

LEAST_AREA = 0.08  # of the picture
WIDEST = 4 / 3  # width by height, or height by width
MOST_DEGREES = 5.0
TRIALS = 10  # of a part that must lie within the picture


class ViewedObjective:
    """The loss of pictures of one size (H, W) as random views see them, and its gradient: of each call, new views."""

    def __init__(
        self,
        terms: Terms,
        network: Network,
        size: Size,
        longest: int,
        content: jax.Array | None,
        styles: Sequence[Mapping[str, Moments]],
        weights: Sequence[float],
        faces: np.ndarray | None,
        n_views: int,
        seed: int,
    ):
        """What views are compared with: those of the style with the whole style, those of the content with its own.

        Args:
            terms: what is weighed.
            network: what looks.
            size: (H, W).
            longest: longest edge of a view, in pixels; they have the shape of the picture, and its size up to this.
            content: (H, W, 3), where the terms have a content.
            styles: the statistics of each style (`measure`).
            weights: of each style.
            faces: (H, W) in [0, 1], where the content's pixels are kept, where the terms say so.
            n_views: V, for the style and as many others for the content.
            seed: of the views.
        """
        self.terms, self.network, self.size, self.content = terms, network, size, content
        self.n_views, self.seed, self.calls = n_views, seed, 0
        self.view = fitted(min(longest, max(size)), size)
        found = mixed(styles, weights) if terms.style else {}
        targets = {layer: make_target(terms.statistic, found[layer]) for layer in terms.style_layers}
        # To the loss, views are regions that have one style.
        targets = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (n_views, *leaf.shape)), targets)
        self.styles = Styles(targets, jnp.full(n_views, 1 / n_views, jnp.float32))
        self.kept: Kept = None
        if terms.keep_faces and content is not None and faces is not None:
            self.kept = content, jnp.asarray(faces)

    def __call__(self, picture: jax.Array) -> tuple[jax.Array, jax.Array]:
        """As `Objective`'s."""
        random = np.random.default_rng([self.seed, *self.size, self.calls])
        self.calls += 1
        views = [jnp.asarray(random_views(random, self.n_views, self.size, self.view)) for _ in range(2)]
        content = self.content if self.terms.content else None
        return _evaluate(
            self.terms, self.view, self.network.weights, self.styles, self.kept, content, *views, picture
        )  # fmt: skip


def random_views(random: np.random.Generator, count: int, size: Size, view: Size) -> np.ndarray:
    """Where views (h, w) of a picture (H, W) lie, float32 (V, 2, 3).

    Each matrix gives the row and column in the picture, where centres of pixels are whole numbers, from the offset
    (row, column, 1) from the middle of the view, in its own pixels.
    """
    found = np.zeros((count, 2, 3), np.float32)
    for matrix in found:
        height, width, top, left = _part(random, size)
        turn = math.radians(random.uniform(-MOST_DEGREES, MOST_DEGREES))
        cosine, sine = math.cos(turn), math.sin(turn)
        scale = np.array([[height / view[0]], [width / view[1]]])
        matrix[:, :2] = scale * [[cosine, -sine], [sine, cosine]]
        matrix[:, 2] = top + height / 2 - 0.5, left + width / 2 - 0.5
    return found


def _part(random: np.random.Generator, size: Size) -> tuple[float, float, float, float]:
    """Height, width, top and left of a part of a picture, in pixels; all of it where none is found."""
    for _ in range(TRIALS):
        area = random.uniform(LEAST_AREA, 1) * size[0] * size[1]
        ratio = math.exp(random.uniform(-math.log(WIDEST), math.log(WIDEST)))
        height, width = math.sqrt(area / ratio), math.sqrt(area * ratio)
        if height <= size[0] and width <= size[1]:
            return height, width, random.uniform(0, size[0] - height), random.uniform(0, size[1] - width)
    return size[0], size[1], 0.0, 0.0


def look(picture: jax.Array, views: jax.Array, view: Size) -> jax.Array:
    """What views (V, 2, 3) of `random_views` see of a picture (H, W, 3): float32 (V, h, w, 3), bilinear."""
    height, width, _ = picture.shape
    rows, columns = (jnp.arange(edge) - (edge - 1) / 2 for edge in view)
    grid = jnp.stack([*jnp.meshgrid(rows, columns, indexing="ij"), jnp.ones(view)], -1)
    places = jnp.einsum("vij,hwj->ivhw", views, grid, precision="highest")
    y, x = jnp.clip(places[0], 0, height - 1), jnp.clip(places[1], 0, width - 1)
    top, left = jnp.floor(y).astype(jnp.int32), jnp.floor(x).astype(jnp.int32)
    below, right = jnp.minimum(top + 1, height - 1), jnp.minimum(left + 1, width - 1)
    down, across = (y - top)[..., None], (x - left)[..., None]
    upper = (1 - across) * picture[top, left] + across * picture[top, right]
    lower = (1 - across) * picture[below, left] + across * picture[below, right]
    return (1 - down) * upper + down * lower


@partial(jax.jit, static_argnums=(0, 1))
def _evaluate(
    terms: Terms,
    view: Size,
    weights: Any,
    styles: Styles,
    kept: Kept,
    content: jax.Array | None,
    style_views: jax.Array,
    content_views: jax.Array,
    picture: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    def maps(picture: jax.Array, views: jax.Array, layers: tuple[str, ...]) -> dict[str, jax.Array]:
        return alike_features(weights, look(picture, views, view), layers, terms.network) if layers else {}

    wanted = {} if content is None else maps(content, content_views, terms.content_layers)

    def loss(picture: jax.Array) -> tuple[jax.Array, jax.Array]:
        seen = maps(picture, style_views, terms.style_layers)
        measured = {layer: jax.vmap(moments)(seen[layer]) for layer in seen}
        found = maps(picture, content_views, tuple(wanted))
        away = {layer: content_distance(terms.content_distance, found[layer], wanted[layer]) for layer in wanted}
        return figures_of(terms, styles, kept, (measured, away), picture)

    gradient, figures = jax.grad(loss, has_aux=True)(picture)
    return figures, gradient
