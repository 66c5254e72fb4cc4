"""Statistics of feature maps: golden numbers, additivity, the distance of Gaussians against eigenvalues in float64."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from pixace.errors import ConfigError
from pixace.style.bures import bures_distance, cholesky_factor, polar_factor
from pixace.style.options import STATISTICS as OFFERED
from pixace.style.statistics import (
    RELATIVE_FLOOR,
    STATISTICS,
    Moments,
    covariance,
    make_target,
    mix,
    moments,
    style_distance,
)


def maps(height: int, width: int, channels: int, seed: int = 0) -> np.ndarray:
    """Like those of a network: smooth noise through two layers of random convolutions with ReLU, float32 (h, w, C).

    Their covariances have eigenvalues over many orders of magnitude.
    """
    random = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(height + 4)[:, None], np.fft.fftfreq(width + 4)) + 0.5 / max(height, width)
    values = np.fft.ifft2(np.fft.fft2(random.standard_normal((3, height + 4, width + 4))) / frequency).real
    values = values.transpose(1, 2, 0)
    for depth in (channels // 2, channels):
        kernel = random.standard_normal((3, 3, values.shape[-1], depth)) * (2 / 9 / values.shape[-1]) ** 0.5
        windows = np.lib.stride_tricks.sliding_window_view(values, (3, 3), (0, 1))
        values = np.maximum(np.einsum("hwiyx,yxio->hwo", windows, kernel, optimize=True), 0)
    return values.astype(np.float32)


def gaussian(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance in float64, with what is added to its diagonal."""
    rows = features.reshape(-1, features.shape[-1]).astype(np.float64)
    mean, energy = rows.mean(0), np.square(rows).sum(1).mean()
    spread = (rows - mean).T @ (rows - mean) / len(rows)
    return mean, spread + max(1e-4, RELATIVE_FLOOR * energy) * np.eye(len(mean))


def root(matrix: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(values)) @ vectors.T


def by_eigenvalues(found: np.ndarray, style: np.ndarray) -> float:
    """The distance of Gaussians, divided by C, from its definition."""
    (mean, own), (wanted_mean, wanted) = gaussian(found), gaussian(style)
    half = root(wanted)
    cross = np.sqrt(np.maximum(np.linalg.eigvalsh(half @ own @ half), 0)).sum()
    return np.square(mean - wanted_mean).mean() + (np.trace(own) + np.trace(wanted) - 2 * cross) / len(mean)


@partial(jax.jit, static_argnums=0)
def distance(statistic: str, found: jax.Array, style: jax.Array) -> jax.Array:
    return style_distance(statistic, moments(found), make_target(statistic, moments(style)))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_moments_are_those_of_numpy_in_float32(dtype):
    features = jnp.asarray(maps(20, 30, 16), dtype)
    rows = np.asarray(features, np.float64).reshape(-1, 16)
    found = moments(features)
    assert found.first.dtype == found.second.dtype == jnp.float32
    np.testing.assert_allclose(found.first, rows.mean(0), rtol=1e-6)
    np.testing.assert_allclose(found.second, rows.T @ rows / len(rows), rtol=1e-5)
    np.testing.assert_allclose(covariance(found), np.cov(rows.T, bias=True), rtol=1e-4, atol=1e-5)
    weighted = moments(features, jnp.full((20, 30), 0.3))
    np.testing.assert_allclose(weighted.second, found.second, rtol=1e-5)


def test_moments_of_windows_add_up_to_those_of_the_whole():
    features, mask = jnp.asarray(maps(20, 30, 16)), jnp.asarray(np.random.default_rng(1).random((20, 30)), jnp.float32)
    for weight, total in ((None, 600.0), (mask, mask.sum())):
        whole = moments(features, weight)
        parts = [
            moments(features[:, part], None if weight is None else weight[:, part], total)
            for part in (slice(0, 12), slice(12, 30))
        ]
        for part, wanted in zip(jax.tree.leaves(jax.tree.map(jnp.add, *parts)), jax.tree.leaves(whole), strict=True):
            np.testing.assert_allclose(part, wanted, rtol=1e-5, atol=1e-6)


