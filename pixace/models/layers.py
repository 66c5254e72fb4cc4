"""The pieces of a layer: norms, rotary positions, the attention and feed-forward halves.

Legend: B batch, T positions, D model width, H heads, K width of a query or key, W width of a value,
F hidden width.
"""

import math
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from pixace.config import ModelConfig
from pixace.models.spec import MLP, Attention, Block, Norm
from pixace.ops.attention import drop

EPSILON = 1e-6
ROTARY_BASE = 100.0  # longest wavelength, in pixels, of a rotary pair is about 2 pi times this
ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "relu2": lambda x: jnp.square(jax.nn.relu(x)),
    "relu": jax.nn.relu,
    "gelu": partial(jax.nn.gelu, approximate=True),
}
Mix = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]  # q, k, v -> mixed values (B, T, H, W)


def normalise(config: ModelConfig, norm: Norm, x: jax.Array) -> jax.Array:
    """LayerNorm or RMSNorm over the last axis, in float32; the result is in the type of the computation."""
    x = x.astype(jnp.float32)
    if config.norm == "layer":
        x = x - x.mean(axis=-1, keepdims=True)
    x = x * jax.lax.rsqrt(jnp.mean(x * x, axis=-1, keepdims=True) + EPSILON) * norm.scale
    if norm.bias is not None:
        x = x + norm.bias
    return x.astype(config.dtype)


def rotary_table(config: ModelConfig) -> np.ndarray | None:
    """Angles of each position, float32 (T, K / 2): half of the pairs turn with the row, half with the column."""
    if config.positions != "rotary":
        return None
    pairs = config.d_head // 4
    frequency = ROTARY_BASE ** (-np.arange(pairs) / pairs)
    row, column = np.divmod(np.arange(config.n_positions), config.width)
    return np.concatenate([row[:, None] * frequency, column[:, None] * frequency], axis=-1).astype(np.float32)


def rotate(x: jax.Array, angles: jax.Array | np.ndarray) -> jax.Array:
    """Turn pairs (i, i + K/2) of (B, T, H, K) by `angles` (T, K / 2) (Su et al., arXiv:2104.09864)."""
    cos, sin = jnp.cos(angles)[:, None, :], jnp.sin(angles)[:, None, :]
    first, second = jnp.split(x.astype(jnp.float32), 2, axis=-1)
    turned = jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)
    return turned.astype(x.dtype)


def linear(x: jax.Array, matrix: jax.Array, bias: jax.Array | None = None) -> jax.Array:
    """x (B, T, inputs...) times a matrix (outputs..., inputs...), in the type of x: (B, T, outputs...).

    Rows and inputs are made one axis each: products of that form, and their gradients, are the quick ones.
    """
    n_inputs = math.prod(x.shape[2:])
    outputs = matrix.shape[: matrix.ndim - (x.ndim - 2)]
    flat = jnp.einsum("ri,oi->ro", x.reshape(-1, n_inputs), matrix.astype(x.dtype).reshape(-1, n_inputs))
    y = flat.reshape(*x.shape[:2], *outputs)
    return y if bias is None else y + bias.astype(x.dtype)


def dropout(config: ModelConfig, x: jax.Array, rate: float, key: jax.Array | None, site: int) -> jax.Array:
    """Dropout of (B, T, D) at one of a layer's sites; with `dropout_shared` one mask serves all positions."""
    if key is None or rate == 0.0:
        return x
    shape = (x.shape[0], 1, x.shape[2]) if config.dropout_shared else x.shape
    return drop(x, rate, jax.random.fold_in(key, site), shape)


def attention_half(
    config: ModelConfig,
    block: Block,
    x: jax.Array,
    angles: jax.Array | np.ndarray | None,
    mix: Mix,
    key: jax.Array | None = None,
) -> jax.Array:
    """What attention adds to the stream x (B, T, D); `mix` decides which positions are seen."""
    mixed = mix(*attention_inputs(config, block, x, angles))
    change = linear(mixed, block.attention.out, block.attention.out_bias)
    return dropout(config, change, config.dropout, key, 1).astype(jnp.float32)


def attention_inputs(
    config: ModelConfig, block: Block, x: jax.Array, angles: jax.Array | np.ndarray | None
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Queries and keys (B, T, H, K) and values (B, T, H, W) of the stream x (B, T, D).

    LSH attention has no key projection: its keys are the queries, normalised.
    """
    weights: Attention = block.attention
    x = normalise(config, block.attention_norm, x)
    q, k = linear(x, weights.query, weights.query_bias), None
    if weights.key is not None:
        k = linear(x, weights.key, weights.key_bias)
    if config.qk_norm:
        q = _unit(q, weights.query_norm)
        k = None if k is None else _unit(k, weights.key_norm)
    if angles is not None:
        q = rotate(q, angles)
        k = None if k is None else rotate(k, angles)
    return q, _unit(q, 1.0) if k is None else k, linear(x, weights.value, weights.value_bias)


def _unit(x: jax.Array, scale: jax.Array | float) -> jax.Array:
    wide = x.astype(jnp.float32)
    return (wide * jax.lax.rsqrt(jnp.mean(wide * wide, axis=-1, keepdims=True) + EPSILON) * scale).astype(x.dtype)


def mlp_half(config: ModelConfig, block: Block, x: jax.Array, key: jax.Array | None = None) -> jax.Array:
    """What the feed-forward part adds to the stream x (B, T, D)."""
    weights: MLP = block.mlp
    h = linear(normalise(config, block.mlp_norm, x), weights.up, weights.up_bias)
    h = dropout(config, ACTIVATIONS[config.activation](h), config.dropout, key, 2)
    change = linear(h, weights.down, weights.down_bias)
    return dropout(config, change, config.dropout, key, 3).astype(jnp.float32)
