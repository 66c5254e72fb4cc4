"""Attention over the nearest keys along one line or several, by chunks: the cost grows with T and not with T x T.

A line puts the positions in an order. Local attention has one, the positions as they come; LSH attention
has one a round of hashing, on which the positions of a bucket stand together (`lsh.py`). A query sees the
keys at most `window` places before its own place on any of the lines, itself included.

Legend: B batch, T positions, H heads, K width of a query or key, W width of a value, N chunks, C places in a
chunk, S places that a chunk looks at (its own and those of the chunk before).
"""

from functools import reduce
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from pixace.ops.attention import drop

LONELY = -1e5  # score of a query with itself where it should see itself only if it sees nothing else
NOWHERE = -(2**30)  # address of a place that no position stands at


class Line(NamedTuple):
    """An order of the positions; int32 arrays (B, H, T), or only `address` (T,) where positions stand as they come.

    address: where each position stands. Addresses differ; a gap wider than the window separates what must not mix.
    order: the positions in the order of their addresses.
    place: of each position its index in `order`.
    """

    address: jax.Array | np.ndarray
    order: jax.Array | None = None
    place: jax.Array | None = None


def local_attention(
    q: jax.Array, k: jax.Array, v: jax.Array, window: int, *, dropout: float = 0.0, key: jax.Array | None = None
) -> jax.Array:
    """Softmax attention in which position t sees positions t - `window` to t; arguments as in `causal_attention`."""
    line = Line(np.arange(q.shape[1], dtype=np.int32))
    return attention_along((line,), q, k, v, window, dropout=dropout, key=key)


def attention_along(
    lines: tuple[Line, ...],
    q: jax.Array,
    k: jax.Array,
    v: jax.Array,
    window: int,
    *,
    avoid_self: bool = False,
    dropout: float = 0.0,
    key: jax.Array | None = None,
) -> jax.Array:
    """Softmax attention over the union of what the lines show; a key that several show counts once.

    Args:
        lines: each stands for causality too: a key that follows its query must not stand near before it.
        q, k: (B, T, H, K); scores are scaled by 1 / sqrt(K).
        v: (B, T, H, W).
        window: places that a query looks back on each line.
        avoid_self: a query sees itself only where it sees nothing else.
        dropout: share of attention weights dropped where `key` is given.

    Returns:
        (B, T, H, W) in the type of `v`.
    """
    q, k, v = (x.swapaxes(1, 2) for x in (q * q.shape[-1] ** -0.5, k, v))
    key = key if dropout > 0.0 else None
    # One line's scores at a time, made again in the backward pass.
    attend = jax.checkpoint(_along_one, static_argnums=(5, 6, 7))
    parts = []
    for i, line in enumerate(lines):
        seen = tuple(other.address for other in lines[:i])
        line_key = None if key is None else jax.random.fold_in(key, i)
        parts.append(attend(line, q, k, v, line_key, window, avoid_self, dropout, seen))
    top = jnp.stack([part[2] for part in parts]).max(axis=0)
    scales = [jnp.exp(part[2] - top) for part in parts]
    mixed = reduce(jnp.add, [scale[..., None] * part[0] for scale, part in zip(scales, parts, strict=True)])
    total = reduce(jnp.add, [scale * part[1] for scale, part in zip(scales, parts, strict=True)])
    return (mixed / total[..., None]).astype(v.dtype).swapaxes(1, 2)