def test_a_mask_leaves_out_what_it_does_not_cover():
    features = jnp.asarray(maps(10, 10, 8))
    mask = jnp.zeros((10, 10)).at[:, 4:].set(1)
    for found, wanted in zip(
        jax.tree.leaves(moments(features, mask)), jax.tree.leaves(moments(features[:, 4:])), strict=True
    ):
        np.testing.assert_allclose(found, wanted, rtol=1e-5)
    empty = moments(features, jnp.zeros((10, 10)))
    assert not jnp.any(empty.first) and not jnp.any(empty.second)


def test_styles_mix_as_if_their_maps_were_one():
    first, second = jnp.asarray(maps(10, 12, 8)), jnp.asarray(maps(10, 4, 8, 1))
    mixed = mix([moments(first), moments(second)], [36, 12])
    whole = moments(jnp.concatenate([first, second], 1))
    np.testing.assert_allclose(mixed.first, whole.first, rtol=1e-5)
    np.testing.assert_allclose(mixed.second, whole.second, rtol=1e-5)
    with pytest.raises(ConfigError, match="1 weights for 2"):
        mix([moments(first), moments(second)], [1])
    with pytest.raises(ConfigError, match="add up to 0"):
        mix([moments(first)], [0])


def test_grams_of_ones():
    ones = moments(jnp.ones((5, 7, 4)))
    np.testing.assert_allclose(make_target("gram_chw", ones), np.full((4, 4), 1 / 4), rtol=1e-6)
    np.testing.assert_allclose(make_target("gram_hw", ones), np.ones((4, 4)), rtol=1e-6)


def test_division_by_channels_divides_the_loss_by_their_square():
    first, second = maps(12, 12, 16), maps(12, 12, 16, 1)
    np.testing.assert_allclose(
        distance("gram_chw", first, second) * 16**2, distance("gram_hw", first, second), rtol=1e-5
    )
    grams = [np.einsum("hwc,hwd->cd", f, f) / 144 for f in (first, second)]
    np.testing.assert_allclose(distance("gram_hw", first, second), np.square(grams[0] - grams[1]).mean(), rtol=1e-4)


def test_cosines_are_those_of_channels_whatever_their_energy():
    features = maps(12, 12, 16)
    rows = features.reshape(-1, 16).T
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    cosines = make_target("cosine", moments(jnp.asarray(features)))
    np.testing.assert_allclose(cosines, rows @ rows.T, atol=1e-5)
    np.testing.assert_allclose(jnp.diagonal(cosines), 1, rtol=1e-5)
    louder = features * np.arange(1, 17, dtype=np.float32)
    assert float(distance("cosine", louder, features)) < 1e-10


def test_means_and_deviations_of_channels():
    first, second = maps(12, 12, 16), maps(12, 12, 16, 1)
    means, deviations = ([getattr(f, name)((0, 1), np.float64) for f in (first, second)] for name in ("mean", "std"))
    wanted = np.square(means[0] - means[1]).mean() + np.square(deviations[0] - deviations[1]).mean()
    np.testing.assert_allclose(distance("moments", first, second), wanted, rtol=1e-3)


@pytest.mark.parametrize("statistic", STATISTICS)
def test_equal_statistics_are_at_distance_0_and_dead_channels_do_no_harm(statistic):
    features = maps(12, 12, 32)
    features[..., :5] = 0
    target = make_target(statistic, moments(jnp.asarray(features)))
    value = jax.jit(jax.value_and_grad(lambda f: style_distance(statistic, moments(f), target)))
    same, gradient = value(features)
    other, slope = value(maps(12, 12, 32, 1))
    assert float(same) < 1e-4 * float(other) and float(jnp.abs(gradient).max()) < 0.01 * float(jnp.abs(slope).max())
    for found in (jnp.zeros((12, 12, 32)), jnp.full((12, 12, 32), 1e-9), maps(12, 12, 32, 1)):
        flat, slope = value(found)
        assert bool(jnp.isfinite(flat)) and bool(jnp.isfinite(slope).all()) and float(flat) > 0


