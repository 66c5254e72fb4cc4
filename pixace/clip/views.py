"""Pictures as a CLIP was shown them: the shorter edge scaled to its size, the middle cut out."""

import numpy as np
from PIL import Image, ImageOps

LONGEST = 32  # times the shorter edge: longer pictures would, scaled, have any number of pixels


def view(picture: Image.Image, edge: int) -> np.ndarray:
    """Float32 (edge, edge, 3), RGB in [0, 1], scaled with Pillow's bicubic filter, as OpenAI's preprocessing does."""
    shorter = min(picture.size)
    if max(picture.size) > LONGEST * shorter:  # all but the middle is cut off in the end
        picture = ImageOps.fit(picture, (shorter, shorter), Image.Resampling.NEAREST)
    scale = edge / min(picture.size)
    width, height = (max(edge, round(scale * length)) for length in picture.size)
    left, top = (width - edge) // 2, (height - edge) // 2
    scaled = picture.convert("RGB").resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(scaled.crop((left, top, left + edge, top + edge)), np.float32) / 255
