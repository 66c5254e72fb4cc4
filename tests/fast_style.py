"""Pictures and weights for the tests of fast style transfer: small, and easy to learn from."""

import numpy as np
from PIL import Image

from pixace.style.vgg import Weights
from pixace.style.vgg_weights import random_weights

EDGE = 16


def tiny_vgg() -> Weights:
    """The first two convolutions, random."""
    return random_weights("vgg19", until="relu1_2")


def smooth(count: int, seed: int) -> np.ndarray:
    """Blobs of colour, uint8 (count, EDGE, EDGE, 3)."""
    random = np.random.default_rng(seed)
    small = random.integers(0, 256, (count, 4, 4, 3), np.uint8)
    return np.stack([np.asarray(Image.fromarray(each).resize((EDGE, EDGE), 3)) for each in small])


def stripes(across: bool) -> np.ndarray:
    """A style that is not hard to learn, float32 (EDGE, EDGE, 3)."""
    picture = np.tile(np.where(np.arange(EDGE) // 2 % 2, 0.9, 0.1).astype(np.float32)[:, None, None], (1, EDGE, 3))
    picture[..., 2] = 0.8
    return picture.swapaxes(0, 1) if across else picture