@pytest.mark.parametrize(
    ("channels", "size", "size_of_style"),
    [
        (64, (40, 40), (48, 48)),
        (128, (32, 32), (12, 20)),
        (256, (12, 12), (24, 24)),  # fewer positions than channels
        (512, (8, 6), (12, 10)),
        (128, (1, 2), (24, 24)),
    ],
)
def test_wasserstein_is_the_distance_by_eigenvalues(channels, size, size_of_style):
    found, style = maps(*size, channels), 1.5 * maps(*size_of_style, channels, 1)
    np.testing.assert_allclose(distance("wasserstein", found, style), by_eigenvalues(found, style), rtol=1e-3)
    assert float(distance("wasserstein", style, style)) < 2e-4 * by_eigenvalues(found, style)


@pytest.mark.parametrize("scale", [0.01, 100.0])
def test_wasserstein_is_right_for_small_and_large_features(scale):
    found, style = scale * maps(10, 10, 128), scale * maps(20, 20, 128, 1)
    np.testing.assert_allclose(distance("wasserstein", found, style), by_eigenvalues(found, style), rtol=1e-3)


def test_wasserstein_is_right_between_near_neighbours():
    found = maps(16, 16, 64)
    style = found * np.random.default_rng(2).normal(1, 0.2, found.shape).astype(np.float32)
    np.testing.assert_allclose(distance("wasserstein", found, style), by_eigenvalues(found, style), rtol=1e-2)


@pytest.mark.parametrize(("channels", "size"), [(32, (16, 16)), (128, (8, 8))])
def test_the_gradient_of_wasserstein_is_that_of_the_definition(channels, size):
    found, style = maps(*size, channels), maps(24, 24, channels, 1)
    gradient = np.asarray(jax.grad(distance, 1)("wasserstein", found, style), np.float64)
    for direction in (gradient, np.where(found > 0, maps(*size, channels, 3), 0)):
        direction = direction / np.linalg.norm(direction) * 1e-3 * np.linalg.norm(found)
        slope = (by_eigenvalues(found + direction, style) - by_eigenvalues(found - direction, style)) / 2
        steepest = np.linalg.norm(gradient) * np.linalg.norm(direction)
        np.testing.assert_allclose(np.vdot(gradient, direction), slope, atol=2e-3 * steepest)


def test_wasserstein_of_real_maps_is_the_distance_by_eigenvalues(shared):
    from pixace.canvas.colours import read_colours
    from pixace.style.vgg_weights import load_network

    layers = ("relu2_1", "relu3_4")
    network = load_network(shared / "weights" / "vgg19_conv1_1_to_conv3_4.npz", layers=layers)
    names = ("content/img_6.jpg", "style/mosaic.jpg")
    pictures = [jnp.asarray(read_colours(shared / "data" / "photos" / name, 64)) for name in names]
    seen = [network.features(picture[None], layers) for picture in pictures]
    for layer in layers:
        found, style = (np.asarray(maps[layer][0]) for maps in seen)
        np.testing.assert_allclose(distance("wasserstein", found, style), by_eigenvalues(found, style), rtol=1e-3)


