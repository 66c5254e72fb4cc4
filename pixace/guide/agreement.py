"""How far a view is from what is asked of it, in the eyes of one CLIP or several.

Legend: F features of a target, S entries of a CLIP's space, M CLIPs. Vectors have length 1.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from pixace.clip.model import SCALE

_LOWEST = -1e30  # below every similarity


def similarities(view: Sequence[jax.Array], wanted: Sequence[jax.Array], shares: Sequence[float]) -> jax.Array:
    """100 times the cosine of the angle between a view and each feature, (F,): the CLIPs' mean by their shares.

    Args:
        view: of each of M CLIPs the vector (S,).
        wanted: of each the features' (F, S).
        shares: of each its weight; they need not sum to 1.
    """
    total = sum(share * (vectors @ vector) for vector, vectors, share in zip(view, wanted, shares, strict=True))
    return SCALE * jnp.asarray(total) / sum(shares)


def distances(kinds: Sequence[str], vector: jax.Array, wanted: jax.Array) -> jax.Array:
    """The loss (F,) of a vector (S,) for each feature (F, S), by the kind of each: cosine, l1, l2 or spherical.

    `spherical` is twice the square of half the angle: 0 for the same vector, pi^2 / 8 for one at right angles. It
    keeps its slope where `cosine` gets flat, far from the feature.
    """
    rows = [_DISTANCES[kind](vector, row) for kind, row in zip(kinds, wanted, strict=True)]
    return jnp.stack(rows) if rows else jnp.zeros(0)


def _spherical(vector: jax.Array, wanted: jax.Array) -> jax.Array:
    gap = jnp.square(vector - wanted).sum()
    half = jnp.sqrt(jnp.clip(gap, 1e-12, 4 - 1e-6)) / 2  # asin has no slope at 1, nor the root at 0
    return 2 * jnp.square(jnp.arcsin(half))


_DISTANCES = {
    "cosine": lambda vector, wanted: 1 - vector @ wanted,
    "l1": lambda vector, wanted: 100 * jnp.abs(vector - wanted).mean(),
    "l2": lambda vector, wanted: 100 * jnp.square(vector - wanted).mean(),
    "spherical": _spherical,
}


def chosen(select: str, similar: jax.Array, enabled: jax.Array) -> jax.Array:
    """Which features count for a view, 0 or 1 each, (F,).

    Args:
        select: `all`, `best`, `worst` or `mix`.
        similar: (F,).
        enabled: those whose time it is, (F,).
    """
    if select in ("all", "mix"):
        return enabled
    rated = jnp.where(enabled > 0, similar if select == "best" else -similar, _LOWEST)
    return enabled * (jnp.arange(similar.shape[0]) == jnp.argmax(rated))


def feature_loss(
    select: str,
    kinds: Sequence[str],
    view: Sequence[jax.Array],
    wanted: Sequence[jax.Array],
    shares: Sequence[float],
    weights: jax.Array,
    counted: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """The loss of a view's features, and each feature's own loss before its weight (F,).

    Args:
        select: `mix` asks for the mean of the features by their weights, with the loss of the first; all others sum.
        kinds: F kinds of loss.
        view, wanted, shares: as in `similarities`; each CLIP's loss is multiplied by its share.
        weights: (F,).
        counted: of `chosen`, (F,).
    """
    each = sum(
        share * distances(kinds, vector, vectors) for vector, vectors, share in zip(view, wanted, shares, strict=True)
    )
    if select != "mix":
        return (counted * weights * each).sum(), jnp.asarray(each)
    weights = counted * weights
    size = jnp.abs(weights).sum()
    loss = jnp.float32(0)
    for vector, vectors, share in zip(view, wanted, shares, strict=True):
        mixed = weights @ vectors / jnp.maximum(size, 1e-12)
        loss += share * jnp.where(size > 0, distances(kinds[:1], vector, mixed[None])[0], 0)
    return loss, jnp.asarray(each)
