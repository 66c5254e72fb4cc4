"""Noise that is added to pictures, another for each key."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from pixace.guide.domains import whole

Values = Mapping[str, jax.Array]


def noise(picture: jax.Array, values: Values, key: jax.Array) -> jax.Array:
    """Normal noise added, independent in each pixel and channel; `value` (3,) is its std."""
    return picture + values["value"] * jax.random.normal(key, picture.shape)


def bwnoise(picture: jax.Array, values: Values, key: jax.Array) -> jax.Array:
    """Normal noise added, the same in all channels; `value` (1,) is its std."""
    return picture + values["value"] * jax.random.normal(key, (*picture.shape[:2], 1))


def rnoise(picture: jax.Array, values: Values, key: jax.Array) -> jax.Array:
    """Normal noise of another size, enlarged bilinearly, and added.

    Args:
        picture: (H, W, 3).
        values: `std` (3,) of the noise before it gets its size; `resolution` (2,), its width and height, of which no
            more than the picture's is used.
        key: what randomness comes of.
    """
    grain = jax.random.normal(key, picture.shape)
    for axis in range(2):
        n = picture.shape[axis]
        grains = jnp.clip(whole(values["resolution"][1 - axis], jnp), 1, n)
        at = jnp.clip((jnp.arange(n) + 0.5) * grains / n - 0.5, 0, grains - 1)
        first = jnp.floor(at)
        second = jnp.minimum(first + 1, grains - 1)
        share = jnp.expand_dims(at - first, (1 - axis, 2))
        before, after = (jnp.take(grain, i.astype(int), axis) for i in (first, second))
        grain = before + share * (after - before)
    return picture + values["std"] * grain


def fnoise(picture: jax.Array, values: Values, key: jax.Array) -> jax.Array:
    """Noise added to the spectrum of each channel, its pixels row by row in one line.

    The real and the imaginary part of each of the N // 2 + 1 frequencies of N pixels get normal noise of 15 times
    `value` (3,). The transform is linear, so that noise alone needs to come back from there: as normal noise in
    pixels with a std of about 15 sqrt(2 / N) times `value`.
    """
    n = picture.shape[0] * picture.shape[1]
    parts = jax.random.normal(key, (2, n // 2 + 1, picture.shape[2]))
    spectrum = 15 * values["value"] * jax.lax.complex(parts[0], parts[1])
    return picture + jnp.fft.irfft(spectrum, n, axis=0).reshape(picture.shape)


NOISES = {"noise": noise, "bwnoise": bwnoise, "rnoise": rnoise, "fnoise": fnoise}
