"""Causal attention over a whole sequence: one entry point, several implementations.

Legend: B batch, T positions, H heads, K width of a query or key, W width of a value.
"""

import logging
from typing import Any

import jax
import jax.numpy as jnp

from pixace.ops.blocking import block_length

IMPLEMENTATIONS = ("blocks", "whole", "cudnn")
_log = logging.getLogger("pixace")


def causal_attention(
    q: jax.Array,
    k: jax.Array,
    v: jax.Array,
    *,
    implementation: str = "blocks",
    dropout: float = 0.0,
    key: jax.Array | None = None,
) -> jax.Array:
    """Softmax attention in which position t sees positions 0 to t.

    Args:
        q, k: (B, T, H, K); scores are scaled by 1 / sqrt(K).
        v: (B, T, H, W).
        implementation: `whole` makes all T x T scores at once; `blocks` goes by blocks of queries, each
            over the keys it can see, and computes them again in the backward pass: less memory and, on a
            CPU, half the work; `cudnn` is the fused kernel (bfloat16 or float16, K = W).
        dropout: share of attention weights dropped where `key` is given.

    Returns:
        (B, T, H, W) in the type of `v`.
    """
    dropping = dropout > 0.0 and key is not None
    if implementation == "cudnn" and not dropping:
        return jax.nn.dot_product_attention(q, k, v, is_causal=True, implementation="cudnn")
    q, k, v = (x.swapaxes(1, 2) for x in (q * q.shape[-1] ** -0.5, k, v))  # (B, H, T, K): plain batched products
    key = key if dropping else None
    length = q.shape[2]
    block = length if implementation == "whole" else block_length(length)
    attend = jax.checkpoint(_block, static_argnums=(4, 5)) if block < length else _block
    parts = []
    for start in range(0, length, block):
        stop = min(start + block, length)
        block_key = None if key is None else jax.random.fold_in(key, start)
        parts.append(attend(q[:, :, start:stop], k[:, :, :stop], v[:, :, :stop], block_key, start, dropout))
    return jnp.concatenate(parts, axis=2).swapaxes(1, 2)


def _block(q: jax.Array, k: jax.Array, v: jax.Array, key: Any, start: int, dropout: float) -> jax.Array:
    """Queries (B, H, Q, K) of positions start, start + 1, ... over keys of positions 0 to the last query's."""
    scores = jnp.einsum("bhqk,bhtk->bhqt", q, k, preferred_element_type=jnp.float32)
    visible = jnp.arange(k.shape[2]) <= jnp.arange(start, start + q.shape[2])[:, None]
    scores = jnp.where(visible, scores, -jnp.inf)
    weights = jnp.exp(scores - jax.lax.stop_gradient(scores.max(axis=-1, keepdims=True)))
    total = weights.sum(axis=-1, keepdims=True)
    if key is not None:
        weights = drop(weights, dropout, key)
    # Dividing the mixed values rather than the weights touches W numbers a query and not T.
    mixed = jnp.einsum("bhqt,bhtw->bhqw", weights.astype(v.dtype), v, preferred_element_type=jnp.float32)
    return (mixed / total).astype(v.dtype)


def drop(x: jax.Array, rate: float, key: jax.Array, shape: tuple[int, ...] | None = None) -> jax.Array:
    """Dropout: zero a share `rate` of `x` and scale the rest up; `shape` (default: that of x) broadcasts.

    Sixteen random bits decide each place, half the cost of a float; the rate is met to 1 in 65,536.
    """
    threshold = round(rate * 2**16)
    keep = jax.random.bits(key, shape or x.shape, jnp.uint16) >= threshold
    return jnp.where(keep, x / (1 - threshold / 2**16), 0).astype(x.dtype)


def choose_implementation(platform: str, dtype: str, d_head: int, d_value: int) -> str:
    """The implementation for this device, found by trying it: called once at the start and logged."""
    if platform == "gpu" and dtype == "bfloat16" and d_head == d_value and d_head % 8 == 0 and d_head <= 128:
        try:
            probe = jnp.zeros((1, 128, 1, d_head), jnp.bfloat16)

            def total(x: jax.Array) -> jax.Array:
                return causal_attention(x, x, x, implementation="cudnn").astype(jnp.float32).sum()

            jax.block_until_ready(jax.jit(jax.grad(total))(probe))
            return "cudnn"
        except Exception as error:  # whatever the driver or library lacks, the blocks work
            _log.warning("fused attention is not usable here (%s); going by blocks", str(error).splitlines()[0])
    return "blocks"
