"""What networks for fast style transfer are trained on, and the step that trains them."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fast_style import smooth, stripes, tiny_vgg

from pixace.style.fast.config import FastTraining, TransformConfig
from pixace.style.fast.network import transform
from pixace.style.fast.step import METRICS, evaluate, init_state, style_targets, train_step
from pixace.style.losses import perceptual_loss
from pixace.style.objective import Terms
from pixace.style.vgg import NetworkConfig, features

LAYERS = (("relu1_1", 1.0), ("relu1_2", 1.0))


@pytest.fixture(scope="module")
def vgg():
    return tiny_vgg()


def make_terms(style_weight=1e5, tv_weight=1e-6, statistic="gram_chw", preprocessing="torchvision") -> Terms:
    network = NetworkConfig(preprocessing=preprocessing)
    return Terms(network, LAYERS[1:], LAYERS, 1.0, style_weight, tv_weight, "mse", statistic, "squared")


def stacked(terms: Terms, vgg, *pictures: np.ndarray):
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *[style_targets(terms, vgg, p) for p in pictures])


@pytest.mark.parametrize(
    ("norm", "upsample", "ema"),
    [
        ("instance", "interpolate", True),
        ("instance", "transpose", False),
        ("batch", "interpolate", True),
        ("none", "transpose", True),
    ],
)
def test_loss_falls_with_every_norm_and_upsampling(vgg, norm, upsample, ema):
    network = TransformConfig(width=4, n_residual=1, norm_type=norm, upsample_type=upsample)
    training, terms = FastTraining(batch_size=2, lr=1e-3 if norm == "none" else 5e-3, ema=ema), make_terms()
    targets, state, losses = stacked(terms, vgg, stripes(False)), init_state(network, training), []
    pictures = smooth(8, seed=1)
    for step in range(50):
        batch = pictures[step % 4 * 2 : step % 4 * 2 + 2]
        state, figures = train_step(network, training, terms, vgg, targets, state, batch)
        assert np.isfinite(figures).all()
        losses.append(float(figures[METRICS.index("loss")]))
        if step == 0 and ema:  # the initial weights are not in the average
            assert all(np.array_equal(state.average[name], weight) for name, weight in state.weights.items())
    assert int(state.step) == 50 and (state.average is not None) == ema
    assert np.mean(losses[-4:]) < 0.3 * np.mean(losses[:4]), (losses[:4], losses[-4:])
    assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(state))


def test_loss_is_the_perceptual_loss(vgg):
    terms = make_terms(style_weight=300.0, tv_weight=0.5)
    pictures, drawn = (jnp.asarray(smooth(2, seed), jnp.float32) / 255 for seed in (1, 2))
    styles = jnp.stack([stripes(False), stripes(True)])
    look = partial(features, vgg, config=terms.network)
    wanted = perceptual_loss(
        look(drawn, ("relu1_2",)),
        look(drawn, ("relu1_1", "relu1_2")),
        look(pictures, ("relu1_2",)),
        look(styles, ("relu1_1", "relu1_2")),
        drawn,
        style_weight=300.0,
        tv_weight=0.5,
    )
    found = evaluate(terms, vgg, stacked(terms, vgg, *styles), pictures, drawn)
    np.testing.assert_allclose(found, [wanted[n] for n in ("perceptual", "content", "style", "tv")], rtol=1e-4)


def test_weights_of_the_terms_serve_both_kinds_of_networks(vgg):
    """The same network in Caffe's colours sees maps that are larger; content and style stay as they are."""
    vgg = {name: {"kernel": layer["kernel"], "bias": 0 * layer["bias"]} for name, layer in vgg.items()}
    caffe = {**vgg, "conv1_1": {**vgg["conv1_1"], "kernel": vgg["conv1_1"]["kernel"][:, :, ::-1]}}
    pictures, drawn = (jnp.asarray(smooth(1, seed), jnp.float32) / 255 for seed in (1, 2))
    of_caffe, of_torch = make_terms(preprocessing="caffe"), make_terms()
    found = evaluate(of_caffe, caffe, stacked(of_caffe, caffe, stripes(False)), pictures, drawn)
    wanted = evaluate(of_torch, vgg, stacked(of_torch, vgg, stripes(False)), pictures, drawn)
    np.testing.assert_allclose(found, wanted, rtol=0.1)  # but for the channels' own deviations


def test_each_picture_is_held_against_its_own_style(vgg):
    """Styles take turns, over the ends of batches too."""
    terms, training = make_terms(), FastTraining(batch_size=3)
    network = TransformConfig(width=4, n_residual=0, n_styles=2)
    targets, pictures = stacked(terms, vgg, stripes(False), stripes(True)), smooth(3, 0)
    state = init_state(network, training)
    for styles in ([0, 1, 0], [1, 0, 1]):
        shown, mixture = pictures / jnp.float32(255), jax.nn.one_hot(jnp.array(styles), 2)
        drawn = transform(state.weights, network, shown, mixture)
        own = jax.tree.map(lambda leaf, styles=styles: leaf[jnp.array(styles)], targets)
        wanted = evaluate(terms, vgg, own, shown, drawn)
        state, figures = train_step(network, training, terms, vgg, targets, state, pictures)
        np.testing.assert_allclose(figures[:4], wanted, rtol=1e-4)
