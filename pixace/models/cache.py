"""Decoding with a KV cache: the same layers, unrolled, over a few new positions at a time.

Legend: B batch, P new positions, T all positions, H heads, K width of a key, W width of a value, L layers,
R rounds of hashing.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from pixace.config import ModelConfig
from pixace.models.layers import attention_half, mlp_half, rotary_table
from pixace.models.spec import Parameters, pytree
from pixace.models.transformer import close, embed
from pixace.ops.local import LONELY
from pixace.ops.lsh import buckets, next_addresses, seen_from


@pytree
class KVCache:
    """Keys and values of each layer: tuples of L arrays (B, H, T, K) and (B, H, T, W).

    With LSH attention also where each position stands in each round, L int32 arrays (B, R, H, T), else ().
    One buffer a layer, so that a compiled loop updates it in place (a stacked cache would be copied).
    """

    keys: Any
    values: Any
    addresses: Any


def empty_cache(config: ModelConfig, batch: int) -> KVCache:
    """A cache for `batch` pictures; the weight of a place not yet written is exactly 0."""
    shape = (batch, config.n_heads, config.n_positions)
    hashed = (batch, config.n_hashes, config.n_heads, config.n_positions)
    n_hashed = config.n_layers if config.attention == "lsh" else 0
    return KVCache(
        keys=tuple(jnp.zeros((*shape, config.d_head), config.dtype) for _ in range(config.n_layers)),
        values=tuple(jnp.zeros((*shape, config.d_value), config.dtype) for _ in range(config.n_layers)),
        addresses=tuple(jnp.zeros(hashed, jnp.int32) for _ in range(n_hashed)),
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
    keys, values, addresses = list(cache.keys), list(cache.values), list(cache.addresses)
    for i, block in enumerate(parameters.blocks):

        def mix(q: jax.Array, k: jax.Array, v: jax.Array, i: int = i) -> jax.Array:
            keys[i] = _write(keys[i], k.swapaxes(1, 2), start)
            values[i] = _write(values[i], v.swapaxes(1, 2), start)
            if config.attention == "local":
                return _attend_near(q, keys[i], values[i], start, config.window)
            places = jnp.arange(config.n_positions) - (start + jnp.arange(count))[:, None]  # (P, T)
            if config.attention == "full":
                return _attend(q, keys[i], values[i], places <= 0)
            hashed = buckets(k, config.n_hashes, config.n_buckets)
            new = next_addresses(hashed, addresses[i], start, config.window)
            addresses[i] = _write(addresses[i], new, start, axis=3)
            visible = seen_from(new, addresses[i], config.window) & (places <= 0)
            return _attend(q, keys[i], values[i], visible, avoid=places == 0)

        if config.residual == "reversible":
            a = a + attention_half(config, block, b, angles, mix)
            b = b + mlp_half(config, block, a)
        else:
            a = a + attention_half(config, block, a, angles, mix)
            a = a + mlp_half(config, block, a)
    streams = (a, b) if config.residual == "reversible" else (a,)
    return close(config, parameters, streams), KVCache(tuple(keys), tuple(values), tuple(addresses))


def _write(buffer: jax.Array, new: jax.Array, start: jax.Array, axis: int = 2) -> jax.Array:
    """Put what belongs to P new positions into a buffer of T, from position `start` on."""
    return jax.lax.dynamic_update_slice_in_dim(buffer, new.astype(buffer.dtype), start, axis)


def _attend(
    q: jax.Array, keys: jax.Array, values: jax.Array, visible: jax.Array, avoid: jax.Array | None = None
) -> jax.Array:
    """Queries (B, P, H, K) over those cached positions that are `visible`, a mask that broadcasts to (B, H, P, T).

    A position in `avoid` (P, T) is seen only where nothing else is.
    """
    scores = jnp.einsum("bphk,bhtk->bhpt", q, keys, preferred_element_type=jnp.float32) * q.shape[-1] ** -0.5
    if avoid is not None:
        scores = jnp.where(avoid, LONELY, scores)
    weights = jax.nn.softmax(jnp.where(visible, scores, -jnp.inf), axis=-1)
    return jnp.einsum("bhpt,bhtw->bphw", weights.astype(values.dtype), values)


def _attend_near(q: jax.Array, keys: jax.Array, values: jax.Array, start: jax.Array, window: int) -> jax.Array:
    """Queries (B, P, H, K) of positions start on, over their own and the `window` cached positions before."""
    count, size = q.shape[1], min(window + q.shape[1], keys.shape[2])
    first = jnp.clip(start - window, 0, keys.shape[2] - size)
    keys, values = (jax.lax.dynamic_slice_in_dim(x, first, size, axis=2) for x in (keys, values))
    back = (start + jnp.arange(count))[:, None] - (first + jnp.arange(size))
    return _attend(q, keys, values, (back >= 0) & (back <= window))
