"""Squares of RGB from any source: what is in them, the cache, and threads."""

import contextlib
import itertools
import threading
import time
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from pixace.errors import PixaceError
from pixace.images import load_square
from pixace.style import pictures as module
from pixace.style.pictures import load_pictures
from pixace.threads import in_threads


@pytest.fixture
def folder(tmp_path):
    """Seven pictures of several shapes."""
    random = np.random.default_rng(0)
    target = tmp_path / "photos"
    target.mkdir()
    for i in range(7):
        pixels = random.integers(0, 256, (20 + i, 30, 3), np.uint8)
        Image.fromarray(pixels).save(target / f"{i}.png")
    return target


@pytest.mark.parametrize("resize", ["crop", "squash", "pad"])
def test_each_picture_is_a_square_as_everywhere(folder, tmp_path, resize):
    found = load_pictures(folder, 12, resize=resize, cache=tmp_path / "cache")
    assert (found.rgb.shape, found.rgb.dtype, found.skipped) == ((7, 12, 12, 3), np.uint8, ())
    for i, square in enumerate(found.rgb):
        np.testing.assert_array_equal(square, load_square(folder / f"{i}.png", 12, resize=resize))


def test_archives_that_are_read_only_forward_give_the_same(folder, tmp_path):
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, file.name)
    of_folder, of_archive = (load_pictures(s, 12, cache=tmp_path / "cache") for s in (folder, tmp_path / "photos.zip"))
    np.testing.assert_array_equal(of_folder.rgb, of_archive.rgb)


def test_cache_is_used_until_the_source_changes(folder, tmp_path, monkeypatch):
    first = load_pictures(folder, 12, cache=tmp_path / "cache")
    monkeypatch.setattr(module, "load_square", None)
    np.testing.assert_array_equal(load_pictures(folder, 12, cache=tmp_path / "cache").rgb, first.rgb)
    monkeypatch.undo()
    (folder / "6.png").unlink()
    assert len(load_pictures(folder, 12, cache=tmp_path / "cache")) == 6
    assert len(list((tmp_path / "cache").glob("*.npy"))) == 2


def test_broken_pictures_are_left_out_and_told(folder, tmp_path):
    (folder / "3.png").write_bytes(b"no picture")
    (folder / "5.png").write_bytes((folder / "5.png").read_bytes()[:100])
    found = load_pictures(folder, 12, cache=tmp_path / "cache")
    assert len(found) == 5 and [name for name, _ in found.skipped] == ["3.png", "5.png"]
    np.testing.assert_array_equal(found.rgb[4], load_square(folder / "6.png", 12, resize="crop"))
    for file in folder.iterdir():
        file.write_bytes(b"")
    with pytest.raises(PixaceError, match=r"none of the 7 pictures in .*photos could be read"):
        load_pictures(folder, 12, cache=tmp_path / "cache")
    assert len(list((tmp_path / "cache").iterdir())) == 2  # nothing half done is left


def test_of_more_pictures_a_fair_sample_is_taken(folder, tmp_path):
    whole = load_pictures(folder, 12, cache=tmp_path / "cache").rgb
    some = load_pictures(folder, 12, most=3, cache=tmp_path / "cache").rgb
    places = [next(i for i in range(7) if np.array_equal(whole[i], square)) for square in some]
    assert len(set(places)) == 3 and places != [0, 1, 2]
    assert len(load_pictures(folder, 12, most=100, cache=tmp_path / "cache")) == 7


def test_a_batch_hangs_on_seed_and_step_alone(folder, tmp_path):
    found = load_pictures(folder, 12, cache=tmp_path / "cache")
    epoch = np.concatenate([found.batch(step, 1, seed=4) for step in range(7)])
    assert len({square.tobytes() for square in epoch}) == 7  # each once
    again = load_pictures(folder, 12, cache=tmp_path / "cache")
    np.testing.assert_array_equal(again.batch(1, 3, seed=4), epoch[3:6])
    assert not np.array_equal(again.batch(1, 3, seed=5), epoch[3:6])


def test_a_full_disk_is_told_before_anything_is_decoded(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(PixaceError, match=r"7 pictures of 12 x 12 pixels .* take 1.1 MB, but .* has 1.0 kB left"):
        load_pictures(folder, 12, cache=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_results_of_threads_come_in_order_and_only_a_few_ahead():
    taken, lock = [], threading.Lock()

    def work(i):
        time.sleep(0.01 * (i % 3 == 0))
        return i * i

    def items():
        for i in itertools.count():
            with lock:
                taken.append(i)
            yield i

    with contextlib.closing(in_threads(work, items(), 2)) as results:
        assert list(itertools.islice(results, 10)) == [i * i for i in range(10)]
    assert len(taken) <= 10 + 2 * 2
    assert not any("ThreadPool" in t.name for t in threading.enumerate())


def test_an_error_in_a_thread_is_the_callers(tmp_path: Path):
    with pytest.raises(ZeroDivisionError), contextlib.closing(in_threads(lambda i: 1 // i, [2, 1, 0, 1])) as results:
        list(results)
