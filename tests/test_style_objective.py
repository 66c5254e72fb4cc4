"""The loss of a stylised picture: windows change nothing, masks and mixtures, and the published formula."""

import math
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_vgg import narrow

from pixace.errors import ConfigError
from pixace.style.layers import LAYER_SETS
from pixace.style.losses import perceptual_loss
from pixace.style.objective import Objective, Terms, _add_gradient, _sums_of, _with_content, measure
from pixace.style.options import STATISTICS
from pixace.style.transfer import TILE
from pixace.style.vgg import Network, NetworkConfig, features
from pixace.style.vgg_weights import random_weights
from pixace.style.windows import make_windows

CONFIG = NetworkConfig(padding="replicate")
NETWORK = Network(narrow("vgg19"), CONFIG)
TERMS = Terms(
    network=CONFIG,
    content=(("relu2_2", 0.7), ("relu2_1", 0.3)),
    style=(("relu1_1", 1.0), ("conv2_1", 2.0)),
    content_weight=0.3,
    style_weight=2.0,
    tv_weight=0.1,
    content_distance="mse",
    statistic="gram_hw",
    tv="nine",
)


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    coarse = random.random((height // 8 + 1, width // 8 + 1, 3))
    return np.float32(
        0.6 * np.kron(coarse, np.ones((8, 8, 1)))[:height, :width] + 0.4 * random.random((height, width, 3))
    )


def objective(terms, size, tile, masks=None, styles=2):
    measured = [measure(terms, NETWORK, jnp.asarray(picture(48, 64, 5 + i)), 1024) for i in range(styles)]
    return Objective(terms, NETWORK, size, tile, jnp.asarray(picture(*size, 1)), measured, [1.0, 3.0][:styles], masks)


@pytest.mark.parametrize(("statistic", "masked"), [*((each, False) for each in STATISTICS), ("wasserstein", True)])
def test_windows_change_neither_loss_nor_gradient(statistic, masked):
    terms = replace(TERMS, statistic=statistic, content_distance="normalised" if masked else "mse")
    size = (112, 176)
    masks = [np.float32(np.indices(size)[i] / size[i]) for i in (0, 1)] if masked else None
    whole, cut = (objective(terms, size, tile, masks) for tile in (1024, 96))
    assert len(whole.windows) == 1 and len(cut.windows) > 3
    seen = jnp.asarray(picture(*size, 9))
    for expected, found in zip(whole(seen), cut(seen), strict=True):
        np.testing.assert_allclose(found, expected, atol=3e-4 * float(jnp.abs(expected).max()))


def test_a_style_is_measured_the_same_in_windows():
    style = jnp.asarray(picture(112, 176, 3))
    whole, cut = (measure(TERMS, NETWORK, style, tile) for tile in (1024, 96))
    for layer in TERMS.style_layers:
        np.testing.assert_allclose(cut[layer].second, whole[layer].second, rtol=1e-4, atol=1e-5)


def test_the_loss_is_that_of_the_published_formula():
    terms = replace(TERMS, statistic="gram_chw", tv="squared", content=(("relu2_2", 1.0),))
    terms = replace(terms, style=(("relu1_1", 1.0), ("relu2_1", 1.0)))
    seen, content, style = picture(40, 56), picture(40, 56, 1), picture(48, 64, 2)

    def maps(rgb, layers):
        return features(NETWORK.weights, jnp.asarray(rgb)[None], layers, CONFIG)

    expected = perceptual_loss(
        maps(seen, ("relu2_2",)),
        maps(seen, ("relu1_1", "relu2_1")),
        maps(content, ("relu2_2",)),
        maps(style, ("relu1_1", "relu2_1")),
        jnp.asarray(seen)[None],
        content_weight=terms.content_weight,
        style_weight=terms.style_weight,
        tv_weight=terms.tv_weight,
    )
    measured = measure(terms, NETWORK, jnp.asarray(style), 1024)
    found, _ = Objective(terms, NETWORK, (40, 56), 1024, jnp.asarray(content), [measured], [1.0])(jnp.asarray(seen))
    names = ("perceptual", "content", "style", "tv")
    np.testing.assert_allclose(found, [expected[name] for name in names], rtol=1e-5)


def test_the_gradient_is_that_of_the_loss():
    found = objective(replace(TERMS, statistic="wasserstein"), (40, 56), 1024)
    seen = picture(40, 56)
    _, gradient = found(jnp.asarray(seen))
    # Along the gradient, each value with a share of its own: elsewhere the change would be lost in rounding.
    direction = np.asarray(gradient) * np.random.default_rng(3).random((40, 56, 3))
    step = 1e-2 * direction / np.abs(direction).max()
    up, down = (float(found(jnp.asarray(np.float32(seen + sign * step)))[0][0]) for sign in (1, -1))
    assert (up - down) / 2 == pytest.approx(float((np.asarray(gradient) * step).sum()), rel=0.02)


def test_a_masked_style_says_nothing_of_the_rest():
    mask = np.zeros((48, 96), np.float32)
    mask[:, :32] = 1
    terms = replace(TERMS, content=(), tv_weight=0.0)
    _, gradient = objective(terms, (48, 96), 1024, [mask], styles=1)(jnp.asarray(picture(48, 96)))
    assert float(jnp.abs(gradient[:, :32]).max()) > 0
    assert float(jnp.abs(gradient[:, 64:]).max()) == 0


def test_a_style_of_its_own_has_no_distance():
    style = picture(48, 64, 5)
    for statistic in STATISTICS:
        terms = replace(TERMS, statistic=statistic, content=(), tv_weight=0.0)
        figures, gradient = objective(terms, (48, 64), 1024, styles=1)(jnp.asarray(style))
        assert float(figures[0]) < 1e-5 and bool(jnp.isfinite(gradient).all()), statistic


def test_a_black_mask_is_refused():
    with pytest.raises(ConfigError, match="a mask is black everywhere"):
        objective(TERMS, (48, 64), 1024, [np.zeros((48, 64), np.float32)], styles=1)


def test_a_picture_of_4k_fits_into_10_gb():
    """The compiled gradient of a window, with what is kept of all of them, of the default layers in float32."""
    size, tile, config = (2160, 3840), TILE, NetworkConfig(padding="replicate")
    layers = LAYER_SETS["default"]
    terms = replace(TERMS, network=config, content=layers.content, style=layers.style, statistic="wasserstein")
    weights = jax.eval_shape(lambda: random_weights(until="relu5_1"))
    windows = make_windows("vgg19", terms.content_layers, terms.style_layers, size, tile, None)
    picture = jax.ShapeDtypeStruct((*size, 3), jnp.float32)
    window = jax.eval_shape(lambda weights, seen: _with_content(terms, weights, windows[0], seen), weights, picture)
    sums = jax.eval_shape(lambda *given: _sums_of(terms, *given), weights, window, picture)
    memory = _add_gradient.lower(terms, weights, window, picture, sums, picture).compile().memory_analysis()
    kept = len(windows) * sum(4 * math.prod(leaf.shape) for leaf in jax.tree.leaves(window))
    of_adam = 8 * 4 * math.prod(picture.shape)  # canvas, moments, average, gradients, and copies in between
    assert memory.temp_size_in_bytes + memory.argument_size_in_bytes + kept + of_adam < 6e9
