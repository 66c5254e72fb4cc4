"""Pictures and feature maps at another size: linear, with exact gradients, fast in both directions.

Each edge is resized by a matrix with few entries a row. Gathering these beats the product of whole matrices, on a
CPU several times, and memory stays that of the picture. Legend: h, w old size; h', w' new size; C channels.
"""

from collections.abc import Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from pixace.fields import require

METHODS = ("bilinear", "area", "bicubic")
MOST_TAPS = 32  # entries of a row that are gathered one by one; with more, the whole row is multiplied


def resize(values: Any, size: Sequence[int], method: str = "bilinear") -> jax.Array:
    """Values (h, w, C) at another size (h', w'), float32: half-pixel centres, differentiable in reverse.

    Args:
        values: an array.
        size: (h', w').
        method: `bilinear` looks at two points an edge, also where it makes smaller; `area` averages all where it
            makes smaller, and is bilinear where it makes larger; `bicubic` is Pillow's: Keys' kernel with a = -0.5,
            as much wider as the edge gets smaller.

    Raises:
        ConfigError: the method is not known, or an edge has no pixels.
    """
    require(method in METHODS, f"method={method!r} is not known; choose one of {', '.join(METHODS)}")
    height, width = size
    require(
        min(height, width, *values.shape[:2]) >= 1,
        f"{values.shape[:2]} to {(height, width)}: at least 1 pixel an edge is needed",
    )
    return _resize(values, (height, width), method)


@partial(jax.jit, static_argnums=(1, 2))
def _resize(values: Any, size: tuple[int, int], method: str) -> jax.Array:
    values = jnp.asarray(values, jnp.float32)
    # The edge that shrinks most goes first, and leaves the other less to do.
    for axis in sorted((0, 1), key=lambda axis: size[axis] / values.shape[axis]):
        if size[axis] != values.shape[axis]:
            values = _resize_edge(values, axis, values.shape[axis], size[axis], method)
    return values


@partial(jax.custom_vjp, nondiff_argnums=(1, 2, 3, 4))
def _resize_edge(values: jax.Array, axis: int, old: int, new: int, method: str) -> jax.Array:
    return _multiply(_entries(old, new, method), new, values, axis)


def _forward(values: jax.Array, axis: int, old: int, new: int, method: str) -> tuple[jax.Array, None]:
    return _multiply(_entries(old, new, method), new, values, axis), None


def _backward(axis: int, old: int, new: int, method: str, _: None, slope: jax.Array) -> tuple[jax.Array]:
    return (_multiply(_entries(old, new, method).transposed(), old, slope, axis),)


# The transposed matrix has few entries a row, too. What JAX derives of gathering is scattering, which is slow.
_resize_edge.defvjp(_forward, _backward)


class _Entries(NamedTuple):
    """The entries of a matrix that are not zero: where they are, and what."""

    rows: np.ndarray
    columns: np.ndarray
    weights: np.ndarray

    def transposed(self) -> "_Entries":
        return _Entries(self.columns, self.rows, self.weights)


def _multiply(matrix: _Entries, n_rows: int, values: jax.Array, axis: int) -> jax.Array:
    """The product of a matrix of `n_rows` and one axis of the values."""
    order = np.argsort(matrix.rows, kind="stable")
    rows, columns, weights = (part[order] for part in matrix)
    tap = np.arange(len(rows)) - np.searchsorted(rows, rows)  # how many entries its row has before this one
    if tap.max() >= MOST_TAPS:
        dense = np.zeros((n_rows, values.shape[axis]), np.float32)
        dense[rows, columns] = weights
        return jnp.moveaxis(jnp.tensordot(dense, values, (1, axis), precision="highest"), 0, axis)
    total = jnp.zeros(())
    for i in range(tap.max() + 1):
        chosen, column, weight = tap == i, np.zeros(n_rows, np.int32), np.zeros(n_rows, np.float32)
        column[rows[chosen]], weight[rows[chosen]] = columns[chosen], weights[chosen]
        spread = weight.reshape([-1 if i == axis else 1 for i in range(values.ndim)])
        total = total + spread * jnp.take(values, column, axis, mode="clip")
    return total


@lru_cache(maxsize=256)
def _entries(old: int, new: int, method: str) -> _Entries:
    """What resizes an edge: a matrix (new, old) whose rows add up to 1."""
    ratio = old / new
    starts = np.arange(new)[:, None] * ratio  # of the new pixels, on the old edge from 0 to `old`
    centres = starts + ratio / 2 - 0.5  # where the centres of the old ones are 0, 1, ...
    if method == "bicubic":
        wider = max(ratio, 1)
        columns = np.floor(centres) + np.arange(-np.ceil(2 * wider), np.ceil(2 * wider) + 2)
        weights = _cubic((columns - centres) / wider)
    elif method == "area" and ratio > 1:
        columns = np.floor(starts) + np.arange(np.ceil(ratio) + 1)
        weights = np.maximum(np.minimum(starts + ratio, columns + 1) - np.maximum(starts, columns), 0)
    else:
        centres = np.clip(centres, 0, old - 1)
        columns = np.floor(centres) + np.arange(2)
        weights = 1 - np.abs(columns - centres)
    weights = np.where((columns >= 0) & (columns < old), weights, 0)
    weights /= weights.sum(1, keepdims=True)
    rows, taps = np.nonzero(np.abs(weights) > 1e-9)  # what is less comes of rounding
    return _Entries(rows, columns[rows, taps].astype(int), weights[rows, taps])


def _cubic(distance: np.ndarray) -> np.ndarray:
    """Keys' kernel (1981) with a = -0.5."""
    x = np.abs(distance)
    return np.where(x < 1, (1.5 * x - 2.5) * x * x + 1, np.where(x < 2, ((2.5 - 0.5 * x) * x - 4) * x + 2, 0))
