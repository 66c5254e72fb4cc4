"""From logits to token ids: temperature, top-k, top-p and min-p, each traced and each with a value a row.

Thresholds are found by bisection over the bit patterns of the probabilities (floats of one sign order as
their bits do), exactly and without sorting the vocabulary.

Legend: B rows, V vocabulary.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pixace.config import N_RESERVED
from pixace.models.spec import pytree

COLDEST = 1e-6  # below it drawing is greedy: the quotient would overflow
_HIGHEST = 0x3F800001  # one above the bits of 1.0


@pytree
class Settings:
    """What to draw with, an array (B,) each: temperature (0 is greedy), top_k (V or more: off), top_p and
    min_p (1 and 0: off), and `index`, the number of the picture whose noise the row uses."""

    temperature: Any
    top_k: Any
    top_p: Any
    min_p: Any
    index: Any


def choose(logits: jax.Array, settings: Settings, noise: jax.Array) -> jax.Array:
    """Draw a token a row: int32 (B,), never a reserved id.

    Args:
        logits: (B, V) float32.
        noise: (B, V) standard Gumbel noise; the largest of log-probability + noise is a fair draw.
    """
    logits = jnp.where(jnp.arange(logits.shape[-1]) < N_RESERVED, -jnp.inf, logits)
    greedy = settings.temperature < COLDEST
    scaled = logits / jnp.where(greedy, 1.0, settings.temperature)[:, None]
    wanted = (settings.top_k < logits.shape[-1]) | (settings.top_p < 1) | (settings.min_p > 0)
    kept = jax.lax.cond(jnp.any(wanted & ~greedy), _keep, lambda logits, _: logits, scaled, settings)
    return jnp.argmax(jnp.where(greedy[:, None], logits, kept + noise), axis=-1).astype(jnp.int32)


def _keep(logits: jax.Array, settings: Settings) -> jax.Array:
    """Logits outside the filters become -inf: top-k first, top-p over what that left, then min-p."""
    p = jax.nn.softmax(logits, axis=-1)
    k = jnp.clip(settings.top_k, 1, logits.shape[-1])
    p = jnp.where(p >= _largest(p, lambda part: part.sum(-1) >= k, weights=jnp.ones_like(p)), p, 0.0)
    mass = jnp.minimum(settings.top_p, 1.0) * p.sum(axis=-1)
    nucleus = _largest(p, lambda part: part.sum(-1) >= mass, weights=p)
    p = jnp.where((settings.top_p >= 1)[:, None] | (p >= nucleus), p, 0.0)
    p = jnp.where(p >= settings.min_p[:, None] * p.max(axis=-1, keepdims=True), p, 0.0)
    return jnp.where(p > 0, logits, -jnp.inf)


def _largest(p: jax.Array, enough: Any, weights: jax.Array) -> jax.Array:
    """The largest threshold (B, 1) such that the `weights` of all entries p >= threshold are `enough`."""

    def halve(_: int, bounds: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        low, high = bounds
        middle = (low + high) // 2
        threshold = jax.lax.bitcast_convert_type(middle, jnp.float32)[:, None]
        good = enough(jnp.where(p >= threshold, weights, 0.0))
        return jnp.where(good, middle, low), jnp.where(good, high, middle)

    low = jnp.zeros(p.shape[0], jnp.int32)
    low, _ = jax.lax.fori_loop(0, 31, halve, (low, jnp.full_like(low, _HIGHEST)))
    return jax.lax.bitcast_convert_type(low, jnp.float32)[:, None]


def gumbel_noise(seed: jax.Array, index: jax.Array, position: jax.Array, vocab_size: int) -> jax.Array:
    """Noise (B, V) addressed by seed, picture and position, and by nothing else."""

    def row(i: jax.Array) -> jax.Array:
        return jax.random.gumbel(jax.random.fold_in(jax.random.fold_in(seed, i), position), (vocab_size,))

    return jax.vmap(row)(index)


def make_settings(
    count: int,
    temperature: float | Sequence[float] = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    min_p: float | None = None,
    index: Sequence[int] | None = None,
) -> Settings:
    """Settings for `count` rows; a single value serves all rows, `index` defaults to 0, 1, ..."""
    return Settings(
        temperature=np.full(count, temperature, np.float32),
        top_k=np.full(count, 2**31 - 1 if top_k is None else top_k, np.int32),
        top_p=np.full(count, 1.0 if top_p is None else top_p, np.float32),
        min_p=np.full(count, 0.0 if min_p is None else min_p, np.float32),
        index=np.arange(count, dtype=np.int32) if index is None else np.asarray(index, np.int32),
    )
