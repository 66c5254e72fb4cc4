"""The picture before the first epoch, and pictures that others are to be like: from noise, files and addresses."""

from collections.abc import Sequence
from math import ceil, log2

import numpy as np
from PIL import Image, ImageOps

from pixace.canvas.canvas import Canvas
from pixace.canvas.kinds import make_canvas
from pixace.canvas.noise import generator
from pixace.errors import PixaceError
from pixace.guide.settings import Guide
from pixace.opening import open_picture

COARSEST = 4  # pixels: so few, since a CLIP says first where what is


def first_picture(guide: Guide, size: tuple[int, int], *, allow_local: bool = False) -> np.ndarray:
    """What a guide's `init` says, float32 (H, W, 3), RGB in [0, 1].

    Noise is drawn, and a picture scaled to cover and cut at its middle, at `init.resolution` if there is one; colours
    are multiplied by `std`, `mean` is added, and the result is resized with Pillow's bicubic filter.

    Args:
        guide: with its seed.
        size: (width, height) of the picture.
        allow_local: addresses of this computer and private networks may be opened.

    Raises:
        PixaceError: the picture cannot be read; it says which member names it.
    """
    init = guide.init
    mean, std = np.array(init.mean, np.float32), np.array(init.std, np.float32)
    if init.image_tensor is not None:
        colours = np.moveaxis(np.array(init.image_tensor, np.float32), 0, -1)
        return resized(fitted(colours, size), size)
    drawn = init.resolution or size
    if init.image is not None:
        picture = _opened(init.image, "init.image", allow_local)
        cover = ImageOps.fit(picture, drawn, Image.Resampling.BICUBIC)
        colours = np.asarray(cover, np.float32) / 255
    else:
        colours = generator(guide.seed).standard_normal((drawn[1], drawn[0], 3), np.float32)
    return resized(np.clip(colours * std + mean, 0, 1), size)


def canvas_of(kind: str, picture: np.ndarray) -> Canvas:
    """A canvas of a kind that gives a picture (H, W, 3); a stack begins with a layer of `COARSEST` pixels."""
    if kind != "imstack":
        return make_canvas(kind, picture)
    doublings = max(0, ceil(log2(max(picture.shape) / COARSEST)))
    return make_canvas(kind, picture, n_layers=doublings + 1, base_size=COARSEST, scale=2)


def fitted(colours: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Colours (h, w, 3) cut at their middle to the shape of a size (width, height)."""
    height, width = colours.shape[:2]
    scale = min(width / size[0], height / size[1])
    across, down = max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
    left, top = (width - across) // 2, (height - down) // 2
    return colours[top : top + down, left : left + across]


def resized(
    colours: np.ndarray, size: tuple[int, int], filter: Image.Resampling = Image.Resampling.BICUBIC
) -> np.ndarray:
    """Colours (h, w, 3) at a size (width, height), with one of Pillow's filters, cut off at 0 and 1."""
    if colours.shape[1::-1] == size:
        return np.clip(colours, 0, 1)
    channels = [Image.fromarray(np.ascontiguousarray(colours[..., i])).resize(size, filter) for i in range(3)]
    return np.clip(np.stack([np.asarray(channel) for channel in channels], -1), 0, 1)


def feature_pictures(guide: Guide, *, allow_local: bool = False) -> dict[str, Image.Image]:
    """The pictures that features name, each opened once.

    Raises:
        PixaceError: one cannot be read; it says which feature names it.
    """
    found: dict[str, Image.Image] = {}
    for feature in _features(guide):
        if feature.image is not None and feature.text is None and feature.image not in found:
            found[feature.image] = _opened(feature.image, f"{feature.path}.image", allow_local)
    return found


def _opened(source: str, path: str, allow_local: bool) -> Image.Image:
    try:
        return open_picture(source, public_only=not allow_local)
    except PixaceError as error:
        raise PixaceError(f"{path}: {error}") from None


def _features(guide: Guide) -> Sequence:
    return [feature for target in guide.targets if target.active for feature in target.features]
