"""Effects on the colours of a picture: each is its formula, whatever its numbers, and gradients come through."""

from functools import cache

import jax
import numpy as np
import pytest
from skimage.filters import gaussian

from pixace.guide.chain import run
from pixace.guide.colour_effects import COLOUR_EFFECTS
from pixace.guide.domains import Step, working_sizes
from pixace.guide.effect_table import TRANSFORMS
from pixace.guide.geometry import MOVES
from pixace.guide.kinds import EFFECTS, POST_EFFECTS
from pixace.guide.noises import NOISES

H, W = 10, 14
PICTURE = np.random.default_rng(0).random((H, W, 3), np.float32)
KEY = jax.random.key(0)
MEMBERS = {
    "pad": {"size": [2, 1], "color": [0.1, 0.2, 0.3]},
    "repeat": {"value": [2, 1]},
    "resize": {"value": [9, 12]},
    "crop": {"value": [0.1, 1, 0.5, 6]},
    "center_crop": {"value": [6, 8]},
    "random_crop": {"value": [6, 8]},
    "rotate": {"degree": [20], "center": [0.4, 0.5]},
    "random_rotate": {"degree": [-20, 20], "center": [0, 1]},
    "random_scale": {"value": [0.5, 2]},
    "random_translate": {"value": [0.2, 0.1]},
    "random_perspective": {"value": [0.5]},
    "shift": {"value": [3, 0.5]},
    "random_shift": {"value": [-0.5, 0.5, 0, 3]},
    "flip": {"value": [1, 0]},
    "random_flip": {"value": [0.5, 0.5]},
    "add": {"value": [0.1, -0.2, 0]},
    "mul": {"value": [0.5, 2, -1]},
    "mean": {"value": [0.1, 0.5, 0.7]},
    "clamp": {"value": [0.2, 0.8]},
    "quantize": {"value": [0.1, 0.3, 0.5]},
    "saturation": {"value": [0.5]},
    "contrast": {"value": [0.5]},
    "blur": {"kernel_size": [5, 3]},
    "edge": {"kernel_size": [3, 5], "amount": [1, 2, 3]},
    "border": {"size": [1, 2], "color": [1, 0, 0]},
    "noise": {"value": [0.1, 0.2, 0]},
    "bwnoise": {"value": [0.1]},
    "rnoise": {"std": [0.1, 0.2, 0], "resolution": [4, 3]},
    "fnoise": {"value": [0.1, 0.2, 0]},
}


def floats(members: dict) -> dict[str, np.ndarray]:
    return {name: np.float32(member) for name, member in members.items()}


@cache
def compiled(kind: str):
    return jax.jit((COLOUR_EFFECTS | NOISES)[kind])


def effect(kind: str, picture=PICTURE, scale=(1.0, 1.0), **members) -> np.ndarray:
    return np.array(compiled(kind)(picture, floats(members), scale))


