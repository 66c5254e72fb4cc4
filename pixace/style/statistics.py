"""Statistics of feature maps that stand for style, and how far a map is from those of a style picture.

All that is used derives from the first two raw moments of a map. These are means over positions: those of windows of
a picture, of regions or of several pictures add up with their shares. (Central moments would not.)

Legend: h, w feature map; C channels; f its values at a position; E the mean over positions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from pixace.fields import require
from pixace.style.bures import bures_distance, cholesky_factor

STATISTICS = ("gram_hw", "gram_chw", "cosine", "moments", "wasserstein")

# Added to the diagonal of covariances. Few positions leave some without variance in many directions; float32 does not
# know these better than to about 1e-7 of the energy E[f f^T], so that with large maps a constant alone is lost.
FLOOR, RELATIVE_FLOOR = 1e-4, 3e-7
DEAD = 1e-12  # a channel whose E[f^2] is less says nothing
VARIANCE_FLOOR = 1e-5  # of deviations, as in instance norm


@partial(jax.tree_util.register_dataclass, data_fields=["first", "second"], meta_fields=[])
@dataclass(frozen=True)
class Moments:
    """The raw moments of a feature map, float32: first (C,) = E[f], second (C, C) = E[f f^T]."""

    first: jax.Array
    second: jax.Array


def moments(features: jax.Array, weight: jax.Array | None = None, total: float | jax.Array | None = None) -> Moments:
    """The moments of a map, added up in float32.

    Args:
        features: (h, w, C), float32 or bfloat16.
        weight: (h, w), how much each position counts (default: all 1).
        total: what the sums are divided by (default: the sum of the weights). With that of a whole picture, the
            moments of its windows add up to its own.
    """
    rows = features.reshape(-1, features.shape[-1])
    if weight is None:
        first, second, count = rows.sum(0, dtype=jnp.float32), _products(rows), jnp.float32(len(rows))
    else:  # in float32: weighted values in bfloat16 would be rounded
        rows, weight = rows.astype(jnp.float32), weight.reshape(-1, 1)
        weighted = jnp.sqrt(weight) * rows
        first, second, count = (weight * rows).sum(0), _products(weighted), weight.sum(dtype=jnp.float32)
    share = 1 / jnp.maximum(count if total is None else total, jnp.finfo(jnp.float32).tiny)
    return Moments(share * first, share * second)


@jax.custom_vjp
def _products(rows: jax.Array) -> jax.Array:
    """The sum of f f^T over rows (N, C), float32 (C, C)."""
    return jnp.matmul(rows.T, rows, precision="highest", preferred_element_type=jnp.float32)


def _slope_of_products(rows: jax.Array, slope: jax.Array) -> tuple[jax.Array]:
    """By hand it is one product; two come of taking each of the factors as a variable of its own."""
    return (jnp.matmul(rows, slope + slope.T, precision="highest").astype(rows.dtype),)


_products.defvjp(lambda rows: (_products(rows), rows), _slope_of_products)


def mix(styles: Sequence[Moments], weights: Sequence[float]) -> Moments:
    """The moments of several styles in one, with these weights: as if their maps were one, so shared out.

    Raises:
        ConfigError: there is not a weight for each style, or they do not add up to more than 0.
    """
    require(len(styles) == len(weights), f"{len(weights)} weights for {len(styles)} styles: one for each is needed")
    total = sum(weights)
    require(total > 0, f"the weights of the styles add up to {total:g}: more than 0 is needed")
    shares = [weight / total for weight in weights]
    return jax.tree.map(lambda *leaves: sum(share * leaf for share, leaf in zip(shares, leaves, strict=True)), *styles)


def make_target(statistic: str, style: Moments) -> Any:
    """What `style_distance` compares maps with: a pytree, made once for each style.

    Raises:
        ConfigError: the statistic is not known.
    """
    if statistic == "wasserstein":
        return style.first, cholesky_factor(covariance(style), _floor(style))
    return _summary(statistic, style)


def style_distance(statistic: str, found: Moments, target: Any) -> jax.Array:
    """How far a map is from a style: a float32 scalar, 0 where the statistics are equal.

    `gram_hw`, `gram_chw` and `cosine` take the mean of the squared differences of all C * C entries. `moments` takes
    that of the means and that of the deviations of channels, added (https://arxiv.org/abs/1703.06868). `wasserstein`
    is the squared distance of Gaussians with these means and covariances, divided by C.

    Args:
        statistic: one of `STATISTICS`.
        found: of the map.
        target: `make_target` of the same statistic.

    Raises:
        ConfigError: the statistic is not known.
    """
    if statistic == "wasserstein":
        mean, factor = target
        spread = bures_distance(covariance(found), _floor(found), factor)
        return jnp.square(found.first - mean).mean() + spread / len(mean)
    differences = jax.tree.map(jnp.subtract, _summary(statistic, found), target)
    return sum((jnp.square(leaf).mean() for leaf in jax.tree.leaves(differences)), start=jnp.float32(0))


def covariance(found: Moments) -> jax.Array:
    """E[f f^T] - E[f] E[f]^T, (C, C)."""
    return found.second - jnp.outer(found.first, found.first)


def _summary(statistic: str, found: Moments) -> Any:
    require(statistic in STATISTICS, f"statistic={statistic!r} is not known; choose one of {', '.join(STATISTICS)}")
    energy = jnp.diagonal(found.second)
    if statistic == "cosine":
        alive = energy > DEAD
        scale = jnp.where(alive, jax.lax.rsqrt(jnp.where(alive, energy, 1)), 0)
        return scale[:, None] * found.second * scale
    if statistic == "moments":
        variance = jnp.maximum(energy - jnp.square(found.first), 0)
        return found.first, jnp.sqrt(variance + VARIANCE_FLOOR)
    return found.second / (len(energy) if statistic == "gram_chw" else 1)


def _floor(found: Moments) -> jax.Array:
    return jnp.maximum(FLOOR, RELATIVE_FLOOR * jax.lax.stop_gradient(jnp.trace(found.second)))
