"""How often a CLIP finds the name of a picture among many.

Legend: N pictures, F names, S entries of the space.
"""

from collections.abc import Sequence

import numpy as np

from pixace.clip.encoding import picture_vectors, text_vectors
from pixace.clip.model import Clip
from pixace.clip.training.augmenting import place

AT_ONCE = 64  # small pictures, which are encoded together


def ranks(clip: Clip, rgba: np.ndarray, names: Sequence[str], right: np.ndarray) -> np.ndarray:
    """The place, 1 the best, of each picture's own name among all names: int (N,).

    Args:
        clip: whose eyes.
        rgba: pictures with alpha, uint8 (N, E, E, 4), which are placed on white.
        names: F names.
        right: the number of each picture's name, int (N,).
    """
    seen = picture_vectors(clip, place(rgba), AT_ONCE)
    scores = seen @ text_vectors(clip, names).T
    own = scores[np.arange(len(scores)), right]
    return (scores > own[:, None]).sum(1) + 1
