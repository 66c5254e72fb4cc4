"""The residual network of a CLIP, whose last layer attends to its map, for pictures of any size.

Batch normalisations are scales and shifts here: their running statistics are part of them (`naming.py`). What shrinks
is an average pool, before the last convolution of a block and on its shortcut.

Legend: B pictures, H, W their pixels; h, w, C a map.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from pixace.clip.blocks import Weights, attend, dense, resized_positions
from pixace.clip.config import ResnetConfig
from pixace.fields import require

EXPANSION = 4  # channels that leave a block, to those within it


def resnet(weights: Weights, pictures: jax.Array, config: ResnetConfig) -> jax.Array:
    """The vectors (B, space) of normalised pictures (B, H, W, 3).

    Raises:
        ConfigError: an edge is shorter than 32 pixels.
    """
    height, width = pictures.shape[1:3]
    require(min(height, width) >= 32, f"a picture of {width}x{height} is too small: 32x32 pixels are the least")
    values = pictures
    for i, stride in enumerate((2, 1, 1)):
        values = jax.nn.relu(_convolve(values, weights["stem"][i], stride))
    values = _pool(values, 2)
    for stage, blocks in enumerate(weights["stages"]):
        for i, block in enumerate(blocks):
            values = _block(values, block, 2 if stage and not i else 1)
    return _attention_pool(values, weights["pool"], config.heads)


def _block(values: jax.Array, weights: Weights, stride: int) -> jax.Array:
    inner = jax.nn.relu(_convolve(values, weights["first"]))
    inner = _pool(jax.nn.relu(_convolve(inner, weights["second"])), stride)
    inner = _convolve(inner, weights["third"])
    shortcut = _convolve(_pool(values, stride), weights["shortcut"]) if "shortcut" in weights else values
    return jax.nn.relu(inner + shortcut)


def _convolve(values: jax.Array, weights: Weights, stride: int = 1) -> jax.Array:
    kernel = weights["kernel"].astype(values.dtype)
    edge = kernel.shape[0] // 2
    found = lax.conv_general_dilated(
        values, kernel, (stride, stride), [(edge, edge)] * 2, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    return found + weights["bias"].astype(values.dtype)


def _pool(values: jax.Array, edge: int) -> jax.Array:
    """Means of cells; rows and columns that fill no cell are left out."""
    if edge == 1:
        return values
    # Not by reshaping: of that XLA for CPUs (JAX 0.12) makes NaN where values are in bfloat16.
    window = (1, edge, edge, 1)
    zero = np.zeros((), values.dtype)
    return lax.reduce_window(values, zero, lax.add, window, window, "VALID") / edge**2


def _attention_pool(values: jax.Array, weights: Weights, heads: int) -> jax.Array:
    """What the mean of a map (B, h, w, C), as a query, takes from all its places and itself: (B, space)."""
    count, height, width, depth = values.shape
    tokens = values.reshape(count, height * width, depth)
    tokens = jnp.concatenate([tokens.mean(1, keepdims=True), tokens], 1)
    tokens = tokens + resized_positions(weights["positions"], (height, width)).astype(values.dtype)
    queries = dense(tokens[:, :1], weights["query"])
    found = attend(queries, dense(tokens, weights["key"]), dense(tokens, weights["value"]), heads)
    return dense(found[:, 0], weights["out"])


def resnet_shapes(config: ResnetConfig, space: int) -> dict[str, Any]:
    """The shapes of its weights: convolutions are (edge, edge, in, out), stages are lists of blocks."""
    n, depth = config.width, config.features
    stages, inputs = [], n
    for stage, count in enumerate(config.blocks):
        inner, blocks = n * 2**stage, []
        for i in range(count):
            outputs = EXPANSION * inner
            block = {"first": _shape(1, inputs, inner), "second": _shape(3, inner, inner)}
            block["third"] = _shape(1, inner, outputs)
            if i == 0:
                block["shortcut"] = _shape(1, inputs, outputs)
            blocks.append(block)
            inputs = outputs
        stages.append(blocks)
    square = {"kernel": (depth, depth), "bias": (depth,)}
    pool: dict[str, Any] = {
        "positions": (config.grid**2 + 1, depth),
        **dict.fromkeys(("query", "key", "value"), square),
    }
    return {
        "stem": [_shape(3, 3, n // 2), _shape(3, n // 2, n // 2), _shape(3, n // 2, n)],
        "stages": stages,
        "pool": {**pool, "out": {"kernel": (depth, space), "bias": (space,)}},
    }


def _shape(edge: int, inputs: int, outputs: int) -> dict[str, tuple[int, ...]]:
    return {"kernel": (edge, edge, inputs, outputs), "bias": (outputs,)}
