"""What the tests of pictures share: made-up pictures, and how to look at them."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pixace.errors import PixaceError
from pixace.opening import open_picture

GREYS = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4  # 0, 4, ... 252


def smooth(width: int, height: int) -> Image.Image:
    """Colourful, with detail, and easy on JPEG."""
    y, x = np.mgrid[:height, :width] / max(width, height)
    waves = [np.sin(9 * x + 5 * y), np.cos(23 * x * y), np.sin(31 * (x - y))]
    return Image.fromarray(np.uint8(127 + 110 * np.stack(waves, -1)))


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def pixels(source, **options) -> np.ndarray:
    picture = open_picture(source, **options)
    assert picture.mode == "RGB"
    return np.array(picture)


def grey(values: np.ndarray) -> np.ndarray:
    return np.repeat(np.asarray(values)[..., None], 3, -1)


def failure(source, **options) -> str:
    """The message with which opening `source` fails: one line, which names a file or an address."""
    with pytest.raises(PixaceError) as caught:
        open_picture(source, **options)
    assert "\n" not in str(caught.value)
    if isinstance(source, str | Path):
        assert str(source) in str(caught.value)
    return str(caught.value)


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")


def forbid(path: Path, monkeypatch) -> None:
    """Takes away the right to read `path`, from the superuser too."""
    path.chmod(0)
    if os.geteuid() == 0:

        def refuse(real):
            def guarded(where, *args, **options):
                if os.fspath(where) == str(path):
                    raise PermissionError(errno.EACCES, "Permission denied", str(path))
                return real(where, *args, **options)

            return guarded

        monkeypatch.setattr(Path, "open", refuse(Path.open))
        monkeypatch.setattr(os, "scandir", refuse(os.scandir))
