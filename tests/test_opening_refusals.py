"""Opening: what cannot be opened, or is too large, ends soon, as one line."""

import concurrent.futures
import os
import resource
import struct
import time
import tracemalloc
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from pictures import failure, forbid, noise, smooth
from PIL import Image

from pixace.errors import PixaceError
from pixace.opening import MAX_PIXELS, open_picture


def huge_png(path: Path, edge: int) -> Path:
    """A sound PNG of edge x edge pixels, 1 bit each, in little memory."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    packer, row = zlib.compressobj(1), b"\0" * (1 + edge // 8)
    rows = b"".join(packer.compress(row) for _ in range(edge)) + packer.flush()
    header = struct.pack(">IIBBBBB", edge, edge, 1, 0, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b""))
    return path


def test_png_of_20000_by_20000_is_refused_at_once_with_little_memory(tmp_path):
    path = huge_png(tmp_path / "huge.png", 20_000)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    tracemalloc.start()
    start = time.monotonic()
    assert f"more than {MAX_PIXELS:,} pixels" in failure(path)
    assert time.monotonic() - start < 0.5
    assert tracemalloc.get_traced_memory()[1] < 10 * 2**20
    tracemalloc.stop()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < 100 * 2**10  # KiB; the pixels would take 400 MB


def test_limit_is_the_number_of_pixels_whatever_the_source(tmp_path):
    picture = smooth(20, 10)
    picture.save(tmp_path / "a.jpg")
    for source in (tmp_path / "a.jpg", (tmp_path / "a.jpg").read_bytes(), picture, np.array(picture)):
        assert open_picture(source, max_pixels=200).size == (20, 10)
        assert "more than 199 pixels" in failure(source, max_pixels=199)


def test_pillow_does_not_warn_below_our_limit(tmp_path, monkeypatch):
    smooth(100, 80).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 5000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert open_picture(tmp_path / "a.png").size == (100, 80)
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 3000)
        assert "more than 6,000 pixels" in failure(tmp_path / "a.png")


def test_threads_leave_the_warning_filters_as_they_were(tmp_path):
    smooth(64, 64).save(tmp_path / "a.jpg")
    before = list(warnings.filters)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(open_picture, [tmp_path / "a.jpg"] * 200))
    assert list(warnings.filters) == before


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.png", b"", "empty (0 bytes)"),
        ("text.jpg", b"These are words, not pixels.\n" * 9, "not a picture"),
        ("page.png", b"<!doctype html><html>", "not a picture"),
        ("start.png", b"\x89PNG\r\n\x1a\n", "not a picture"),
        ("print.eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", "not a picture"),
    ],
)
def test_file_that_is_no_picture_is_one_line_error(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    assert words in failure(tmp_path / name)
    assert words in failure(content)


@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "bmp", "tif"])
def test_truncated_file_is_one_line_error(tmp_path, ending):
    path = tmp_path / f"a.{ending}"
    Image.fromarray(noise(64, 64)).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert "cannot be decoded" in failure(path) or "not a picture" in failure(path)


def test_damaged_files_never_end_in_another_exception(tmp_path):
    random = np.random.default_rng(0)
    for ending in ("jpg", "png", "gif", "webp", "bmp", "tif"):
        path = tmp_path / f"a.{ending}"
        smooth(24, 16).save(path)
        sound = np.frombuffer(path.read_bytes(), np.uint8)
        for _ in range(60):
            damaged = sound.copy()
            damaged[random.integers(0, len(damaged), 8)] = random.integers(0, 256, 8)
            try:
                open_picture(damaged.tobytes(), max_pixels=2**20)
            except PixaceError as error:
                assert "\n" not in str(error)


def test_folder_missing_file_and_odd_names_are_one_line_errors(tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    os.mkfifo(tmp_path / "pipe")
    assert "is a folder" in failure(tmp_path)
    assert "does not exist" in failure(tmp_path / "missing.png")
    assert "cannot be opened" in failure(tmp_path / "file" / "a.png")
    assert "cannot be opened" in failure(str(tmp_path / ("x" * 300)))
    assert "not a picture file" in failure(tmp_path / "pipe")
    assert "not a picture file" in failure("/dev/null")
    assert failure("a\0b.png")
    assert failure("")


def test_file_that_may_not_be_read_is_one_line_error(tmp_path, monkeypatch):
    smooth(4, 4).save(tmp_path / "a.png")
    forbid(tmp_path / "a.png", monkeypatch)
    assert "Permission denied" in failure(tmp_path / "a.png")


def test_closed_pil_image_is_one_line_error(tmp_path):
    smooth(4, 4).save(tmp_path / "a.png")
    picture = Image.open(tmp_path / "a.png")
    picture.close()
    assert "cannot be decoded" in failure(picture)
    assert "no pixels" in failure(Image.new("RGB", (0, 4)))
