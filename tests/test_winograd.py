"""Winograd's convolutions: the same results and slopes as the plain ones, at any size."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pixace.style import winograd


def _random(*shape):
    return jnp.asarray(np.random.default_rng(sum(shape)).standard_normal(shape, np.float32))


@pytest.mark.subset
@pytest.mark.parametrize("size", [(48, 48), (41, 70)])
def test_tiles_give_the_plain_convolution_and_its_slopes(size):
    values, kernel = _random(2, *size, 64), _random(3, 3, 64, 96) / 24
    slope = _random(2, *size, 96)

    @jax.jit
    def both(values, kernel, slope):
        found, back = jax.vjp(winograd.convolve, values, kernel)
        wanted, plain_back = jax.vjp(winograd.plain, values, kernel)
        return (found, *back(slope)), (wanted, *plain_back(slope))

    assert winograd._pays(values, kernel)
    for found, wanted in zip(*both(values, kernel, slope), strict=True):
        assert float(jnp.abs(found - wanted).max()) < 5e-5 * float(jnp.abs(wanted).max())


def lowered(values, kernel, platform="cpu"):
    """The program of the slope by the values; that of the kernel is not asked for."""
    slope = jax.jit(jax.grad(lambda values, kernel: jnp.square(winograd.convolve(values, kernel)).sum()))
    return slope.trace(values, kernel).lower(lowering_platforms=(platform,)).as_text()


def test_tiles_are_used_where_they_pay_and_there_alone():
    assert "convolution" not in lowered(_random(1, 64, 64, 64), _random(3, 3, 64, 64))
    assert "convolution" in lowered(_random(1, 64, 64, 3), _random(3, 3, 3, 64))  # too few channels
    assert "convolution" in lowered(_random(1, 32, 32, 64), _random(3, 3, 64, 64))  # too few tiles


def test_gpus_keep_their_own_convolutions():
    assert "convolution" in lowered(_random(1, 64, 64, 64), _random(3, 3, 64, 64), "cuda")
