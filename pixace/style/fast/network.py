"""The image transformation network as pure functions: pictures in, pictures in another style out.

Legend: B pictures, H, W their size, C channels, S styles. Maps are (B, h, w, C).

Each norm has a scale and a bias for each style, and a picture's own are a mixture of them: styles are blended in one
pass (conditional instance norm, Dumoulin et al., https://arxiv.org/abs/1610.07629).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from pixace.style.fast.config import TransformConfig
from pixace.style.fast.convolutions import convolve, convolve_to_double, convolve_to_few
from pixace.style.vgg import MEAN, STD

Weights = dict[str, jax.Array]

STRIDE = 4  # pixels to one step in the deepest maps
EPSILON = 1e-5
MOMENTUM = 0.1  # of a batch in the running statistics of batch norm
RUNNING = (".mean", ".variance")  # ends of the names of weights that no gradient changes
UPSAMPLING = ("up1", "up2")


@dataclass(frozen=True)
class Weight:
    """One entry of the weight table: its shape, and either the constant that fills it or the bound of uniform noise."""

    shape: tuple[int, ...]
    constant: float | None = None
    bound: float = 0.0


def weight_table(config: TransformConfig) -> dict[str, Weight]:
    """All weights by name; the running statistics of batch norm are among them."""
    table: dict[str, Weight] = {}
    for name, (edge, inputs, outputs) in _convolutions(config).items():
        # A norm makes up for any bound. Where there is none, He et al.'s keeps maps as large through ReLUs.
        bare = config.norm_type == "none" and name != "conv_out" and not name.endswith(".second")
        bound = math.sqrt((6 if bare else 1) / (edge * edge * inputs))
        table[f"{name}.kernel"] = Weight((edge, edge, inputs, outputs), bound=bound)
        if name == "conv_out":  # begins at grey; a clamp lets no gradient through where it begins at black
            table[f"{name}.bias"] = Weight((outputs,), 0.0 if config.output_fn == "sigmoid" else 0.5)
        elif config.norm_type == "none":
            table[f"{name}.bias"] = Weight((outputs,), 0.0)
        else:
            table[f"{name}.scale"] = Weight((config.n_styles, outputs), 1.0)
            table[f"{name}.shift"] = Weight((config.n_styles, outputs), 0.0)
            if config.norm_type == "batch":
                table[f"{name}.mean"], table[f"{name}.variance"] = Weight((outputs,), 0.0), Weight((outputs,), 1.0)
    return table


def _convolutions(config: TransformConfig) -> dict[str, tuple[int, int, int]]:
    """Edge of the kernel, channels in and channels out of each convolution."""
    n = config.width
    found = {"conv_in": (9, 3, n), "down1": (3, n, 2 * n), "down2": (3, 2 * n, 4 * n)}
    for i in range(config.n_residual):
        found |= {f"residual{i}.{name}": (3, 4 * n, 4 * n) for name in ("first", "second")}
    found["up1"], found["up2"] = (3, 4 * n, 2 * n), (3, 2 * n, n)
    if config.skips:
        found["join1"], found["join2"] = (3, 4 * n, 2 * n), (3, 2 * n, n)
    return found | {"conv_out": (9, n, 3)}


def count_weights(config: TransformConfig) -> int:
    """Number of weights that are trained."""
    return sum(math.prod(w.shape) for name, w in weight_table(config).items() if not name.endswith(RUNNING))


def init_weights(config: TransformConfig, seed: int) -> Weights:
    """Initial float32 weights; each depends on the seed and its own place in the table alone."""
    weights: Weights = {}
    for i, (name, weight) in enumerate(weight_table(config).items()):
        if weight.constant is not None:
            array = np.full(weight.shape, weight.constant, np.float32)
        else:
            array = np.random.default_rng([seed, i]).uniform(-weight.bound, weight.bound, weight.shape)
        weights[name] = jnp.asarray(array, jnp.float32)
    return weights


def trained(weights: Weights) -> Weights:
    """The weights that gradients change: all but running statistics."""
    return {name: weight for name, weight in weights.items() if not name.endswith(RUNNING)}


@partial(jax.jit, static_argnums=1)
def transform(weights: Weights, config: TransformConfig, pictures: jax.Array, mixture: jax.Array) -> jax.Array:
    """Pictures (B, H, W, 3) in their styles, float32 of the same shape, for any H and W.

    Args:
        weights: as `weight_table` lists them.
        config: what they are for.
        pictures: RGB in [0, 1].
        mixture: (B, S) the share of each style in each picture; rows add up to 1.

    The colours are in [0, 1] as far as `config.output_fn` sees to it.
    """
    return _forward(weights, config, pictures, mixture, None)


def transform_batch(
    weights: Weights, config: TransformConfig, pictures: jax.Array, mixture: jax.Array
) -> tuple[jax.Array, Weights]:
    """The same for training: batch norm takes the statistics of the batch; also returns its running ones, moved on."""
    running: Weights = {}
    return _forward(weights, config, pictures, mixture, running), running


def _forward(
    weights: Weights, config: TransformConfig, pictures: jax.Array, mixture: jax.Array, running: Weights | None
) -> jax.Array:
    """`running` is None where nothing is trained; else it is filled."""

    def block(values: jax.Array, name: str, stride: int = 1) -> jax.Array:
        """Convolution and norm."""
        values, kernel = values.astype(config.dtype), weights[f"{name}.kernel"].astype(config.dtype)
        if name in UPSAMPLING:
            values = convolve_to_double(values, kernel, config.upsample_type, config.padding_mode)
        else:
            values = convolve(values, kernel, config.padding_mode, stride)
        return _normalise(values, _own(weights, name), config, mixture, name, running)

    height, width = pictures.shape[1:3]
    rest = [(0, -edge % STRIDE) for edge in (height, width)]
    values = jnp.pad((pictures - jnp.array(MEAN)) / jnp.array(STD), ((0, 0), *rest, (0, 0)), mode="reflect")
    first = jax.nn.relu(block(values, "conv_in"))
    second = jax.nn.relu(block(first, "down1", stride=2))
    values = jax.nn.relu(block(second, "down2", stride=2))
    for i in range(config.n_residual):
        inner = jax.nn.relu(block(values, f"residual{i}.first"))
        values = values + block(inner, f"residual{i}.second")
    for i, encoded in ((1, second), (2, first)):
        values = jax.nn.relu(block(values, f"up{i}"))
        if config.skips:
            values = jax.nn.relu(block(jnp.concatenate([values, encoded], axis=-1), f"join{i}"))
    values = convolve_to_few(values, weights["conv_out.kernel"].astype(config.dtype), config.padding_mode)
    values = values[:, :height, :width].astype(jnp.float32) + weights["conv_out.bias"]
    if config.output_fn == "clamp":
        return jnp.clip(values, 0, 1)
    return jax.nn.sigmoid(values) if config.output_fn == "sigmoid" else values


def _own(weights: Mapping[str, jax.Array], name: str) -> Weights:
    """The weights of one layer, by the last part of their names."""
    return {key.removeprefix(f"{name}."): weight for key, weight in weights.items() if key.startswith(f"{name}.")}


def _normalise(
    values: jax.Array,
    own: Weights,
    config: TransformConfig,
    mixture: jax.Array,
    name: str,
    running: Weights | None,
) -> jax.Array:
    """The norm of one layer with the styles' scales and shifts, or the bias where there is none; statistics float32."""
    if config.norm_type == "none":
        return values + own["bias"].astype(values.dtype)
    exact = values.astype(jnp.float32)
    if config.norm_type == "batch" and running is None:
        mean, variance = own["mean"], own["variance"]
    else:
        axes = (1, 2) if config.norm_type == "instance" else (0, 1, 2)
        mean = exact.mean(axes, keepdims=True)
        variance = jnp.square(exact - mean).mean(axes, keepdims=True)
        if running is not None and config.norm_type == "batch":
            count = math.prod(exact.shape[:3])
            seen = {"mean": mean, "variance": variance * count / max(count - 1, 1)}
            for key, value in seen.items():
                running[f"{name}.{key}"] = (1 - MOMENTUM) * own[key] + MOMENTUM * lax.stop_gradient(value.reshape(-1))
    scale, shift = (jnp.einsum("bs,sc->bc", mixture, own[key])[:, None, None] for key in ("scale", "shift"))
    return (scale * (exact - mean) * lax.rsqrt(variance + EPSILON) + shift).astype(values.dtype)
