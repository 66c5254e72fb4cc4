"""A small residual network for pictures of any size that 16 pixels divide: what `pixace clip train` trains.

Its gradients are to be of use for drawing: squares that overlap are the first thing it sees, activations are smooth,
and nothing is skipped between maps. Each block has a norm before it and adds to what came in, as in a transformer;
the last map's mean is what is said of a picture.

Legend: B pictures, H, W their pixels; h, w, C a map.
"""

from typing import Any

import jax
from jax import lax

from pixace.clip.blocks import Weights, activate, dense, layer_norm
from pixace.clip.config import ConvnetConfig
from pixace.fields import require

PATCH, STRIDE = 8, 4  # pixels that a cell of the first map sees, and pixels from one to the next


def convnet(weights: Weights, pictures: jax.Array, config: ConvnetConfig, activation: str) -> jax.Array:
    """The vectors (B, space) of normalised pictures (B, H, W, 3).

    Raises:
        ConfigError: H or W is no multiple of what a cell of the last map stands for.
    """
    height, width = pictures.shape[1:3]
    cell = STRIDE << (len(config.blocks) - 1)
    fits = height % cell == 0 and width % cell == 0 and min(height, width) > 0
    require(fits, f"a picture of {width}x{height} does not divide into cells of {cell}x{cell} pixels")
    values = _convolve(pictures, weights["stem"], STRIDE)
    for stage, blocks in enumerate(weights["stages"]):
        if stage:
            values = dense(_halve(layer_norm(values, blocks[0]["norm_in"])), blocks[0]["widen"])
        for block in blocks:
            inner = activate(dense(layer_norm(values, block["norm"]), block["narrow"]), activation)
            inner = activate(_convolve(inner, block["first"]), activation)
            values = values + dense(inner, block["second"])
    return dense(layer_norm(values.mean((1, 2)), weights["norm_out"]), weights["out"])


def _convolve(values: jax.Array, weights: Weights, stride: int = 1) -> jax.Array:
    kernel = weights["kernel"].astype(values.dtype)
    beyond = (kernel.shape[0] - stride) // 2 if stride > 1 else kernel.shape[0] // 2
    found = lax.conv_general_dilated(
        values, kernel, (stride, stride), [(beyond, beyond)] * 2, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    return found + weights["bias"].astype(values.dtype)


def _halve(values: jax.Array) -> jax.Array:
    """Means of 2x2 cells."""
    count, height, width, depth = values.shape
    return values.reshape(count, height // 2, 2, width // 2, 2, depth).mean((2, 4))


def convnet_shapes(config: ConvnetConfig, space: int) -> dict[str, Any]:
    """The shapes of its weights: convolutions are (edge, edge, in, out), stages are lists of blocks."""
    stages = []
    for stage, count in enumerate(config.blocks):
        depth = config.width << stage
        inner = depth // 2
        block = {
            "norm": _norm(depth),
            "narrow": _kernel(depth, inner),
            "first": _kernel(3, 3, inner, inner),
            "second": _kernel(inner, depth),
        }
        first = {**block, "norm_in": _norm(inner), "widen": _kernel(inner, depth)} if stage else block
        stages.append([first, *[block] * (count - 1)])
    return {
        "stem": _kernel(PATCH, PATCH, 3, config.width),
        "stages": stages,
        "norm_out": _norm(config.features),
        "out": _kernel(config.features, space),
    }


def _kernel(*shape: int) -> dict[str, tuple[int, ...]]:
    return {"kernel": shape, "bias": shape[-1:]}


def _norm(width: int) -> dict[str, tuple[int, ...]]:
    return {"scale": (width,), "bias": (width,)}