def test_a_large_flat_map_is_no_trouble():
    """Its covariance is what rounding leaves, larger than what is added to the diagonal."""
    flat = jnp.full((256, 256, 64), 0.1) * jnp.arange(1, 65)
    lowest = float(jnp.linalg.eigvalsh(covariance(moments(flat))).min())
    assert lowest < -RELATIVE_FLOOR * float(jnp.square(flat[0, 0]).sum())
    target = make_target("wasserstein", moments(jnp.asarray(maps(24, 24, 64))))
    value, gradient = jax.jit(jax.value_and_grad(lambda f: style_distance("wasserstein", moments(f), target)))(flat)
    assert bool(jnp.isfinite(value)) and bool(jnp.isfinite(gradient).all())
    assert float(distance("wasserstein", flat, flat)) < 1e-6


@pytest.mark.parametrize("statistic", STATISTICS)
def test_regions_are_compared_side_by_side(statistic):
    """Maps and the targets of each, stacked and mapped over."""
    found, style = (jnp.stack([maps(12, 12, 16, seed) for seed in seeds]) for seeds in ((0, 1), (2, 3)))
    together = jax.vmap(partial(distance, statistic))(found, style)
    np.testing.assert_allclose(
        together, [distance(statistic, *pair) for pair in zip(found, style, strict=True)], rtol=1e-4
    )


@pytest.mark.parametrize("statistic", STATISTICS)
def test_descent_finds_a_map_with_the_statistics(statistic):
    style = moments(jnp.asarray(maps(16, 16, 8)))
    target, optimizer = make_target(statistic, style), optax.adam(0.05)

    def step(state, _):
        features, inner = state
        loss, gradient = jax.value_and_grad(lambda f: style_distance(statistic, moments(f), target))(features)
        updates, inner = optimizer.update(gradient, inner)
        return (optax.apply_updates(features, updates), inner), loss

    start = jax.random.normal(jax.random.key(0), (16, 16, 8))
    losses = jax.jit(lambda f: jax.lax.scan(step, (f, optimizer.init(f)), length=300)[1])(start)
    assert float(losses[-1]) < 0.01 * float(losses[0])


def test_polar_factors_are_those_of_singular_values():
    u, _, vt = np.linalg.svd(np.random.default_rng(0).standard_normal((48, 48)))
    matrix = (u * np.logspace(2, -2, 48)) @ vt
    np.testing.assert_allclose(polar_factor(jnp.asarray(matrix, jnp.float32)), u @ vt, atol=1e-2)
    well = (u * np.linspace(1, 9, 48)) @ vt
    np.testing.assert_allclose(polar_factor(jnp.asarray(well, jnp.float32)), u @ vt, atol=1e-5)
    assert not jnp.any(polar_factor(jnp.zeros((3, 3))))


def test_the_distance_of_covariances_has_the_gradient_for_both():
    own, other = (gaussian(maps(16, 16, 8, seed))[1] for seed in (0, 1))
    first, second = jnp.asarray(own, jnp.float32), jnp.asarray(other, jnp.float32)
    factor, floor = cholesky_factor(second, jnp.float32(0)), jnp.float32(0)
    value, gradients = jax.value_and_grad(bures_distance, (0, 2))(first, floor, factor)
    half = root(other)
    wanted = np.trace(own) + np.trace(other) - 2 * np.trace(root(half @ own @ half))
    np.testing.assert_allclose(value, wanted, rtol=1e-4)
    for place, step in ((0, 1e-3 * second), (2, 1e-3 * jnp.tril(first))):
        sides = [[first, floor, factor] for _ in range(2)]
        sides[0][place] += step
        sides[1][place] -= step
        slope = (bures_distance(*sides[0]) - bures_distance(*sides[1])) / 2
        np.testing.assert_allclose(jnp.vdot(gradients[place // 2], step), slope, rtol=1e-2)


def test_what_is_not_known_is_told():
    some = moments(jnp.ones((2, 2, 3)))
    assert isinstance(some, Moments) and set(OFFERED) == set(STATISTICS)
    for call in (lambda: make_target("median", some), lambda: style_distance("median", some, some.second)):
        with pytest.raises(ConfigError, match=r"median.*gram_hw, gram_chw, cosine, moments, wasserstein"):
            call()