def kernel(size: int, sigma: float | None = None) -> np.ndarray:
    sigma = sigma or 0.3 * ((size - 1) * 0.5 - 1) + 0.8
    weights = np.exp(-0.5 * ((np.arange(size) - size // 2) / sigma) ** 2)
    return weights / weights.sum()


def blurred(picture: np.ndarray, across: np.ndarray, down: np.ndarray) -> np.ndarray:
    """By two convolutions, reflected at the edges."""
    across_by, down_by = len(across) // 2, len(down) // 2
    wide = np.pad(picture, ((down_by, down_by), (across_by, across_by), (0, 0)), "reflect")
    wide = sum(weight * wide[:, i : i + picture.shape[1]] for i, weight in enumerate(across))
    return sum(weight * wide[i : i + picture.shape[0]] for i, weight in enumerate(down))


@pytest.mark.parametrize(
    ("size", "sigma", "taps"),
    [
        ((3, 3), None, (3, 3)),
        ((5, 1), None, (5, 1)),
        ((4, 0), None, (5, 1)),
        ((7, 19), (2, 9), (7, 19)),
        ((3.9, 8), (0, 1), (3, 9)),
    ],
)
def test_blur_is_a_gaussian_that_reflects_at_the_edges(size, sigma, taps):
    """The kernel may reach over the whole picture: 19 taps for 10 rows."""
    across, down = (kernel(n, max(s, 1e-2) if sigma else None) for n, s in zip(taps, sigma or (0, 0), strict=True))
    members = {"kernel_size": size} | ({"sigma": sigma} if sigma else {})
    np.testing.assert_allclose(effect("blur", **members), blurred(PICTURE, across, down), atol=1e-5)


def test_blur_is_that_of_scikit_image():
    expected = gaussian(PICTURE, 1.2, truncate=3 / 1.2, mode="mirror", channel_axis=-1)
    np.testing.assert_allclose(effect("blur", kernel_size=[7, 7], sigma=[1.2, 1.2]), expected, atol=1e-5)


def test_a_kernel_larger_than_the_picture_is_as_large_as_it():
    large, whole = (effect("blur", kernel_size=size, sigma=[3, 3]) for size in ([999, 999], [27, 19]))
    np.testing.assert_allclose(large, whole, atol=1e-6)
    assert np.allclose(effect("blur", np.ones((1, 1, 3), np.float32)), 1)


def test_sizes_in_pixels_grow_with_the_array():
    """The same effect on a picture that is held twice as large does the same."""
    large = PICTURE.repeat(2, 0).repeat(2, 1)
    painted = effect("border", large, (2.0, 2.0), size=[1, 2], color=[1, 0, 0])
    assert np.array_equal(painted[::2, ::2], effect("border", size=[1, 2], color=[1, 0, 0]))
    once = effect("blur", kernel_size=[5, 5])
    scaled, unscaled = (
        np.abs(effect("blur", large, scale, kernel_size=[5, 5]).reshape(H, 2, W, 2, 3).mean((1, 3)) - once).mean()
        for scale in ((2.0, 2.0), (1.0, 1.0))
    )
    assert scaled < 0.01 < 3 * unscaled, (scaled, unscaled)


def test_simple_colour_effects_are_their_formulas():
    colour = np.float32([0.1, -0.2, 0.5])
    np.testing.assert_allclose(effect("add", value=colour), PICTURE + colour)
    np.testing.assert_allclose(effect("mul", value=colour), PICTURE * colour)
    np.testing.assert_allclose(effect("mean", value=colour).mean((0, 1)), colour, atol=1e-6)
    assert np.array_equal(effect("clamp", value=[0.2, 0.6]), np.clip(PICTURE, np.float32(0.2), np.float32(0.6)))
    gray = (PICTURE @ [0.2989, 0.587, 0.114])[..., None]
    for factor in (0, 0.4, 1, 3):
        expected = np.clip(factor * PICTURE + (1 - factor) * gray, 0, 1)
        np.testing.assert_allclose(effect("saturation", value=[factor]), expected, atol=1e-6)
        expected = np.clip(factor * PICTURE + (1 - factor) * gray.mean(), 0, 1)
        np.testing.assert_allclose(effect("contrast", value=[factor]), expected, atol=1e-6)


def test_quantizing_rounds_down_by_channel_and_nought_leaves_it():
    steps = np.float32([0.1, 0, 0.5])
    found = effect("quantize", value=steps)
    np.testing.assert_allclose(found[..., 0], np.floor(PICTURE[..., 0] / steps[0]) * steps[0], atol=1e-6)
    assert np.array_equal(found[..., 1], PICTURE[..., 1])
    np.testing.assert_allclose(found[..., 2], np.floor(PICTURE[..., 2] * 2) / 2, atol=1e-6)


def test_edges_are_what_blurring_takes_away():
    amount = np.float32([1, 3, 0])
    expected = np.clip(np.abs(PICTURE - blurred(PICTURE, kernel(3), kernel(5))) * amount, 0, 1)
    np.testing.assert_allclose(effect("edge", kernel_size=[3, 4], amount=amount), expected, atol=1e-5)


@pytest.mark.parametrize("size", [(1, 2), (0, 1), (0, 0), (99, 99)])
def test_a_border_is_painted_as_far_as_there_is_a_picture(size):
    painted, expected = effect("border", size=size, color=[1, 0.5, 0]), PICTURE.copy()
    across, down = min(size[0], W), min(size[1], H)
    expected[:down] = expected[H - down :] = expected[:, :across] = expected[:, W - across :] = [1, 0.5, 0]
    assert np.array_equal(painted, expected)


def noise(kind: str, size=(64, 80), **members) -> np.ndarray:
    return np.array(compiled(kind)(np.zeros((*size, 3), np.float32), floats(members), KEY))


def test_noise_has_the_std_of_each_channel():
    found = noise("noise", value=[0.1, 1, 0])
    np.testing.assert_allclose(found.std((0, 1)), [0.1, 1, 0], rtol=0.05)
    np.testing.assert_allclose(found.mean((0, 1)), [0, 0, 0], atol=0.05)
    assert abs(np.corrcoef(found[..., 0].ravel(), found[..., 1].ravel())[0, 1]) < 0.05
    gray = noise("bwnoise", value=[0.3])
    assert abs(gray.std() - 0.3) < 0.01 and np.array_equal(gray[..., 0], gray[..., 2])


def test_noise_of_another_resolution_is_enlarged_bilinearly():
    found = noise("rnoise", std=[1, 2, 0], resolution=[5, 4])
    few = found[8::16, 8::16]  # beside the middles of 4 x 5 patches of 16 x 16
    assert 0.5 < few[..., 0].std() < 1.6 and (found[..., 2] == 0).all()
    bends = np.abs(np.diff(found[..., 0], 2, axis=0)).max(1) > 1e-4
    assert bends.sum() == 8, "straight from the middle of a patch to the next"
    fine = noise("rnoise", std=[1, 1, 1], resolution=[999, 64])
    assert abs(fine.std() - 1) < 0.03 and abs((fine[1:] * fine[:-1]).mean()) < 0.05


@pytest.mark.parametrize("size", [(64, 80), (37, 41)])
def test_noise_of_frequencies_is_that_of_a_transform_of_all_pixels(size):
    n = size[0] * size[1]
    found = noise("fnoise", size, value=[0.1, 1, 0])
    np.testing.assert_allclose(found.std((0, 1)), 15 * np.sqrt(2 / n) * np.float32([0.1, 1, 0]), rtol=0.06)
    spectrum = np.fft.rfft(found[..., 1].ravel())[1:-1]
    np.testing.assert_allclose([spectrum.real.std(), spectrum.imag.std()], 15, rtol=0.06)


def in_chain(kind: str):
    """An effect of `MEMBERS` in a chain, after a crop so that views are smaller, to 5 x 7 pixels."""
    steps, values = (Step(kind),), [floats(MEMBERS[kind])]
    sizes = working_sizes(steps, values, (H, W))
    return lambda picture, values, key: run(picture, steps, values, key, (5, 7), sizes), values


@pytest.mark.parametrize("kind", EFFECTS)
def test_gradients_come_through_every_effect(kind):
    """They are finite, not zero, and those of the slope."""
    seen, values = in_chain(kind)
    towards = np.random.default_rng(1).random((5, 7, 3), np.float32)
    value_and_slope = jax.jit(jax.value_and_grad(lambda picture, key: (seen(picture, values, key) * towards).sum()))
    value, slope = value_and_slope(PICTURE, KEY)
    assert np.isfinite(slope).all() and np.abs(slope).max() > 1e-3
    if kind != "quantize":  # whose gradient goes straight through steps
        step = 1e-2 * np.random.default_rng(2).standard_normal(PICTURE.shape).astype(np.float32)
        if kind == "clamp":
            step[np.abs(PICTURE - 0.5) > 0.25] = 0
        after, before = (value_and_slope(PICTURE + sign * step, KEY)[0] for sign in (1, -1))
        np.testing.assert_allclose((after - before) / 2, (slope * step).sum(), atol=0.02)
    if EFFECTS[kind].random:
        assert value_and_slope(PICTURE, jax.random.key(1))[0] != value


def test_views_get_their_own_randomness_and_numbers():
    seen, _ = in_chain("random_scale")
    values = [{"value": np.float32([[1, 1], [2, 4], [2, 4]])}]
    views = jax.jit(jax.vmap(seen, (None, 0, 0)))(PICTURE, values, jax.random.split(KEY, 3))
    assert np.abs(views[0] - views[1]).max() > 0.05 and np.abs(views[1] - views[2]).max() > 0.05


def test_tables_agree():
    """Files may name what can be done, all of it."""
    named = {kind: (block.draws, block.resizes) for kind, block in TRANSFORMS.items()}
    assert named.items() <= {name: (kind.random, kind.resizes) for name, kind in EFFECTS.items()}.items()
    assert set(EFFECTS) == {*MOVES, *COLOUR_EFFECTS, *NOISES} == set(MEMBERS)
    assert len(POST_EFFECTS) == 23 and "shift" in POST_EFFECTS and "crop" not in POST_EFFECTS
