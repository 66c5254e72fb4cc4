"""The vision transformer of a CLIP, for pictures of any size that whole patches fill.

Legend: B pictures, H, W their pixels, P a patch's edge, D width.
"""

from typing import Any

import jax
import jax.numpy as jnp

from pixace.clip.blocks import Weights, block_shapes, layer_norm, resized_positions, transform
from pixace.clip.config import VitConfig
from pixace.fields import require


def vit(weights: Weights, pictures: jax.Array, config: VitConfig, activation: str) -> jax.Array:
    """The vectors (B, space) of normalised pictures (B, H, W, 3).

    Positions were learned for `config.image_size`; for other sizes they are resized, bicubic, as a picture.

    Raises:
        ConfigError: H or W is not a multiple of the patch.
    """
    count, height, width, _ = pictures.shape
    edge, dtype = config.patch, pictures.dtype
    fits = height % edge == 0 and width % edge == 0 and min(height, width) > 0
    require(fits, f"a picture of {width}x{height} does not divide into patches of {edge}x{edge} pixels")
    rows, columns = height // edge, width // edge
    patches = pictures.reshape(count, rows, edge, columns, edge, 3).swapaxes(2, 3)
    kernel = weights["patches"].astype(dtype)
    tokens = patches.reshape(count, rows * columns, -1) @ kernel.reshape(-1, kernel.shape[-1])
    first = jnp.broadcast_to(weights["class"].astype(dtype), (count, 1, tokens.shape[-1]))
    tokens = jnp.concatenate([first, tokens], 1)
    tokens = tokens + resized_positions(weights["positions"], (rows, columns)).astype(dtype)
    tokens = layer_norm(tokens, weights["norm_in"])
    tokens = transform(tokens, weights["blocks"], config.heads, activation)
    return layer_norm(tokens[:, 0], weights["norm_out"]) @ weights["projection"].astype(dtype)


def vit_shapes(config: VitConfig, space: int) -> dict[str, Any]:
    """The shapes of its weights: a patch's kernel is (P, P, 3, D), blocks are a list."""
    width = config.width
    norm = {"scale": (width,), "bias": (width,)}
    return {
        "patches": (config.patch, config.patch, 3, width),
        "class": (width,),
        "positions": (config.grid**2 + 1, width),
        "norm_in": norm,
        "blocks": [block_shapes(width) for _ in range(config.layers)],
        "norm_out": norm,
        "projection": (width, space),
    }
