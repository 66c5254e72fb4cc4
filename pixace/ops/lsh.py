"""LSH attention: each query attends to the keys that random projections put in its bucket.

As in the Reformer (Kitaev et al., 2020, arXiv:2001.04451) queries and keys share one projection and every round
hashes with rotations of its own: the bucket is the direction nearest to the vector among N random ones and
their opposites. Unlike there, what a query sees depends on the positions before it alone - the `window` members of
its bucket before it - so that likelihoods are those of the pictures drawn, and a cache decodes the same. In float32,
that is: between two directions equally near, rounding decides, and in bfloat16 it does so for some positions in a
hundred, one way in the whole forward pass and another with a cache.

Legend: B batch, T positions, H heads, K width of a key, R rounds, N buckets.
"""

import jax
import jax.numpy as jnp
import numpy as np

from pixace.ops.local import Line


def buckets(k: jax.Array, rounds: int, count: int) -> jax.Array:
    """The bucket of each key (B, T, H, K) in each round: uint16 (R, B, H, T); only directions matter.

    The random directions are always the same: with them the model learns what to put together.
    """
    if count == 1:
        return jnp.zeros((rounds, k.shape[0], k.shape[2], k.shape[1]), jnp.uint16)
    directions = np.random.RandomState(0).standard_normal((k.shape[-1], rounds, count // 2))
    directions = directions.astype(np.float32)
    turned = jnp.einsum("bthk,krn->rbhtn", k.astype(jnp.float32), directions, precision="highest")
    return jnp.concatenate([turned, -turned], axis=-1).argmax(axis=-1).astype(jnp.uint16)


def line_of(bucket: jax.Array, window: int) -> Line:
    """The line of one round from its buckets (B, H, T): members of a bucket one after another, then a gap."""
    bucket = bucket.astype(jnp.int32)
    length = bucket.shape[-1]
    positions = jnp.broadcast_to(jnp.arange(length, dtype=jnp.int32), bucket.shape)
    sorted_bucket, order = jax.lax.sort((bucket, positions), num_keys=1, is_stable=True)
    opens = jnp.concatenate([jnp.ones_like(bucket[..., :1], bool), jnp.diff(sorted_bucket) != 0], axis=-1)
    first = jax.lax.cummax(jnp.where(opens, positions, 0), axis=bucket.ndim - 1)
    _, place, rank = jax.lax.sort((order, positions, positions - first), num_keys=1)
    return Line(bucket * _stretch(length, window) + rank, order, place)


def _stretch(length: int, window: int) -> int:
    """Addresses a bucket: one for each position that may come, and a gap wider than any look back."""
    return length + min(window, length) + 1


def next_addresses(bucket: jax.Array, addresses: jax.Array, start: jax.Array, window: int) -> jax.Array:
    """Addresses of P new positions, the first of them number `start`, that follow known ones.

    Args:
        bucket: (R, B, H, P) of the new positions.
        addresses: (B, R, H, T) int32, known before `start`.

    Returns:
        (B, R, H, P) int32, the same numbers as `line_of` gives for the whole sequence.
    """
    length = addresses.shape[-1]
    stretch = _stretch(length, window)
    bucket = bucket.astype(jnp.int32).swapaxes(0, 1)
    past = addresses[..., None, :] - (bucket * stretch)[..., None]  # (B, R, H, P, T)
    in_bucket = (past >= 0) & (past < stretch) & (jnp.arange(length) < start)
    rank = in_bucket.sum(axis=-1, dtype=jnp.int32)
    earlier = jnp.tril(jnp.ones((bucket.shape[-1],) * 2, bool), -1)
    rank += ((bucket[..., None] == bucket[..., None, :]) & earlier).sum(axis=-1, dtype=jnp.int32)
    return bucket * stretch + rank


def seen_from(new: jax.Array, addresses: jax.Array, window: int) -> jax.Array:
    """Whether new positions with addresses (B, R, H, P) see the places with addresses (B, R, H, T): (B, H, P, T)."""
    distance = new[..., None] - addresses[..., None, :]
    return ((distance >= 0) & (distance <= window)).any(axis=1)