def _along_one(line, q, k, v, key, window, avoid_self, dropout, seen):
    """One line's part: sums of weighted values (B, H, T, W) and of weights (B, H, T), and the scale (B, H, T) of both.

    `seen`: addresses on the lines before; what they show is not counted again.
    """
    length, width = q.shape[2], q.shape[3]
    address, seen = line.address, list(seen)
    if line.order is not None:
        joined = _permute(jnp.concatenate([q, k, v], axis=-1), line.order, line.place)
        q, k, v = joined[..., :width], joined[..., width : 2 * width], joined[..., 2 * width :]
        address, *seen = (_sorted(x, line.order) for x in (address, *seen))
    size = min(window, length)
    q, k, v = (_chunks(x, size) for x in (q, k, v))  # (B, H, N, C, ...)
    scores = jnp.einsum("bhnck,bhnsk->bhncs", q, _with_previous(k, 0), preferred_element_type=jnp.float32)
    distance = _distances(address, size)
    visible = (distance >= 0) & (distance <= window)
    for other in seen:
        before = _distances(other, size)
        visible &= (before < 0) | (before > window)
    if avoid_self:
        scores = jnp.where(distance == 0, LONELY, scores)
    scores = jnp.where(visible, scores, 4 * LONELY)
    top = jax.lax.stop_gradient(scores.max(axis=-1))
    weights = jnp.where(visible, jnp.exp(scores - top[..., None]), 0.0)
    total = weights.sum(axis=-1)
    if key is not None:
        weights = drop(weights, dropout, key)
    values = _with_previous(v, 0)
    mixed = jnp.einsum("bhncs,bhnsw->bhncw", weights.astype(v.dtype), values, preferred_element_type=jnp.float32)
    mixed, total, top = (x.reshape(*x.shape[:2], -1, *x.shape[4:])[:, :, :length] for x in (mixed, total, top))
    if line.order is not None:
        joined = _permute(jnp.concatenate([mixed, total[..., None]], axis=-1), line.place, line.order)
        mixed, total, top = joined[..., :-1], joined[..., -1], _sorted(top, line.place)
    return mixed, total, top


def _chunks(x: jax.Array | np.ndarray, size: int, fill: int = 0) -> jax.Array:
    """(..., T, rest) to (..., N, C, rest) where T is axis 2, or 0 of a line's own addresses; the end is filled up."""
    axis = 0 if x.ndim == 1 else 2
    missing = -x.shape[axis] % size
    padding = [(0, missing if i == axis else 0) for i in range(x.ndim)]
    x = jnp.pad(x, padding, constant_values=fill)
    return x.reshape(*x.shape[:axis], -1, size, *x.shape[axis + 1 :])


def _with_previous(x: jax.Array, fill: int, axis: int = 2) -> jax.Array:
    """Each chunk with the one before it in front: chunk axis N, then C becomes S = 2 C (S = C if N is 1)."""
    if x.shape[axis] == 1:
        return x
    padding = [(1, 0) if i == axis else (0, 0) for i in range(x.ndim)]
    before = jax.lax.slice_in_dim(jnp.pad(x, padding, constant_values=fill), 0, x.shape[axis], axis=axis)
    return jnp.concatenate([before, x], axis=axis + 1)


def _distances(address: jax.Array | np.ndarray, size: int) -> jax.Array:
    """How far each chunk's places (..., N, C) are past the places (..., N, S) that it looks at."""
    chunks = _chunks(address, size, NOWHERE)
    return chunks[..., :, None] - _with_previous(chunks, NOWHERE, axis=chunks.ndim - 2)[..., None, :]


def _sorted(x: jax.Array | np.ndarray, order: jax.Array) -> jax.Array:
    """x (B, H, T) or (T,) in another order."""
    return jnp.take(x, order) if x.ndim == 1 else jnp.take_along_axis(x, order, axis=2)


@jax.custom_vjp
def _permute(x: jax.Array, order: jax.Array, inverse: jax.Array) -> jax.Array:
    """x (B, H, T, ...) in another order; the gradient is gathered too, which is quicker than to scatter it."""
    return jnp.take_along_axis(x, order[..., None], axis=2)


def _permute_forward(x, order, inverse):
    return _permute(x, order, inverse), (order, inverse)


def _permute_backward(saved, cotangent):
    order, inverse = saved
    return _permute(cotangent, inverse, order), None, None


_permute.defvjp(_permute_forward, _permute_backward)
