"""What of a picture a layer, or the score of a class, hangs on: the size of the gradient, laid over the picture.

Simonyan, Vedaldi and Zisserman (2013); averaged over noisy copies as SmoothGrad does it (Smilkov and others 2017).
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image, ImageFilter

from pixace.opening import PictureSource
from pixace.progress import Bar
from pixace.style.layers import parse_layer
from pixace.style.material import Material
from pixace.style.options import make_options
from pixace.style.transfer import network_of
from pixace.style.vgg import Network, classify, features

COPIES, NOISE = 16, 0.1  # noisy copies, and the deviation of their noise; colours are in [0, 1]
BLUR = 0.01  # of the longer edge
OPACITY = 0.55  # of the colours laid over the picture
BRIGHTEST = 99  # percentile that is red


def saliency_overlay(
    content: PictureSource, target: str, *, loaded: Network | None = None, **given: Any
) -> Image.Image:
    """The picture, and beside it the same with a map laid over it: blue where little hangs on it, red where much.

    Args:
        content: a path, address, PIL image or array.
        target: a layer such as relu3_4, whose size is asked about, or the number of a class of ImageNet, whose
            likelihood is.
        loaded: a network that is loaded already.
        given: fields of `StyleOptions`: network, size, fit, pooling, padding, preprocessing, seed.

    Raises:
        ConfigError: there is no such layer or class.
        PixaceError: the picture or the network cannot be read.
    """
    options = make_options(given)
    is_class = target.isdecimal()
    layer = "" if is_class else parse_layer(target, options.architecture)
    material = Material(content, [], [], [], options, tile=2**20)
    network = loaded or network_of(options, [] if is_class else [layer], classifier=is_class)
    picture = material.scene(material.size).content
    assert picture is not None
    slope = jax.jit(partial(_slope, network, layer, int(target) if is_class else None))
    total, random = np.zeros(material.size, np.float32), np.random.default_rng(options.seed)
    with Bar("looking") as bar:
        for i in range(COPIES):
            noisy = picture + NOISE * random.standard_normal(picture.shape, np.float32)
            total += np.asarray(slope(jnp.asarray(noisy)))
            bar(i + 1, COPIES)
    return _beside(picture, total)


def _slope(network: Network, layer: str, label: int | None, picture: jax.Array) -> jax.Array:
    """How much each pixel matters: the largest of the three colours' gradients, (H, W)."""

    def interest(picture: jax.Array) -> jax.Array:
        if label is not None:
            scores = classify(network.weights, picture[None], network.config)
            return jax.nn.log_softmax(scores)[0, label]
        return jnp.linalg.norm(features(network.weights, picture[None], (layer,), network.config)[layer])

    return jnp.abs(jax.grad(interest)(picture)).max(axis=-1)


def _beside(picture: np.ndarray, weight: np.ndarray) -> Image.Image:
    """The picture (H, W, 3) and, to its right, the same under the colours of a map (H, W)."""
    plain = Image.fromarray(np.uint8(np.round(255 * picture)))
    share = np.clip(weight / max(float(np.percentile(weight, BRIGHTEST)), 1e-30), 0, 1)
    soft = Image.fromarray(np.uint8(np.round(255 * share))).filter(ImageFilter.GaussianBlur(BLUR * max(plain.size)))
    share = np.asarray(soft, np.float32)[..., None] / 255
    # Blue, green, red, one after the other, as maps of heat are.
    colours = np.clip(1.5 - np.abs(4 * share - np.array([3.0, 2.0, 1.0])), 0, 1)
    laid = np.uint8(np.round(255 * ((1 - OPACITY) * picture + OPACITY * colours)))
    both = Image.new("RGB", (2 * plain.width, plain.height))
    both.paste(plain, (0, 0))
    both.paste(Image.fromarray(laid), (plain.width, 0))
    return both
