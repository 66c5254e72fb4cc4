"""How often a CLIP finds the name of a picture among many.

Legend: N pictures, F names, S entries of the space.
"""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np

from pixace.clip.model import Clip
from pixace.clip.training.augmenting import place

AT_ONCE = 64  # pictures or texts that are encoded together


def ranks(clip: Clip, rgba: np.ndarray, names: Sequence[str], right: np.ndarray) -> np.ndarray:
    """The place, 1 the best, of each picture's own name among all names: int (N,).

    Args:
        clip: whose eyes.
        rgba: pictures with alpha, uint8 (N, E, E, 4), which are placed on white.
        names: F names.
        right: the number of each picture's name, int (N,).
    """
    seen = vectors_of(clip, place(rgba))
    scores = seen @ texts_of(clip, names).T
    own = scores[np.arange(len(scores)), right]
    return (scores > own[:, None]).sum(1) + 1


def vectors_of(clip: Clip, rgb: np.ndarray) -> np.ndarray:
    """Unit vectors (N, S) of pictures, uint8 (N, E, E, 3)."""
    shown = [np.asarray(clip.encode_image(jnp.asarray(part, "float32") / 255)) for part in _parts(rgb)]
    return np.concatenate(shown)[: len(rgb)]


def texts_of(clip: Clip, texts: Sequence[str]) -> np.ndarray:
    """Unit vectors (F, S) of texts."""
    padded = [*texts, *[""] * (-len(texts) % AT_ONCE)]
    said = [np.asarray(clip.encode_text(padded[i : i + AT_ONCE])) for i in range(0, len(padded), AT_ONCE)]
    return np.concatenate(said)[: len(texts)]


def _parts(rgb: np.ndarray) -> list[np.ndarray]:
    """Pictures in parts of one size, the last one filled up: one compilation."""
    padded = np.concatenate([rgb, np.zeros((-len(rgb) % AT_ONCE, *rgb.shape[1:]), rgb.dtype)])
    return np.split(padded, len(padded) // AT_ONCE)
