"""Pictures from any source as one uint8 memory map of squares, and the batch of each step.

Pictures are decoded once, in threads; the result lies in the cache folder under a name made from the state of their
source and from the size. Which of them a step sees is a pure function of the seed and the step.

Legend: N pictures, B batch, S edge in pixels.
"""

import contextlib
import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import PIL

from pixace.dataset import batch_at
from pixace.errors import PixaceError
from pixace.folders import cache_folder, write_atomically
from pixace.images import load_square
from pixace.progress import Progress, byte_count, silent
from pixace.sources.finding import find_source
from pixace.sources.source import Picture, Source, fair_order
from pixace.threads import in_threads

CACHE_VERSION = 1  # to be raised when the same source gives other squares, or a cache other files
SPARE_BYTES = 2**20  # of the disk that are left to others


@dataclass(frozen=True)
class PictureSet:
    """Squares of RGB.

    Attributes:
        rgb: uint8 (N, S, S, 3), perhaps a memory map.
        skipped: what could not be read: (name, reason).
    """

    rgb: np.ndarray
    skipped: tuple[tuple[str, str], ...] = ()

    def __len__(self) -> int:
        return len(self.rgb)

    def batch(self, step: int, batch_size: int, seed: int) -> np.ndarray:
        """The batch of a step (0, 1, ...): uint8 (B, S, S, 3); each picture comes once an epoch, in a new order."""
        return batch_at(self.rgb, step, batch_size=batch_size, seed=seed)


def load_pictures(
    source: str | os.PathLike,
    size: int,
    *,
    resize: str = "crop",
    most: int | None = None,
    cache: Path | None = None,
    progress: Progress = silent,
) -> PictureSet:
    """All pictures of a source as squares, from the cache if nothing changed.

    Args:
        source: a folder, archive, parquet file or `tfds:NAME`, as `pixace.sources.finding.find_source` takes it.
        size: S.
        resize: how a picture becomes square: crop, squash or pad, as in `pixace.images.square`.
        most: of more pictures only so many are taken: a fair sample, the same each time.
        cache: folder of the caches (default: `pictures` in pixace's cache folder).
        progress: gets the number of pictures that are done.

    Raises:
        PixaceError: if the source is missing, holds no picture that can be read, or does not fit on the disk.
    """
    found = find_source(source)
    settings = [CACHE_VERSION, PIL.__version__, size, resize, most]
    digest = hashlib.sha256(json.dumps(settings).encode() + b"\n" + os.fsencode(found.fingerprint()))
    base = (cache or cache_folder() / "pictures") / digest.hexdigest()[:32]
    cached = _read(base)
    if cached is None:
        _fill(base, found, size, resize, most, progress)
        cached = _read(base)
    if cached is None:
        raise PixaceError(f"{base}.npy was damaged while it was written; is another program working there?")
    return cached


def _read(base: Path) -> PictureSet | None:
    """A cache, or None if it is not there or not whole."""
    try:
        header = json.loads(base.with_suffix(".json").read_text())
        skipped = tuple((name, why) for name, why in header["skipped"])
        return PictureSet(np.load(base.with_suffix(".npy"), mmap_mode="r"), skipped)
    except (OSError, ValueError, KeyError, TypeError, EOFError):
        return None


def _fill(base: Path, source: Source, size: int, resize: str, most: int | None, progress: Progress) -> None:
    """Write a cache: the header comes last, each file in one step, so that a header means a whole cache."""
    total = source.count(progress)
    chosen: set[str] | None = None
    if most is not None and most < total:
        names = [picture.name for picture in source.pictures()]
        chosen = {names[i] for i in fair_order(names)[:most]}
        total = most
    _check_room(base.parent, source, total, size)
    skipped: list[tuple[str, str]] = []

    def read(picture: Picture) -> tuple[str, np.ndarray | PixaceError]:
        try:
            if isinstance(picture.content, PixaceError):
                raise picture.content
            return picture.name, load_square(picture.content, size, resize=resize)
        except PixaceError as error:
            return picture.name, error

    def write(path: Path) -> None:
        wanted = (picture for picture in source.pictures() if chosen is None or picture.name in chosen)
        with open(path, "w+b") as out, contextlib.closing(in_threads(read, wanted)) as squares:
            _write_header(out, (total, size, size, 3))
            done = 0
            for name, square in squares:
                if isinstance(square, PixaceError):
                    skipped.append((name, str(square)))
                else:
                    out.write(square.tobytes())
                    done += 1
                progress(done + len(skipped), total, f"{len(skipped)} skipped" if skipped else "")
            if not done:
                name, why = skipped[0]
                raise PixaceError(f"none of the {total} pictures in {source.text} could be read; {name}: {why}")
            out.seek(0)
            _write_header(out, (done, size, size, 3))

    write_atomically(base.with_suffix(".npy"), write)
    header = json.dumps({"source": source.text, "size": size, "resize": resize, "skipped": sorted(skipped)}, indent=1)
    write_atomically(base.with_suffix(".json"), lambda path: path.write_text(header))


def _write_header(out: IO[bytes], shape: tuple[int, ...]) -> None:
    """NumPy leaves room in it for the first number of the shape, so that it may be written again over itself."""
    np.lib.format.write_array_header_1_0(out, {"descr": "|u1", "fortran_order": False, "shape": shape})


def _check_room(folder: Path, source: Source, count: int, size: int) -> None:
    while not folder.exists():
        folder = folder.parent
    needed, free = count * size * size * 3 + SPARE_BYTES, shutil.disk_usage(folder).free
    if needed > free:
        raise PixaceError(
            f"{count:,} pictures of {size} x {size} pixels from {source.text} take {byte_count(needed)}, but "
            f"{folder} has {byte_count(free)} left; take fewer or smaller ones, or set $PIXACE_CACHE to another disk"
        )
