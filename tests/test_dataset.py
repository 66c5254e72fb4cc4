"""Folders of pictures: tokenised once, in parallel, into a cache that is whole or absent; batches are a function."""

import os
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from pictures import noise, smooth
from PIL import Image

from pixace.config import TokenizerConfig
from pixace.dataset import TokenSet, batch_at, load_tokens, split
from pixace.errors import PixaceError
from pixace.tokenizer import Tokenizer

CONFIG = TokenizerConfig(image_size=8)
COUNT = 40


@pytest.fixture
def folder(tmp_path):
    """COUNT different pictures in two classes, with the same names in both."""
    for i in range(COUNT):
        path = tmp_path / "pictures" / "ab"[i % 2] / f"{i // 2:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise(8, 8, seed=i)).save(path)
    return tmp_path / "pictures"


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def reads(monkeypatch):
    """The names of the files that were decoded, in a list that grows."""
    names, read = [], Tokenizer.read
    monkeypatch.setattr(Tokenizer, "read", lambda self, path: (names.append(path.name), read(self, path))[1])
    return names


def rows(tokens) -> Counter:
    return Counter(row.tobytes() for row in np.asarray(tokens))


def expected_rows(folder, config=CONFIG) -> Counter:
    return rows([Tokenizer(config).encode(path) for path in folder.rglob("*.png")])


@pytest.mark.subset
def test_every_picture_is_in_the_memory_map_once_also_with_equal_names(folder, cache):
    found = load_tokens(folder, CONFIG, cache=cache)
    assert isinstance(found.tokens, np.memmap) and found.tokens.dtype == np.uint16
    assert found.tokens.shape == (COUNT, 64) and len(found) == COUNT and found.skipped == ()
    assert rows(found.tokens) == expected_rows(folder)


def test_training_tokens_of_a_jpeg_equal_those_of_a_prompt(tmp_path, cache):
    for i, size in enumerate([(512, 512), (300, 700), (40, 30)]):
        (tmp_path / str(i)).mkdir()
        path = tmp_path / str(i) / "a.jpg"
        smooth(*size).save(path, quality=90)
        for options in ({}, {"exact": True}, {"resize": "crop"}, {"tokenizer": "rgb"}):
            config = TokenizerConfig(image_size=32, **options)
            assert np.array_equal(
                load_tokens(path.parent, config, cache=cache).tokens[0], Tokenizer(config).encode(path)
            )


def test_second_call_decodes_nothing(folder, cache, reads):
    first = load_tokens(folder, CONFIG, cache=cache)
    assert len(reads) == COUNT
    second = load_tokens(str(folder), CONFIG, cache=cache)
    assert len(reads) == COUNT and np.array_equal(first.tokens, second.tokens)


def test_changed_and_added_pictures_and_another_tokenizer_make_a_new_cache(folder, cache, reads):
    load_tokens(folder, CONFIG, cache=cache)

    def decoded_again(config=CONFIG) -> int:
        reads.clear()
        tokens, count = load_tokens(folder, config, cache=cache).tokens, len(reads)
        assert rows(tokens) == expected_rows(folder, config)
        return count

    assert decoded_again() == 0
    changed = folder / "a" / "00.png"
    Image.fromarray(noise(8, 8, seed=1000)).save(changed)
    os.utime(changed, ns=(1, 1))
    assert decoded_again() == COUNT
    Image.fromarray(noise(8, 8, seed=1001)).save(folder / "new.png")
    assert decoded_again() == COUNT + 1
    (folder / "new.png").rename(folder / "renamed.png")
    assert decoded_again() == COUNT + 1
    (folder / "renamed.png").unlink()
    assert decoded_again() == 0  # as it was before
    assert decoded_again(TokenizerConfig(image_size=8, bitdepth=(4, 3, 3))) == COUNT
    assert decoded_again(TokenizerConfig(image_size=8, tokenizer="rgb")) == COUNT
    assert decoded_again(TokenizerConfig(image_size=4)) == COUNT


