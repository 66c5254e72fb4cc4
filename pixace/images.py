"""From pictures to what a model sees: anything that opens as a square array, and the pictures in a folder."""

import os
from collections import deque
from pathlib import Path

import numpy as np
from PIL import Image

from pixace.errors import ConfigError, PixaceError
from pixace.folders import expanded
from pixace.opening import MAX_PIXELS, PictureSource, open_picture, parse_colour

DRAFT_MARGIN = 2  # pixels an edge, for each that is needed, which a JPEG keeps when it is decoded at a smaller size
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif")


def load_square(
    source: PictureSource,
    size: int,
    *,
    resize: str = "squash",
    exact: bool = False,
    background: str = "white",
    max_pixels: int = MAX_PIXELS,
    timeout: float = 20.0,
) -> np.ndarray:
    """Any picture as uint8 RGB of shape (size, size, 3); see `open_picture` and `square`.

    Large JPEG files are decoded at a fraction of their size, at least `DRAFT_MARGIN * size` an edge, which is
    several times faster and changes the result by little; `exact` decodes them in full.
    """
    draft = None if exact else (DRAFT_MARGIN * size, DRAFT_MARGIN * size)
    picture = open_picture(source, background=background, draft=draft, max_pixels=max_pixels, timeout=timeout)
    return np.array(square(picture, size, resize, background))


def square(picture: Image.Image, size: int, resize: str, background: str) -> Image.Image:
    """`picture` (mode RGB) as a square of `size` pixels an edge, resampled with Pillow's default filter.

    `resize` is squash (the aspect is lost), crop (the largest centred square; half pixels where its margins
    would differ by one) or pad (all of it, centred on `background`).
    """
    width, height = picture.size
    if size < 1:
        raise ConfigError(f"size={size}: at least 1 pixel is needed")
    if resize == "squash":
        return picture.resize((size, size))
    if resize == "crop":
        edge = min(picture.size)
        left, top = (width - edge) / 2, (height - edge) / 2
        return picture.resize((size, size), box=(left, top, left + edge, top + edge))
    if resize == "pad":
        inner = [max(1, round(size * edge / max(picture.size))) for edge in picture.size]
        canvas = Image.new("RGB", (size, size), parse_colour(background))
        canvas.paste(picture.resize((inner[0], inner[1])), ((size - inner[0]) // 2, (size - inner[1]) // 2))
        return canvas
    raise ConfigError(f"resize={resize!r} is not known; choose one of squash, crop, pad")


def find_pictures(folder: str | os.PathLike) -> list[Path]:
    """All picture files in `folder` and below it, sorted by their path relative to it.

    Links to folders are followed, each folder is read once; broken links and hidden entries are left out.

    Raises:
        PixaceError: the folder, or one below it, is missing or may not be read, or there are no pictures.
    """
    root = expanded(folder)
    if root.is_file():
        raise PixaceError(f"{folder} is a file, not a folder")
    found: list[str] = []
    seen: set[tuple[int, int]] = set()  # what makes loops of links end
    pending = deque([""])  # folders relative to `root`: real ones in front of links, so that pictures keep real paths
    while pending:
        below = pending.popleft()
        try:
            status = os.stat(root / below)
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            entries = sorted(os.scandir(root / below), key=lambda entry: entry.name)
        except OSError as error:
            raise PixaceError(
                f"{root / below} cannot be read: {error.strerror}; check the path and its rights"
            ) from error
        for entry in entries:
            if entry.name.startswith("."):
                continue
            path, link = below + entry.name, entry.is_symlink()
            # A look behind the name costs a system call, and one at a broken link fails: only links get it.
            if os.path.isdir(entry.path) if link else entry.is_dir():
                (pending.append if link else pending.appendleft)(path + "/")
            elif path.lower().endswith(SUFFIXES) and (os.path.isfile(entry.path) if link else entry.is_file()):
                found.append(path)
    if not found:
        raise PixaceError(f"no pictures ({', '.join(suffix[1:] for suffix in SUFFIXES)}) in {folder}")
    return [root / path for path in sorted(found)]
