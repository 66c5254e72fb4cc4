"""Vectors of many pictures and texts, in parts of one size, the last one filled up: one compilation.

Legend: N pictures or texts, S entries of the space.
"""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np

from pixace.clip.model import Clip

AT_ONCE = 16  # pictures that are encoded together
TEXTS_AT_ONCE = 64


def picture_vectors(clip: Clip, views: np.ndarray, at_once: int = AT_ONCE) -> np.ndarray:
    """Unit vectors (N, S) of views (N, E, E, 3): float32 in [0, 1], or uint8."""
    padded = np.concatenate([views, np.zeros((-len(views) % at_once, *views.shape[1:]), views.dtype)])
    scale = 255 if views.dtype == np.uint8 else 1
    parts = np.split(padded, len(padded) // at_once)
    found = [np.asarray(clip.encode_image(jnp.asarray(part, "float32") / scale)) for part in parts]
    return np.concatenate(found)[: len(views)]


def text_vectors(clip: Clip, texts: Sequence[str]) -> np.ndarray:
    """Unit vectors (N, S) of texts."""
    padded = [*texts, *[""] * (-len(texts) % TEXTS_AT_ONCE)]
    starts = range(0, len(padded), TEXTS_AT_ONCE)
    said = [np.asarray(clip.encode_text(padded[start : start + TEXTS_AT_ONCE])) for start in starts]
    return np.concatenate(said)[: len(texts)]