def test_unreadable_files_are_left_out_and_listed_also_from_the_cache(folder, cache):
    (folder / "b" / "text.jpg").write_text("hello")
    (folder / "a" / "empty.png").touch()
    whole = (folder / "a" / "00.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    for _ in range(2):
        found = load_tokens(folder, CONFIG, cache=cache)
        assert len(found) == COUNT
        assert [name for name, _ in found.skipped] == ["a/empty.png", "b/text.jpg", "cut.png"]
        assert "empty (0 bytes)" in found.skipped[0][1] and "not a picture" in found.skipped[1][1]


def test_a_file_that_goes_while_it_is_read_is_listed(folder, cache, monkeypatch):
    gone, read = folder / "a" / "00.png", Tokenizer.read

    def remove_first(self, path):
        gone.unlink(missing_ok=True)
        return read(self, path)

    monkeypatch.setattr(Tokenizer, "read", remove_first)
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    assert [name for name, _ in load_tokens(folder, CONFIG, cache=cache).skipped] == ["a/00.png"]


def test_missing_empty_and_unreadable_folders_say_what_is_wrong(tmp_path, cache):
    with pytest.raises(PixaceError, match="nowhere"):
        load_tokens(tmp_path / "nowhere", CONFIG, cache=cache)
    (tmp_path / "void").mkdir()
    with pytest.raises(PixaceError, match=r"no pictures .*void"):
        load_tokens(tmp_path / "void", CONFIG, cache=cache)
    (tmp_path / "void" / "a.jpg").write_text("hello")
    with pytest.raises(
        PixaceError, match=r"none of the 1 pictures in .*void could be read; the first: a\.jpg: it is not"
    ):
        load_tokens(tmp_path / "void", CONFIG, cache=cache)
    assert list(cache.rglob("*")) == []
    (tmp_path / "file").touch()
    Image.new("RGB", (8, 8)).save(tmp_path / "void" / "b.png")
    with pytest.raises(PixaceError, match="cannot write"):
        load_tokens(tmp_path / "void", CONFIG, cache=tmp_path / "file")


def test_progress_counts_files_and_says_how_many_were_skipped(folder, cache):
    (folder / "text.jpg").write_text("hello")
    seen = []
    load_tokens(folder, CONFIG, cache=cache, progress=lambda *event: seen.append(event))
    done = [event[0] for event in seen]
    assert len(seen) > 1 and done == sorted(done) and seen[-1] == (COUNT + 1, COUNT + 1, "1 skipped")


def test_pictures_are_decoded_in_parallel(folder, cache, monkeypatch):
    meeting, read, waited = threading.Barrier(2), Tokenizer.read, threading.local()

    def meet(self, path):
        if not getattr(waited, "once", False):
            waited.once = True
            meeting.wait(timeout=20)  # breaks if the other thread never comes
        return read(self, path)

    monkeypatch.setattr(Tokenizer, "read", meet)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    assert len(load_tokens(folder, CONFIG, cache=cache)) == COUNT


def test_threads_that_build_one_cache_at_once_all_succeed(folder, cache):
    start = threading.Barrier(4)

    def build(_):
        start.wait()
        return load_tokens(folder, CONFIG, cache=cache).tokens

    with ThreadPoolExecutor(4) as threads:
        results = list(threads.map(build, range(4)))
    assert all(np.array_equal(result, results[0]) for result in results)
    assert rows(results[0]) == expected_rows(folder)
    assert sorted(path.suffix for path in cache.iterdir()) == [".json", ".npy", ".npy"]


def test_processes_that_build_one_cache_at_once_all_succeed(folder, cache):
    code = (
        "import sys; from pathlib import Path; from pixace.config import TokenizerConfig as C;"
        "from pixace.dataset import load_tokens; sys.stdin.readline();"
        "print(len(load_tokens(sys.argv[1], C(image_size=8), cache=Path(sys.argv[2]))))"
    )
    command = [sys.executable, "-c", code, str(folder), str(cache)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(command, **pipes) for _ in range(2)]
    answers = []
    with ThreadPoolExecutor(2) as threads:
        answers = list(threads.map(lambda process: process.communicate("go\n", timeout=60), processes))
    assert answers == [(f"{COUNT}\n", "")] * 2
    assert rows(load_tokens(folder, CONFIG, cache=cache).tokens) == expected_rows(folder)


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_an_interrupted_build_stops_and_leaves_nothing(folder, cache, reads, monkeypatch, error):
    read = Tokenizer.read
    monkeypatch.setattr(Tokenizer, "read", lambda self, path: (time.sleep(0.01), read(self, path))[1])
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    monkeypatch.setattr("pixace.tokenising.CHUNK", 1)

    def interrupt(*event):
        raise error

    with pytest.raises((KeyboardInterrupt, PixaceError)):
        load_tokens(folder, CONFIG, cache=cache, progress=interrupt)
    assert len(reads) < COUNT // 2
    assert list(cache.iterdir()) == []
    assert len(load_tokens(folder, CONFIG, cache=cache)) == COUNT


@pytest.mark.parametrize("fault", ["no header", "half a header", "no tokens", "half the tokens", "half the labels"])
def test_a_cache_that_is_not_whole_is_made_again(folder, cache, fault):
    whole = np.array(load_tokens(folder, CONFIG, cache=cache).tokens)
    ending = ".json" if "header" in fault else ".facts.npy" if "labels" in fault else ".npy"
    file = next(path for path in cache.iterdir() if "".join(path.suffixes) == ending)
    content = file.read_bytes()
    file.unlink()
    if "half" in fault:
        file.write_bytes(content[: len(content) // 2])
    assert np.array_equal(load_tokens(folder, CONFIG, cache=cache).tokens, whole)


def test_the_order_of_pictures_hangs_on_their_names_alone(folder, cache):
    before = [row.tobytes() for row in load_tokens(folder, CONFIG, cache=cache).tokens]
    Image.fromarray(noise(8, 8, seed=1001)).save(folder / "a" / "new.png")
    after = [row.tobytes() for row in load_tokens(folder, CONFIG, cache=cache).tokens]
    assert [row for row in after if row in before] == before
    folder.rename(folder.parent / "moved")
    moved = [row.tobytes() for row in load_tokens(folder.parent / "moved", CONFIG, cache=cache).tokens]
    assert moved == after
    first_class = rows([Tokenizer(CONFIG).encode(path) for path in (folder.parent / "moved/a").iterdir()])
    assert 0 < sum(row in first_class for row in after[:10]) < 10  # any part is a fair sample of both classes


@pytest.mark.subset
def test_split_is_disjoint_complete_and_the_same_each_time(folder, cache):
    found = load_tokens(folder, CONFIG, cache=cache)
    train, val = split(found, 0.2)
    assert (len(train), len(val)) == (32, 8)
    assert rows(train.tokens) + rows(val.tokens) == rows(found.tokens)
    assert not rows(train.tokens) & rows(val.tokens)
    again = split(load_tokens(folder, CONFIG, cache=cache), 0.2)
    assert np.array_equal(again[1].tokens, val.tokens)
    assert np.shares_memory(train.tokens, found.tokens) and np.shares_memory(val.tokens, found.tokens)


def test_split_keeps_the_list_of_skipped_files_on_one_side():
    train, val = split(TokenSet(np.zeros((4, 1), np.uint16), (("a.jpg", "why"),)), 0.5)
    assert train.skipped == (("a.jpg", "why"),) and val.skipped == ()


@pytest.mark.parametrize("count, fraction", [(10, 0.01), (10, 0.99), (1, 0.5), (10, 0.0)])
def test_split_refuses_an_empty_side(count, fraction):
    with pytest.raises(PixaceError, match=f"--val_fraction={fraction} of {count} pictures leaves one side empty"):
        split(TokenSet(np.zeros((count, 1), np.uint16)), fraction)


def numbered(count: int, width: int = 4) -> np.ndarray:
    """Pictures of 4 x 4 tokens, all different: (count, 16)."""
    return np.arange(count * width**2, dtype=np.uint16).reshape(count, -1)


def stream(tokens, steps, **options) -> np.ndarray:
    """Which pictures the steps see, one after another."""
    batches = np.concatenate([batch_at(tokens, step, **options) for step in range(steps)])
    assert batches.dtype == np.uint16
    return batches.min(axis=1) // tokens.shape[1]


@pytest.mark.parametrize("batch_size", [1, 4, 7, 12, 30])
def test_every_picture_comes_once_an_epoch_in_a_new_order(batch_size):
    tokens = numbered(12)
    seen = stream(tokens, 12 * 5, batch_size=batch_size, seed=3)
    epochs = seen.reshape(-1, 12)
    assert (np.sort(epochs, axis=1) == np.arange(12)).all()
    assert len({epoch.tobytes() for epoch in epochs}) == len(epochs)
    assert not np.array_equal(seen[:12], stream(tokens, 12, batch_size=1, seed=4))
    assert np.array_equal(seen[:60], stream(tokens, 60, batch_size=1, seed=3))  # the size of a batch changes nothing


def test_a_batch_is_a_pure_function_of_seed_and_step():
    tokens = numbered(50)
    options = {"batch_size": 8, "seed": 5, "flip": True, "width": 4}
    forward = [batch_at(tokens, step, **options) for step in range(20)]
    for step in (19, 3, 11, 3):
        assert np.array_equal(batch_at(tokens, step, **options), forward[step])
    assert np.array_equal(tokens, numbered(50))  # nothing was mirrored in place


def test_flipped_tokens_are_those_of_the_mirrored_picture():
    pictures, tokenizer = np.stack([noise(8, 8, seed=i) for i in range(20)]), Tokenizer(CONFIG)
    plain = tokenizer.encode_rgb(pictures).reshape(20, -1)
    mirrored = tokenizer.encode_rgb(pictures[:, :, ::-1]).reshape(20, -1)
    options = {"batch_size": 20, "seed": 0}
    straight, flipped = (batch_at(plain, 0, **options), batch_at(plain, 0, **options, flip=True, width=8))
    which = [int(np.flatnonzero((plain == row).all(axis=1))[0]) for row in straight]  # flips are off by default
    for row, i in zip(flipped, which, strict=True):
        assert np.array_equal(row, plain[i]) or np.array_equal(row, mirrored[i])
    assert 0 < (flipped == plain[which]).all(axis=1).sum() < 20
    assert np.array_equal(batch_at(plain, 0, **options, flip=True), flipped)  # square is the default


def test_about_half_of_the_pictures_are_flipped_and_not_always_the_same():
    tokens = numbered(2000)
    sides = []
    for epoch in range(2):
        batch = batch_at(tokens, epoch, batch_size=2000, seed=1, flip=True, width=4)
        sides.append((batch[:, 0] > batch[:, 3])[np.argsort(batch.min(axis=1))])
        assert 0.45 < sides[-1].mean() < 0.55
    assert 0.45 < (sides[0] == sides[1]).mean() < 0.55


@pytest.mark.parametrize("flip", [False, True])
def test_batches_come_at_100_000_rows_a_second(tmp_path, flip):
    np.save(tmp_path / "tokens.npy", np.zeros((20_000, 1024), np.uint16))
    tokens, rates = np.load(tmp_path / "tokens.npy", mmap_mode="r"), []
    for attempt in range(5):
        started = time.perf_counter()
        for step in range(40 * attempt, 40 * (attempt + 1)):
            batch_at(tokens, step, batch_size=128, seed=0, flip=flip, width=32)
        rates.append(40 * 128 / (time.perf_counter() - started))
    assert max(rates) >= 100_000


def test_a_folder_inside_may_be_left_out(tmp_path):
    for name, colour in (("a.png", "red"), ("b.png", "blue"), ("val/c.png", "lime")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (4, 4), colour).save(tmp_path / name)
    config = TokenizerConfig(image_size=2)
    assert len(load_tokens(tmp_path, config)) == 3
    assert len(load_tokens(tmp_path, config, without=tmp_path / "val")) == 2
    with pytest.raises(PixaceError, match="left out"):
        load_tokens(tmp_path / "val", config, without=tmp_path)
