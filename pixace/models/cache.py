"""Decoding with a KV cache: the same layers, unrolled, over a few new positions at a time.

Legend: B batch, P new positions, T all positions, H heads, K width of a key, W width of a value, L layers.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from pixace.config import ModelConfig
from pixace.models.layers import attention_half, mlp_half, rotary_table
from pixace.models.spec import Parameters, pytree
from pixace.models.transformer import close, embed


@pytree
class KVCache:
    """Keys and values of each layer: tuples of L arrays (B, H, T, K) and (B, H, T, W).

    One buffer a layer, so that a compiled loop updates it in place (a stacked cache would be copied).
    """

    keys: Any
    values: Any


def empty_cache(config: ModelConfig, batch: int) -> KVCache:
    """A cache for `batch` pictures; the weight of a place not yet written is exactly 0."""
    shape = (batch, config.n_heads, config.n_positions)
    return KVCache(
        keys=tuple(jnp.zeros((*shape, config.d_head), config.dtype) for _ in range(config.n_layers)),
        values=tuple(jnp.zeros((*shape, config.d_value), config.dtype) for _ in range(config.n_layers)),
    )


@partial(jax.jit, static_argnums=1)
def unstack(parameters: Parameters, config: ModelConfig) -> Parameters:
    """The decode layout: `blocks` as a tuple of L layers, matrices in `config.dtype`
    (but not the embedding, of which a step reads one row a picture)."""

    def cast(x: jax.Array) -> jax.Array:
        return x.astype(config.dtype) if x.ndim > 1 else x

    def layer(i: int) -> Any:
        return jax.tree.map(lambda x: cast(x[i]), parameters.blocks)

    return Parameters(
        embedding=parameters.embedding,
        positions=parameters.positions,
        blocks=tuple(layer(i) for i in range(config.n_layers)),
        final_norm=parameters.final_norm,
        output=cast(parameters.output),
        output_bias=parameters.output_bias,
    )


def extend(
    parameters: Parameters, config: ModelConfig, cache: KVCache, inputs: jax.Array, start: jax.Array
) -> tuple[jax.Array, KVCache]:
    """Run positions start, ..., start + P - 1, whose input ids are `inputs` (B, P).

    Args:
        parameters: in the decode layout of `unstack`.
        start: scalar; all earlier positions must be in the cache.

    Returns:
        Features (B, P, S) and the cache with these positions written.
    """
    count = inputs.shape[1]
    table = rotary_table(config)
    angles = None if table is None else jax.lax.dynamic_slice_in_dim(jnp.asarray(table), start, count)
    learned = parameters.positions
    positions = None if learned is None else jax.lax.dynamic_slice_in_dim(learned, start, count)
    x = embed(config, parameters, inputs, positions)
    a, b = x, x
    keys, values = list(cache.keys), list(cache.values)
    for i, block in enumerate(parameters.blocks):

        def mix(q: jax.Array, k: jax.Array, v: jax.Array, i: int = i) -> jax.Array:
            keys[i] = _write(keys[i], k, start)
            values[i] = _write(values[i], v, start)
            return _attend(q, keys[i], values[i], start)

        if config.residual == "reversible":
            a = a + attention_half(config, block, b, angles, mix)
            b = b + mlp_half(config, block, a)
        else:
            a = a + attention_half(config, block, a, angles, mix)
            a = a + mlp_half(config, block, a)
    streams = (a, b) if config.residual == "reversible" else (a,)
    return close(config, parameters, streams), KVCache(tuple(keys), tuple(values))


def _write(buffer: jax.Array, new: jax.Array, start: jax.Array) -> jax.Array:
    """Put (B, P, H, K) into a buffer (B, H, T, K) from position `start` on."""
    return jax.lax.dynamic_update_slice(buffer, new.swapaxes(1, 2).astype(buffer.dtype), (0, 0, start, 0))


def _attend(q: jax.Array, keys: jax.Array, values: jax.Array, start: jax.Array) -> jax.Array:
    """Queries (B, P, H, K) of positions start on, over all cached positions up to their own."""
    scores = jnp.einsum("bphk,bhtk->bhpt", q, keys, preferred_element_type=jnp.float32) * q.shape[-1] ** -0.5
    visible = jnp.arange(keys.shape[2]) <= start + jnp.arange(q.shape[1])[:, None]
    weights = jax.nn.softmax(jnp.where(visible, scores, -jnp.inf), axis=-1)
    return jnp.einsum("bhpt,bhtw->bphw", weights.astype(values.dtype), values)
