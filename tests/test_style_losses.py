"""Distances of maps, roughness, angles, and the loss of fast networks: golden numbers and additivity."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pixace.errors import ConfigError
from pixace.style.losses import (
    CONTENT_DISTANCES,
    content_distance,
    mean_square,
    perceptual_loss,
    spherical_distance,
    total_variation,
)


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(shape, np.float32)


def test_distances_of_content_are_those_of_numpy():
    found, target = noise(6, 7, 5), noise(6, 7, 5, seed=1)
    mse = np.square(found - target).mean()
    np.testing.assert_allclose(content_distance("mse", found, target), mse, rtol=1e-6)
    np.testing.assert_allclose(content_distance("l1", found, target), np.abs(found - target).mean(), rtol=1e-6)
    for scale in (1, 100):
        same = content_distance("normalised", scale * found, scale * target)
        np.testing.assert_allclose(same, mse / np.square(target).mean(), rtol=1e-5)
    batch = content_distance("mse", np.stack([found, target]), np.stack([target, target]))
    np.testing.assert_allclose(batch, mse / 2, rtol=1e-6)
    half = content_distance("mse", jnp.asarray(found, jnp.bfloat16), jnp.asarray(target))
    assert half.dtype == jnp.float32 and abs(half - mse) < 0.01 * mse


@pytest.mark.parametrize("kind", CONTENT_DISTANCES)
@pytest.mark.parametrize("weighted", [False, True])
def test_distances_of_windows_add_up(kind, weighted):
    found, target = noise(8, 10, 5), noise(8, 10, 5, seed=1)
    weight = jnp.asarray(noise(8, 10, seed=2)) if weighted else None
    total = 80.0 if weight is None else weight.sum()
    parts = [(part, None if weight is None else weight[part]) for part in (slice(0, 3), slice(3, 8))]
    scale = sum(mean_square(target[part], share, total) for part, share in parts)
    np.testing.assert_allclose(scale, mean_square(target, weight), rtol=1e-5)
    added = sum(content_distance(kind, found[part], target[part], share, total, scale) for part, share in parts)
    np.testing.assert_allclose(added, content_distance(kind, found, target, weight), rtol=1e-5)


def test_normalised_distances_from_nothing_are_finite():
    value, gradient = jax.value_and_grad(lambda f: content_distance("normalised", f, jnp.zeros((2, 2, 3))))(
        jnp.ones((2, 2, 3))
    )
    assert bool(jnp.isfinite(value)) and bool(jnp.isfinite(gradient).all())


def test_total_variation_of_a_ramp():
    ramp = jnp.array([[0.0, 1, 2], [0, 1, 2]])[..., None]
    for kind in ("squared", "absolute"):
        np.testing.assert_allclose(total_variation(ramp, kind), 4 / 6, rtol=1e-6)
        np.testing.assert_allclose(total_variation(jnp.stack([ramp, 0 * ramp]), kind), 2 / 6, rtol=1e-6)
    np.testing.assert_allclose(total_variation(2 * ramp, "squared"), 16 / 6, rtol=1e-6)
    np.testing.assert_allclose(total_variation(2 * ramp, "absolute"), 8 / 6, rtol=1e-6)


def test_nine_points_count_axes_and_diagonals():
    """By hand, of single pixels in 5 x 5: how many differences of 1 there are along each axis and diagonal."""
    inside, corner = np.zeros((5, 5, 1), np.float32), np.zeros((5, 5, 1), np.float32)
    inside[2, 2] = corner[0, 0] = 1
    np.testing.assert_allclose(total_variation(inside, "nine"), 2 * ((2 + 2) / 25 / 3 + (2 + 2) / 36 / 12), rtol=1e-5)
    # Repeated beyond the edges, the corner is a square of four.
    np.testing.assert_allclose(total_variation(corner, "nine"), 2 * ((1 + 1) / 25 / 3 + (3 + 2) / 36 / 12), rtol=1e-5)
    assert float(total_variation(np.ones((4, 6, 3), np.float32), "nine")) == 0


@pytest.mark.parametrize("kind", ["squared", "absolute", "nine"])
def test_total_variation_does_not_know_directions(kind):
    picture = noise(9, 6, 3)
    value = total_variation(picture, kind)
    for turned in (np.rot90(picture), picture[::-1], picture[:, ::-1]):
        np.testing.assert_allclose(total_variation(turned, kind), value, rtol=1e-5)
    one = total_variation(picture[:1, :1], kind)  # has no neighbours
    assert float(one) == 0 and bool(jnp.isfinite(jax.grad(lambda p: total_variation(p, kind))(picture)).all())


@pytest.mark.parametrize(("degrees", "golden"), [(0, 0.0), (90, 1.2337), (180, 4.9348)])
def test_angles_between_embeddings(degrees, golden):
    angle = np.radians(degrees)
    first, second = jnp.array([3.0, 0, 0]), 0.2 * jnp.array([np.cos(angle), np.sin(angle), 0], jnp.float32)
    value, gradient = jax.value_and_grad(spherical_distance)(first, second)
    np.testing.assert_allclose(value, golden, atol=1e-4)
    assert bool(jnp.isfinite(gradient).all())


def test_angles_have_finite_gradients_at_the_ends_and_are_exact_beside_them():
    a = jnp.asarray(noise(4, 512) - 0.5)
    slope = jax.jit(jax.value_and_grad(lambda a, b: spherical_distance(a, b).sum()))
    for b in (a, 7 * a, -a, 0 * a):
        assert bool(jnp.isfinite(slope(a, b)[1]).all())
    for angle in (1e-3, 0.5, np.pi - 1e-2):
        b = jnp.array([np.cos(angle), np.sin(angle)], jnp.float32)
        value, gradient = slope(b, jnp.array([1.0, 0]))
        np.testing.assert_allclose(value, angle**2 / 2, rtol=1e-3)
        np.testing.assert_allclose(gradient, angle * np.array([-np.sin(angle), np.cos(angle)]), rtol=1e-2, atol=1e-5)
    both = spherical_distance(jnp.asarray(noise(3, 1, 8)), jnp.asarray(noise(5, 8)))
    assert both.shape == (3, 5)


def test_the_perceptual_loss_adds_its_terms():
    found, wanted = {"relu1_2": noise(2, 6, 6, 4)}, {"relu1_2": noise(2, 6, 6, 4, seed=1)}
    style = {"relu1_2": noise(2, 6, 6, 4, seed=2), "relu2_2": noise(2, 3, 3, 8, seed=3)}
    targets = {"relu1_2": noise(1, 9, 5, 4, seed=4), "relu2_2": noise(1, 4, 2, 8, seed=5)}
    picture = noise(2, 6, 6, 3, seed=6)
    losses = perceptual_loss(found, style, wanted, targets, picture, 2.0, 3.0, 5.0)
    assert losses.keys() == {"perceptual", "content", "style", "tv"}
    np.testing.assert_allclose(losses["content"], np.square(found["relu1_2"] - wanted["relu1_2"]).mean(), rtol=1e-5)
    by_hand = 0.0
    for layer, maps in style.items():
        grams = [np.einsum("bhwc,bhwd->bcd", f, f) / np.prod(f.shape[1:]) for f in (maps, targets[layer])]
        by_hand += np.square(grams[0] - grams[1]).mean()
    np.testing.assert_allclose(losses["style"], by_hand, rtol=1e-4)
    np.testing.assert_allclose(losses["tv"], total_variation(picture, "squared"), rtol=1e-6)
    whole = 2 * losses["content"] + 3 * losses["style"] + 5 * losses["tv"]
    np.testing.assert_allclose(losses["perceptual"], whole, rtol=1e-6)
    absolute = perceptual_loss(found, style, wanted, targets, picture, anisotropic=True)
    np.testing.assert_allclose(absolute["tv"], total_variation(picture, "absolute"), rtol=1e-6)
    without = perceptual_loss(found, style, wanted, targets)
    np.testing.assert_allclose(without["perceptual"], losses["content"] + 1e5 * losses["style"], rtol=1e-5)
    assert float(without["tv"]) == 0
    with pytest.raises(ConfigError, match=r"layers of the style.*relu1_2, relu2_2 and relu1_2"):
        perceptual_loss(found, style, wanted, wanted)


def test_what_is_not_known_is_told():
    with pytest.raises(ConfigError, match=r"content_distance='huber'.*mse, l1, normalised"):
        content_distance("huber", jnp.ones((1, 1, 1)), jnp.ones((1, 1, 1)))
    with pytest.raises(ConfigError, match=r"tv='cubic'.*squared, absolute, nine"):
        total_variation(jnp.ones((1, 1, 3)), "cubic")
