"""Pictures shown a little differently each time: moved, turned, on other grounds, blurred, noisy, partly hidden.

What changes all colours alike, contrast and brightness, leaves the hue: texts tell colours.

Legend: B pictures, E edge in pixels.
"""

import io
import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageFilter

SMALLEST, LARGEST, TURN = 0.45, 1.3, 25.0  # scales of a picture in its square, and degrees
SHIFT = 0.15  # of the edge, and what scaling leaves free
PLAIN, GRADIENT, CLOUDS = 0.5, 0.65, 0.85  # where shares of the kinds of ground end; the rest is noise


def vary_pictures(
    rgba: np.ndarray, flip: Sequence[bool], random: np.random.Generator, share: float = 1.0
) -> np.ndarray:
    """Variations, uint8 (B, E, E, 3), of pictures with alpha, uint8 (B, E, E, 4).

    Args:
        rgba: the pictures.
        flip: which of them may be mirrored.
        random: all that is left to chance.
        share: of the pictures that are varied; the others stand on white as they are.
    """
    plain, varied = random.random(len(rgba)) >= share, _varied(rgba, flip, random)
    varied[plain] = place(rgba[plain])
    return varied


def _varied(rgba: np.ndarray, flip: Sequence[bool], random: np.random.Generator) -> np.ndarray:
    count, edge = rgba.shape[:2]
    moved = np.stack([_move(*each, random) for each in zip(rgba, flip, strict=True)]).astype(np.float32) / 255
    ground = np.stack([_ground(edge, random) for _ in range(count)])
    alpha = moved[..., 3:]
    shown = alpha * moved[..., :3] + (1 - alpha) * ground

    def each(low: float, high: float) -> np.ndarray:
        return random.uniform(low, high, (count, 1, 1, 1)).astype(np.float32)

    weak = random.random((count, 1, 1, 1)) < 0.5
    contrast = np.where(weak, each(0.35, 1.0), 1.0).astype(np.float32)
    shown = 0.5 + contrast * (shown - 0.5) + np.where(weak, each(-0.15, 0.15), 0).astype(np.float32)
    noise = each(0, 0.12) * (random.random((count, 1, 1, 1)) < 0.5)
    shown = shown + noise.astype(np.float32) * random.standard_normal(shown.shape, np.float32)
    found = np.rint(255 * np.clip(shown, 0, 1)).astype(np.uint8)
    return np.stack([_spoil(picture, random) for picture in found])


def place(rgba: np.ndarray) -> np.ndarray:
    """Pictures with alpha, uint8 (..., 4), on white, uint8 (..., 3)."""
    alpha = rgba[..., 3:].astype(np.float32) / 255
    return np.rint(alpha * rgba[..., :3] + 255 * (1 - alpha)).astype(np.uint8)


def _move(rgba: np.ndarray, flip: bool, random: np.random.Generator) -> np.ndarray:
    edge = len(rgba)
    scale = math.exp(random.uniform(math.log(SMALLEST), math.log(LARGEST)))
    angle = math.radians(random.uniform(-TURN, TURN)) if random.random() < 0.6 else 0.0
    aspect = math.exp(random.uniform(-0.12, 0.12))
    free = SHIFT + max(0.0, 1 - scale) / 2
    x, y = (edge * (0.5 + random.uniform(-free, free)) for _ in range(2))
    side = -1.0 if flip and random.random() < 0.5 else 1.0
    # From a place in the result to one in the picture.
    a, b = side * math.cos(angle) / (scale * aspect), side * math.sin(angle) / (scale * aspect)
    d, e = -math.sin(angle) * aspect / scale, math.cos(angle) * aspect / scale
    c, f = edge / 2 - a * x - b * y, edge / 2 - d * x - e * y
    picture = Image.fromarray(rgba)
    return np.asarray(
        picture.transform((edge, edge), Image.Transform.AFFINE, (a, b, c, d, e, f), Image.Resampling.BILINEAR)
    )


def _ground(edge: int, random: np.random.Generator) -> np.ndarray:
    """What a picture stands on, float32 (E, E, 3) in [0, 1]."""
    kind, first, second = random.random(), _colour(random), _colour(random)
    if kind < PLAIN:
        return np.broadcast_to(first, (edge, edge, 3))
    if kind < GRADIENT:
        angle = random.uniform(0, 2 * math.pi)
        line = np.linspace(-0.7, 0.7, edge, dtype=np.float32)
        t = np.clip(0.5 + math.cos(angle) * line[:, None] + math.sin(angle) * line, 0, 1)[..., None]
        return (first + t * (second - first)).astype(np.float32)
    if kind < CLOUDS:
        cells = random.integers(2, 9)
        small = random.integers(0, 256, (cells, cells, 3), np.uint8)
        return np.asarray(Image.fromarray(small).resize((edge, edge), Image.Resampling.BICUBIC), np.float32) / 255
    return np.clip(first + random.uniform(0.05, 0.3) * random.standard_normal((edge, edge, 3), np.float32), 0, 1)


def _colour(random: np.random.Generator) -> np.ndarray:
    """White, a grey, or any colour."""
    kind = random.random()
    if kind < 0.3:
        return np.ones(3, np.float32)
    if kind < 0.45:
        return np.full(3, random.random(), np.float32)
    return random.random(3, np.float32)


def _spoil(picture: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Blurred, stored as a poor JPEG, or partly hidden; or none of these."""
    edge, chances = len(picture), random.random(3)
    if chances[0] < 0.25:
        blurred = Image.fromarray(picture).filter(ImageFilter.GaussianBlur(random.uniform(0.3, edge / 40)))
        picture = np.array(blurred)
    if chances[1] < 0.15:
        stored = io.BytesIO()
        Image.fromarray(picture).save(stored, "JPEG", quality=int(random.integers(10, 60)))
        picture = np.array(Image.open(stored))
    if chances[2] < 0.3:
        picture = picture.copy()
        height, width = (int(edge * random.uniform(0.1, 0.45)) for _ in range(2))
        top, left = random.integers(0, edge - height + 1), random.integers(0, edge - width + 1)
        picture[top : top + height, left : left + width] = np.rint(255 * _colour(random))
    return picture
