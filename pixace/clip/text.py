"""The text tower of a CLIP: a causal transformer, read where the text ends.

Legend: B texts, T tokens, D width.
"""

from typing import Any

import jax
import jax.numpy as jnp

from pixace.clip.blocks import Weights, block_shapes, layer_norm, transform
from pixace.clip.config import TextConfig


def text(weights: Weights, tokens: jax.Array, config: TextConfig, activation: str, dtype: Any) -> jax.Array:
    """The vectors (B, space) of tokens (B, T), int32, T at most `config.length`.

    A text ends at its first token that is the last one of the vocabulary; what comes after is not looked at.
    """
    values = weights["tokens"].astype(dtype)[tokens] + weights["positions"][: tokens.shape[1]].astype(dtype)
    values = transform(values, weights["blocks"], config.heads, activation, causal=True)
    ends = jnp.argmax(tokens == config.vocabulary - 1, axis=1)
    values = jnp.take_along_axis(values, ends[:, None, None], axis=1)[:, 0]
    return layer_norm(values, weights["norm_out"]) @ weights["projection"].astype(dtype)


def text_shapes(config: TextConfig, space: int) -> dict[str, Any]:
    """The shapes of its weights; blocks are a list."""
    width = config.width
    return {
        "tokens": (config.vocabulary, width),
        "positions": (config.length, width),
        "blocks": [block_shapes(width) for _ in range(config.layers)],
        "norm_out": {"scale": (width,), "bias": (width,)},
        "projection": (width, space),
    }
