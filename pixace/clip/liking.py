"""How much a CLIP likes pictures for what texts say."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from pixace.clip.encoding import picture_vectors
from pixace.clip.model import SCALE, Clip
from pixace.clip.views import view


def likings(clip: Clip, pictures: Sequence[np.ndarray], texts: Sequence[str]) -> np.ndarray:
    """100 times the cosine of the angle to the texts, their mean where there are several, float32 (N,).

    Args:
        clip: whose opinion.
        pictures: N of them, uint8 (H, W, 3).
        texts: at least one.

    Raises:
        PixaceError: the CLIP cannot read texts.
    """
    wanted = np.asarray(clip.encode_text(list(texts)))
    seen = np.stack([view(Image.fromarray(picture), clip.image_size) for picture in pictures])
    return SCALE * (picture_vectors(clip, seen) @ wanted.T).mean(1)
