"""Cross-entropy by chunks of positions, so that the logits of a batch never exist whole.

Legend: B batch, T positions, D width of the features, V vocabulary.
"""

from functools import partial

import jax
import jax.numpy as jnp

from pixace.ops.blocking import chunk_length


def token_losses(
    features: jax.Array, output: jax.Array, bias: jax.Array | None, targets: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Negative log-likelihood of each target, in nats, and whether it was the most likely token.

    Args:
        features: (B, T, D), in the type of the computation.
        output: (V, D) head, cast to that type; `bias`: (V,) or None.
        targets: (B, T) integers.

    Returns:
        (B, T) float32 and (B, T) bool.
    """
    batch, length, _ = features.shape
    chunk = chunk_length(length, batch * output.shape[0])

    # The chunk's logits are made again in the backward pass rather than kept.
    @partial(jax.checkpoint, prevent_cse=False)
    def of_chunk(features, targets):
        logits = jnp.einsum("btd,vd->btv", features, output.astype(features.dtype), preferred_element_type=jnp.float32)
        if bias is not None:
            logits = logits + bias
        picked = jnp.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]
        hit = (logits >= picked[..., None]).sum(axis=-1) == 1  # alone at the top; an argmax is far slower
        return jax.nn.logsumexp(logits, axis=-1) - picked, hit

    if chunk == length:
        return of_chunk(features, targets)

    def step(_, start):
        part = jax.lax.dynamic_slice_in_dim(features, start, chunk, axis=1)
        return None, of_chunk(part, jax.lax.dynamic_slice_in_dim(targets, start, chunk, axis=1))

    _, (losses, hits) = jax.lax.scan(step, None, jnp.arange(0, length, chunk))
    return _joined(losses), _joined(hits)


def _joined(parts: jax.Array) -> jax.Array:
    """Chunks (n, B, T / n) to (B, T)."""
    return jnp.moveaxis(parts, 0, 1).reshape(parts.shape[1], -1)
