"""What both towers of a CLIP are made of: layer norms, attention, the transformer of them, and positions.

Legend: B rows, T tokens, D width, H heads.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

Weights = Mapping[str, Any]

EPSILON = 1e-5


def layer_norm(values: jax.Array, weights: Weights) -> jax.Array:
    """Values (..., D) with mean 0 and variance 1, scaled and shifted; computed in float32."""
    exact = values.astype(jnp.float32)
    exact = exact - exact.mean(-1, keepdims=True)
    exact = exact * jax.lax.rsqrt(jnp.square(exact).mean(-1, keepdims=True) + EPSILON)
    return (exact * weights["scale"] + weights["bias"]).astype(values.dtype)


def dense(values: jax.Array, weights: Weights) -> jax.Array:
    """Values (..., in) times a kernel (in, out), plus a bias."""
    return values @ weights["kernel"].astype(values.dtype) + weights["bias"].astype(values.dtype)


def activate(values: jax.Array, kind: str) -> jax.Array:
    """`quick_gelu` or the exact `gelu`."""
    return values * jax.nn.sigmoid(1.702 * values) if kind == "quick_gelu" else jax.nn.gelu(values, approximate=False)


def attend(queries: jax.Array, keys: jax.Array, values: jax.Array, heads: int, causal: bool = False) -> jax.Array:
    """Attention of queries (B, S, D) to keys and values (B, T, D), head by head: (B, S, D)."""
    split = [x.reshape(*x.shape[:2], heads, -1) for x in (queries, keys, values)]
    return jax.nn.dot_product_attention(*split, is_causal=causal).reshape(queries.shape)


def transform(values: jax.Array, blocks: list[Weights], heads: int, activation: str, causal: bool = False) -> jax.Array:
    """Values (B, T, D) through blocks of attention and 4 D hidden units, each after a norm, beside a shortcut."""
    for block in blocks:
        normed = layer_norm(values, block["norm1"])
        queries, keys, rest = (dense(normed, block[name]) for name in ("query", "key", "value"))
        values = values + dense(attend(queries, keys, rest, heads, causal), block["out"])
        hidden = activate(dense(layer_norm(values, block["norm2"]), block["up"]), activation)
        values = values + dense(hidden, block["down"])
    return values


def resized_positions(positions: jax.Array, grid: tuple[int, int]) -> jax.Array:
    """Vectors (1 + n * n, D) of a first token and of a square of places, for a grid of another size."""
    edge = round((len(positions) - 1) ** 0.5)
    if (edge, edge) == grid:
        return positions
    places = positions[1:].reshape(edge, edge, -1)
    places = jax.image.resize(places, (*grid, places.shape[-1]), "cubic", antialias=False)
    return jnp.concatenate([positions[:1], places.reshape(-1, places.shape[-1])])


def block_shapes(width: int) -> dict[str, dict[str, tuple[int, ...]]]:
    """The shapes of one block's weights."""
    norm = {"scale": (width,), "bias": (width,)}
    square = {"kernel": (width, width), "bias": (width,)}
    return {
        "norm1": norm,
        **dict.fromkeys(("query", "key", "value", "out"), square),
        "norm2": norm,
        "up": {"kernel": (width, 4 * width), "bias": (4 * width,)},
        "down": {"kernel": (4 * width, width), "bias": (width,)},
    }
