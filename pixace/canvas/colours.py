"""Colours as arrays: of any picture, as logits, and as a PIL image. H, W is the size of the picture."""

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from pixace.canvas.resizing import resize
from pixace.canvas.sizes import Size, whole_size
from pixace.errors import PixaceError
from pixace.opening import PictureSource, open_picture

DARKEST = 0.001  # how near logits come to black and white, whose own are infinite

Picture = PictureSource | jax.Array


def read_colours(picture: Picture, out_size: int | Size | None = None) -> np.ndarray:
    """The colours of a picture, float32 (H, W, 3) in [0, 1], resized with Pillow's bicubic filter.

    Args:
        picture: a path, address, PIL image or array. Floats (H, W, 3) keep all their digits; of all else colours
            are 8 bits a channel.
        out_size: (H, W), or the longer edge, keeping the shape; None for the size that it has.

    Raises:
        ConfigError: for a size that makes no sense.
        PixaceError: the picture cannot be read, or floats are not in [0, 1].
    """
    if isinstance(picture, np.ndarray | jax.Array) and jnp.issubdtype(picture.dtype, jnp.floating):
        colours = np.asarray(picture, np.float32)
        if colours.ndim == 3 and colours.shape[2] == 3 and colours.size:
            low, high = colours.min(), colours.max()
            if not (low >= -1e-4 and high <= 1 + 1e-4):  # also for NaN
                raise PixaceError(f"floats of a picture must lie in [0, 1]; these reach from {low:g} to {high:g}")
            size = whole_size(out_size, colours.shape[:2])
            return np.clip(np.asarray(resize(colours, size, "bicubic")), 0, 1)
    opened = open_picture(np.asarray(picture) if isinstance(picture, jax.Array) else picture)
    height, width = whole_size(out_size, (opened.height, opened.width))
    return np.asarray(opened.resize((width, height), Image.Resampling.BICUBIC), np.float32) / 255


def logit(colours: np.ndarray) -> np.ndarray:
    """Logits of colours in [0, 1], float64; those nearer to 0 or 1 than `DARKEST` are taken for it."""
    kept = np.clip(np.asarray(colours, np.float64), DARKEST, 1 - DARKEST)
    return np.log(kept / (1 - kept))


def to_pil(colours: jax.Array) -> Image.Image:
    """Colours (h, w, 3) in [0, 1] as a PIL image, rounded to the nearest of 256; what lies outside is cut off."""
    return Image.fromarray(np.asarray(jnp.round(255 * jnp.clip(colours, 0, 1))).astype(np.uint8))
