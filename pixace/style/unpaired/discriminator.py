"""The discriminator: how much each patch of a picture looks like one of a kind (PatchGAN).

Legend: B pictures, H, W their size, C channels.

Isola et al., https://arxiv.org/abs/1611.07004: with three strided layers each judgement sees 70x70 pixels.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from pixace.style.fast.network import Weights
from pixace.style.unpaired.config import UnpairedNetworks
from pixace.style.unpaired.generator import instance_norm

EDGE, LEAK = 4, 0.2  # of the kernels; the slope of ReLUs below 0
MOST_DOUBLINGS = 3  # of the channels

_convolve = partial(lax.conv_general_dilated, dimension_numbers=("NHWC", "HWIO", "NHWC"), padding=((1, 1), (1, 1)))


def discriminator_shapes(config: UnpairedNetworks) -> dict[str, tuple[int, ...]]:
    """The shape of each weight, by name; only the first and the last layer, which no norm follows, have a bias."""
    shapes: dict[str, tuple[int, ...]] = {}
    inputs = 3
    for i in range(config.d_layers + 1):
        outputs = config.d_width << min(i, MOST_DOUBLINGS)
        shapes[f"layer{i}.kernel"] = (EDGE, EDGE, inputs, outputs)
        inputs = outputs
    first = {"layer0.bias": (config.d_width,)}
    return {**shapes, **first, "judge.kernel": (EDGE, EDGE, inputs, 1), "judge.bias": (1,)}


def discriminate(weights: Weights, config: UnpairedNetworks, pictures: jax.Array) -> jax.Array:
    """A judgement of each patch of pictures (B, H, W, 3) in [-1, 1], float32 (B, h, w): 1 real, 0 generated."""
    values = pictures.astype(config.dtype)
    for i in range(config.d_layers + 1):
        stride = 2 if i < config.d_layers else 1
        values = _convolve(values, weights[f"layer{i}.kernel"].astype(config.dtype), (stride, stride))
        values = instance_norm(values) if i else values + weights["layer0.bias"].astype(config.dtype)
        values = jax.nn.leaky_relu(values, LEAK)
    found = _convolve(values, weights["judge.kernel"].astype(config.dtype), (1, 1))
    return found[..., 0].astype(jnp.float32) + weights["judge.bias"]
