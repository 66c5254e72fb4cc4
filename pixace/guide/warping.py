"""A picture looked at in given points, with as much smoothing as its details get too small to be seen.

As long as nothing is rotated, columns and rows are chosen by two products with matrices: exact for any shrinking. Else,
and where the picture is so large that products take longer, each point is looked up in a pyramid of ever smaller
pictures (Williams, Pyramidal Parametrics, 1983). Legend: H, W size of the picture; h, w size of the view.
"""

import math

import jax
import jax.numpy as jnp

from pixace.guide.domains import Domain
from pixace.guide.points import Number, Points

MOST_LEVELS = 6
# Multiplications for each pixel and channel of a view. On one core of a CPU 8 views of 224 x 224 pixels of a picture of
# 512 x 512 need 1,682, which take 154 ms with their gradient. Looking up takes 118 ms for pictures of any size, and
# smooths in steps.
MOST_PRODUCTS = 1800


def sample(picture: jax.Array, points: Points, domain: Domain, wraps: bool = False, nearest: bool = False) -> jax.Array:
    """A view (h, w, 3) of a picture.

    Args:
        picture: float32 (H, W, 3).
        points: where to look, in the domain that the picture covers.
        domain: its (width, height).
        wraps: the opposite edges of the picture lie side by side; else its edge goes on for ever.
        nearest: each point has the colour of the pixel in which it lies, without any smoothing.
    """
    height, width, _ = picture.shape
    across, down = width / domain[0], height / domain[1]
    x, y = points.x * across, points.y * down
    xx, xy, yx, yy = points.xx * across, points.xy * across, points.yx * down, points.yy * down
    least_x, least_y = points.least_x * across, points.least_y * down
    # Columns that do not depend on the row, nor rows on the column.
    separable = x.shape[0] == y.shape[1] == 1
    if separable and _products(height, width, y.shape[0], x.shape[1]) <= MOST_PRODUCTS:
        columns = _matrix(x[0], jnp.maximum(jnp.abs(xx), least_x), width, wraps, nearest)
        rows = _matrix(y[:, 0], jnp.maximum(jnp.abs(yy), least_y), height, wraps, nearest)
        view = _multiplied(rows, columns, picture)
    elif nearest:
        view = _pixels(picture, jnp.floor(x), jnp.floor(y), wraps)
    else:
        size = jnp.maximum(jnp.hypot(xx, yx), jnp.hypot(xy, yy))
        level = jnp.log2(jnp.maximum(size, jnp.maximum(jnp.maximum(least_x, least_y), 1)))
        x, y, level = jnp.broadcast_arrays(x, y, level)
        view = _from_pyramid(picture, x, y, level, wraps)
    return jnp.where(points.decided[..., None], points.colour, view)


def _matrix(at: jax.Array, width: Number, n: int, wraps: bool, nearest: bool) -> jax.Array:
    """What of each of n pixels a point gets, (points, n): a triangle as wide as the points are apart."""
    at = at % n if wraps else jnp.clip(at, 0.5, n - 0.5)
    if nearest:
        return jax.nn.one_hot(jnp.minimum(jnp.floor(at).astype(int), n - 1), n)
    distance = jnp.abs(at[:, None] - (jnp.arange(n) + 0.5))
    if wraps:
        distance = jnp.minimum(distance, n - distance)
    width = jnp.reshape(jnp.maximum(width, 1.0), (-1, 1))
    weights = jnp.maximum(1 - distance / width, 0)
    return weights / weights.sum(1, keepdims=True)


def _products(height: int, width: int, view_height: int, view_width: int) -> float:
    """Multiplications that two matrices need for each pixel and channel of a view."""
    return min(width * (height / view_width + 1), height * (width / view_height + 1))


def _multiplied(rows: jax.Array, columns: jax.Array, picture: jax.Array) -> jax.Array:
    """Rows and columns are chosen, in the order that needs fewer products."""
    (height, width, _), h, w = picture.shape, rows.shape[0], columns.shape[0]
    if width * (height / w + 1) <= height * (width / h + 1):
        picture = jnp.einsum("ih,hwc->iwc", rows, picture, precision="highest")
        return jnp.einsum("jw,iwc->ijc", columns, picture, precision="highest")
    picture = jnp.einsum("jw,hwc->hjc", columns, picture, precision="highest")
    return jnp.einsum("ih,hjc->ijc", rows, picture, precision="highest")


def _pixels(picture: jax.Array, x: jax.Array, y: jax.Array, wraps: bool) -> jax.Array:
    """Pixels (h, w, 3) by their whole coordinates."""
    mode = "wrap" if wraps else "clip"
    flat = jnp.ravel_multi_index((y.astype(int), x.astype(int)), picture.shape[:2], mode=mode)
    return jnp.take(picture.reshape(-1, picture.shape[2]), flat, axis=0)


def _from_pyramid(picture: jax.Array, x: jax.Array, y: jax.Array, level: jax.Array, wraps: bool) -> jax.Array:
    """Looked up (h, w, 3) in the level whose pixels are about as far apart as the points, between four of them."""
    levels = _pyramid(picture)
    starts = jnp.array([0, *(math.prod(one.shape[:2]) for one in levels[:-1])]).cumsum()
    heights, widths = jnp.array([one.shape[:2] for one in levels]).T
    pixels = jnp.concatenate([one.reshape(-1, picture.shape[2]) for one in levels])
    index = jnp.clip(jnp.round(level), 0, len(levels) - 1).astype(int)
    x, y = x * 2.0**-index - 0.5, y * 2.0**-index - 0.5
    left, above = jnp.floor(x), jnp.floor(y)
    view = jnp.zeros(())
    for row, row_share in ((above, above + 1 - y), (above + 1, y - above)):
        start = starts[index] + _inside(row, heights[index], wraps) * widths[index]
        for column, share in ((left, left + 1 - x), (left + 1, x - left)):
            at = start + _inside(column, widths[index], wraps)
            view = view + (row_share * share)[..., None] * pixels.at[at].get(mode="promise_in_bounds")
    return view


def _inside(at: jax.Array, n: jax.Array, wraps: bool) -> jax.Array:
    at = at.astype(int)
    return at % n if wraps else jnp.clip(at, 0, n - 1)


def _pyramid(picture: jax.Array) -> list[jax.Array]:
    """A picture, half of it, a quarter ..., each the average of squares of four; odd edges get a pixel more."""
    levels = [picture]
    while len(levels) < MOST_LEVELS and min(levels[-1].shape[:2]) > 1:
        height, width, channels = levels[-1].shape
        even = jnp.pad(levels[-1], ((0, height % 2), (0, width % 2), (0, 0)), "edge")
        halves = even.reshape((height + 1) // 2, 2, (width + 1) // 2, 2, channels)
        levels.append(halves.mean((1, 3)))
    return levels
