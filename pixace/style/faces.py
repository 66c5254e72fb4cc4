"""Faces in a picture, found by OpenCV's cascades, and a soft mask over them.

A cascade (Viola and Jones, "Rapid object detection using a boosted cascade of simple features", 2001) looks at every
place at every size and finds a true face several times over: how often are its votes. One cascade alone is easily
mistaken, so two must agree, or one of the good ones must be sure.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pixace.errors import ConfigError

LONGEST = 1024  # pixels of the longer edge; a larger picture shows no more faces that matter
LEAST_SHARE = 1 / 30  # of the longer edge: a smaller face is a few strokes wide
LEAST_EDGE = 24  # pixels: about what the cascades were trained on
LEAST_VOTES = 4  # for a box to be looked at
ALIKE = 0.3  # intersection over union from which two boxes are one face
# The ellipse over a box, which reaches from the brows to the chin; half axes as parts of the box, and where along its
# radius (1 is the ellipse) the mask begins to fall and has fallen.
ACROSS, ALONG = 0.5, 0.62
FULL, NONE = 0.7, 1.3

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Cascade:
    """One of OpenCV's files, `mirrored` if it is shown the picture so; with `sure` votes it needs no other."""

    file: str
    mirrored: bool
    sure: float


CASCADES = (
    Cascade("haarcascade_frontalface_alt2.xml", False, 6),
    Cascade("haarcascade_frontalface_default.xml", False, float("inf")),  # sees faces in trees and sleeves
    Cascade("haarcascade_profileface.xml", False, 10),
    Cascade("haarcascade_profileface.xml", True, 10),
)


def find_faces(picture: Image.Image) -> list[Box]:
    """The faces in a picture, the same ones each time.

    Returns:
        A box (left, top, width, height) for each, as parts of the picture's width and height; the highest first.

    Raises:
        ConfigError: OpenCV 4 is not installed.
    """
    pixels = np.asarray(picture.convert("L"))
    height, width = pixels.shape
    edge = max(LEAST_EDGE, round(LEAST_SHARE * max(pixels.shape)))
    found: list[tuple[int, Box, Cascade]] = []
    for cascade in CASCADES:
        shown = np.ascontiguousarray(pixels[:, ::-1]) if cascade.mirrored else pixels
        boxes, votes = _loaded(cascade).detectMultiScale2(shown, minNeighbors=LEAST_VOTES - 1, minSize=(edge, edge))
        for (left, top, w, h), count in zip(boxes, votes, strict=True):
            left = width - left - w if cascade.mirrored else left
            found.append((int(count), (left / width, top / height, w / width, h / height), cascade))
    return sorted(_merged(found), key=lambda box: (box[1], box[0]))


def face_mask(faces: Sequence[Box], size: tuple[int, int]) -> np.ndarray:
    """Where faces are in a picture of `size` (H, W): float32 (H, W), 1 within them, softly falling to 0 around."""
    rows, columns = ((np.arange(edge) + 0.5) / edge for edge in size)
    mask = np.zeros(size, np.float32)
    for left, top, width, height in faces:
        y = (rows - top - height / 2) / (ALONG * height)
        x = (columns - left - width / 2) / (ACROSS * width)
        share = np.clip((NONE - np.hypot(y[:, None], x)) / (NONE - FULL), 0, 1)
        mask = np.maximum(mask, np.float32(share * share * (3 - 2 * share)))
    return mask


def _merged(found: Sequence[tuple[int, Box, Cascade]]) -> list[Box]:
    """The boxes that are faces: of those that lie over each other the mean, by votes."""
    groups: list[list[tuple[int, Box, Cascade]]] = []
    for entry in sorted(found, key=lambda entry: (-entry[0], entry[1])):
        group = next((group for group in groups if _overlap(group[0][1], entry[1]) > ALIKE), None)
        if group is None:
            groups.append([entry])
        else:
            group.append(entry)
    merged = []
    for group in groups:
        if len({cascade for _, _, cascade in group}) > 1 or any(votes >= cascade.sure for votes, _, cascade in group):
            mean = np.average([box for _, box, _ in group], axis=0, weights=[votes for votes, _, _ in group])
            merged.append(tuple(mean.tolist()))
    return merged


def _overlap(a: Box, b: Box) -> float:
    """Intersection over union."""
    across = max(0.0, min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0]))
    along = max(0.0, min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1]))
    return across * along / (a[2] * a[3] + b[2] * b[3] - across * along)


def _loaded(cascade: Cascade) -> Any:
    try:
        from cv2 import CascadeClassifier  # not in OpenCV 5
        from cv2.data import haarcascades
    except ImportError:
        raise ConfigError("--keep_faces needs OpenCV 4: pip install '.[faces]'") from None
    return CascadeClassifier(str(Path(haarcascades) / cascade.file))
