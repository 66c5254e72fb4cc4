"""The generator as pure functions: pictures of one kind in, of the other kind out, at any size.

Legend: B pictures, H, W their size, C channels. Maps are (B, h, w, C). Colours are in [-1, 1].

The residual network of Zhu et al. (https://arxiv.org/abs/1703.10593, appendix 7.2): norms without scale and shift.
What is beyond an edge is its reflection, in strided convolutions too, which the paper gives zeros.
"""

import math
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from pixace.style.fast.convolutions import convolve, convolve_to_double, convolve_to_few
from pixace.style.fast.network import EPSILON, STRIDE, UPSAMPLING, Weights
from pixace.style.unpaired.config import UnpairedNetworks

DEVIATION = 0.02  # of the initial kernels


def generator_shapes(config: UnpairedNetworks) -> dict[str, tuple[int, ...]]:
    """The shape of each weight, by name. Where a norm follows, a bias would change nothing, so there is none."""
    n = config.width
    convolutions = {"conv_in": (7, 7, 3, n), "down1": (3, 3, n, 2 * n), "down2": (3, 3, 2 * n, 4 * n)}
    for i in range(config.n_residual):
        convolutions |= {f"residual{i}.{name}": (3, 3, 4 * n, 4 * n) for name in ("first", "second")}
    convolutions |= {"up1": (3, 3, 4 * n, 2 * n), "up2": (3, 3, 2 * n, n), "conv_out": (7, 7, n, 3)}
    return {**{f"{name}.kernel": shape for name, shape in convolutions.items()}, "conv_out.bias": (3,)}


def init_weights(shapes: Mapping[str, tuple[int, ...]], seed: int, network: int) -> Weights:
    """Initial float32 weights: kernels are normal noise, biases 0.

    Args:
        shapes: of the weights, by name.
        seed: the run's.
        network: a number of its own for each network of a run.
    """
    weights: Weights = {}
    for i, (name, shape) in enumerate(shapes.items()):
        noise = np.random.default_rng([seed, network, i]).standard_normal(shape, np.float32)
        weights[name] = jnp.asarray(DEVIATION * noise if name.endswith(".kernel") else np.zeros(shape, np.float32))
    return weights


def count_weights(shapes: Mapping[str, tuple[int, ...]]) -> int:
    """Number of weights."""
    return sum(map(math.prod, shapes.values()))


def instance_norm(values: jax.Array) -> jax.Array:
    """Maps (B, h, w, C) with mean 0 and variance 1 in each picture and channel; computed in float32."""
    exact = values.astype(jnp.float32)
    mean = exact.mean((1, 2), keepdims=True)
    variance = jnp.square(exact - mean).mean((1, 2), keepdims=True)
    return ((exact - mean) * lax.rsqrt(variance + EPSILON)).astype(values.dtype)


def generate(weights: Weights, config: UnpairedNetworks, pictures: jax.Array) -> jax.Array:
    """Pictures (B, H, W, 3) as ones of the other kind, float32 of the same shape in [-1, 1], for any H and W.

    Args:
        weights: as `generator_shapes` lists them.
        config: what they are for.
        pictures: RGB in [-1, 1].
    """

    def block(values: jax.Array, name: str, stride: int = 1) -> jax.Array:
        """Convolution and norm."""
        kernel = weights[f"{name}.kernel"].astype(config.dtype)
        if name in UPSAMPLING:
            return instance_norm(convolve_to_double(values, kernel, config.upsample_type, "reflect"))
        return instance_norm(convolve(values, kernel, "reflect", stride))

    height, width = pictures.shape[1:3]
    rest = [(0, -edge % STRIDE) for edge in (height, width)]
    values = jnp.pad(pictures, ((0, 0), *rest, (0, 0)), mode="reflect").astype(config.dtype)
    for name, stride in (("conv_in", 1), ("down1", 2), ("down2", 2)):
        values = jax.nn.relu(block(values, name, stride))
    for i in range(config.n_residual):
        values = values + block(jax.nn.relu(block(values, f"residual{i}.first")), f"residual{i}.second")
    for name in UPSAMPLING:
        values = jax.nn.relu(block(values, name))
    values = convolve_to_few(values, weights["conv_out.kernel"].astype(config.dtype), "reflect")
    return jnp.tanh(values[:, :height, :width].astype(jnp.float32) + weights["conv_out.bias"])
