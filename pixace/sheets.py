"""Pictures out: sheets of tiles, animations, and files with metadata that are written whole or not at all."""

import json
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, PngImagePlugin

from pixace.errors import ConfigError, PixaceError
from pixace.folders import expanded, write_atomically
from pixace.opening import MAX_PIXELS, opened

FILTERS = {name: Image.Resampling[name.upper()] for name in ("nearest", "bilinear", "bicubic", "lanczos")}
ANIMATED = ("GIF", "WEBP", "PNG")
DESCRIPTION = 0x010E  # EXIF tag
SAVE_OPTIONS = {"JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"lossless": True}}


def sheet(
    rows: Sequence[Sequence[np.ndarray | None]], *, scale: int = 256, interpolation: str = "nearest"
) -> Image.Image:
    """A grid of tiles, all uint8 of one shape (h, w, 3); missing tiles (None, or a short row) are black.

    Each tile gets a black border of one of its own pixels. With it, it is scaled to `scale` pixels of width
    and round(scale * (h + 2) / (w + 2)) of height, so that a sheet is columns * scale pixels wide.
    `interpolation` is nearest, bilinear, bicubic or lanczos.
    """
    if interpolation not in FILTERS:
        raise ConfigError(f"interpolation={interpolation!r} is not known; choose one of {', '.join(FILTERS)}")
    height, width = _tile_shape([tile for row in rows for tile in row if tile is not None], scale)
    cell = (scale, max(1, round(scale * (height + 2) / (width + 2))))
    grid = Image.new("RGB", (cell[0] * max(map(len, rows)), cell[1] * len(rows)))
    for y, row in enumerate(rows):
        for x, tile in enumerate(row):
            if tile is not None:
                bordered = Image.fromarray(np.pad(tile, ((1, 1), (1, 1), (0, 0))))
                grid.paste(bordered.resize(cell, FILTERS[interpolation]), (x * cell[0], y * cell[1]))
    return grid


def save_picture(picture: Image.Image, path: str | os.PathLike, *, metadata: dict[str, str] | None = None) -> Path:
    """Writes `picture` in the format that the ending of `path` names, at once or not at all; makes parent folders.

    `metadata` goes into text chunks of PNG files and, as JSON, into the EXIF description of JPEG and WebP
    files, where `read_metadata` finds it; other formats do without.

    Raises:
        ConfigError: the ending is not known.
        PixaceError: the file cannot be written; one that was there is untouched.
    """
    kind = _format(path, Image.SAVE)
    options: dict = dict(SAVE_OPTIONS.get(kind, {}))
    if metadata and kind == "PNG":
        options["pnginfo"] = PngImagePlugin.PngInfo()
        for key, value in metadata.items():
            options["pnginfo"].add_text(key, value)
    elif metadata and kind in ("JPEG", "WEBP"):
        options["exif"] = Image.Exif()
        options["exif"][DESCRIPTION] = json.dumps(metadata)
    return _write(path, lambda file: picture.save(file, kind, **options))


def read_metadata(path: str | os.PathLike) -> dict[str, str]:
    """The texts that `save_picture` put into a PNG, JPEG or WebP file; {} if there are none."""
    with opened(Path(path), MAX_PIXELS, timeout=1) as picture:
        if isinstance(picture, PngImagePlugin.PngImageFile):
            return {key: str(value) for key, value in picture.text.items()}
        try:
            texts = json.loads(picture.getexif().get(DESCRIPTION, ""))
        except (TypeError, ValueError):  # somebody else's description
            return {}
    return {key: value for key, value in texts.items() if isinstance(value, str)} if isinstance(texts, dict) else {}


def save_animation(
    frames: Iterable[np.ndarray], path: str | os.PathLike, *, scale: int, seconds: float = 0.05, hold: float = 2.0
) -> Path:
    """Writes frames, uint8 of one shape (h, w, 3), as an endless gif, webp or png (APNG); atomic like `save_picture`.

    Each frame is scaled to `scale` pixels of width, every pixel a rectangle, and stays for `seconds`, the last one
    for `hold`. Gif files have 256 colours a frame and count time in hundredths of a second.
    """
    kind = _format(path, ANIMATED)
    if min(seconds, hold) < 0.01:
        raise ConfigError(f"seconds={seconds}, hold={hold}: at least 0.01 s are needed")
    arrays = list(frames)
    height, width = _tile_shape(arrays, scale)
    edges = (scale, max(1, round(scale * height / width)))
    first, *others = (Image.fromarray(array).resize(edges, Image.Resampling.NEAREST) for array in arrays)
    durations = [round(1000 * seconds)] * len(others) + [round(1000 * hold)]
    options = {
        **SAVE_OPTIONS.get(kind, {}),
        "save_all": True,
        "append_images": others,
        "duration": durations,
        "loop": 0,
    }
    return _write(path, lambda file: first.save(file, kind, **options))


def check_format(path: str | os.PathLike) -> None:
    """Raise `ConfigError` if the ending of `path` is not that of a picture: to be known before hours of work."""
    _format(path, Image.SAVE)


def check_animation(path: str | os.PathLike) -> None:
    """Raise `ConfigError` if the ending of `path` is not that of an animation."""
    _format(path, ANIMATED)


def _tile_shape(tiles: list[np.ndarray], scale: int) -> tuple[int, int]:
    """Height and width of `tiles`, which are to be drawn `scale` pixels wide."""
    if scale < 1:
        raise ConfigError(f"scale={scale}: at least 1 pixel is needed")
    kinds = {(tile.shape, str(tile.dtype)) for tile in tiles}
    shape, dtype = next(iter(kinds), ((), ""))
    if len(kinds) != 1 or dtype != "uint8" or len(shape) != 3 or shape[2] != 3 or 0 in shape:
        found = ", ".join(f"{dtype} {shape}" for shape, dtype in sorted(kinds)) or "none at all"
        raise PixaceError(f"tiles must be uint8 arrays of one shape (h, w, 3); these are {found}")
    return shape[0], shape[1]


def _format(path: str | os.PathLike, allowed: Iterable[str]) -> str:
    """Pillow's name of the format that the ending of `path` stands for, which must be in `allowed`."""
    ending = Path(path).suffix.lower()
    kind = Image.registered_extensions().get(ending, "")
    if kind not in allowed:
        raise ConfigError(
            f"{path}: pictures cannot be written as {ending or 'a file without ending'}; use .png or .webp"
        )
    return kind


def _write(path: str | os.PathLike, save: Callable[[IO[bytes]], None]) -> Path:
    """Lets `save` write the file at `path`, atomically; all that Pillow raises ends as one line."""
    target = expanded(path)

    def write(beside: Path) -> None:
        try:
            with beside.open("w+b") as file:
                save(file)
        except OSError:
            raise
        except Exception as error:  # a format that cannot hold this size or so much metadata: almost anything
            reason = " ".join(str(error).split()) or type(error).__name__
            raise PixaceError(f"cannot write {target}: {reason}") from error

    write_atomically(target, write)
    return target
