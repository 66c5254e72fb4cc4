"""Zip and tar archives: the same tokens as the unpacked folder, nothing on disk, no bombs, bad files listed."""

import contextlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from pictures import noise
from PIL import Image
from runs import OPTIONS

from pixace.config import TokenizerConfig, TrainConfig
from pixace.dataset import load_tokens
from pixace.errors import PixaceError
from pixace.progress import silent
from pixace.sources import archive, archive_files
from pixace.sources.finding import _ranges, find_source
from pixace.training.pictures import load_pictures

CONFIG = TokenizerConfig(image_size=8)
COUNT = 40
KINDS = ("zip", "tar", "tar.gz", "tgz")


def png(seed: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(noise(8, 8, seed=seed)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def folder(tmp_path):
    """COUNT pictures in two classes, with the same names in both, and files that cannot be read."""
    for i in range(COUNT):
        path = tmp_path / "pictures" / "ab"[i % 2] / "deep" / f"{i // 2:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(i))
    (path.parent / "text.jpg").write_text("hello")
    (path.parent / "empty.png").touch()
    (path.parent / "notes.txt").write_text("no picture")
    return tmp_path / "pictures"


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


def pack(folder: Path, kind: str, prefix: str = "") -> Path:
    """An archive of a folder beside it, in an order of its own."""
    target = folder.parent / f"{folder.name}.{kind}"
    files = sorted((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.name)
    if kind == "zip":
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as out:
            for path in files:
                out.write(path, f"{prefix}{path.relative_to(folder)}")
    else:
        with tarfile.open(target, "w" if kind == "tar" else "w:gz") as out:
            for path in files:
                out.add(path, f"{prefix}{path.relative_to(folder)}")
    return target


def pack_bytes(target: Path, files: list[tuple[str, bytes]]) -> Path:
    """An archive of these files, in this order."""
    if target.suffix == ".zip":
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as out:
            for name, content in files:
                out.writestr(name, content)
    else:
        with tarfile.open(target, "w:gz" if "gz" in target.suffix else "w") as out:
            for name, content in files:
                info = tarfile.TarInfo(name)
                info.size = len(content)
                out.addfile(info, io.BytesIO(content))
    return target


def names_in(path: Path | str) -> list[str]:
    source = find_source(path)
    source.count(silent)
    return sorted(picture.name for picture in source.pictures())


def refusal(path: Path | str, **options) -> str:
    with pytest.raises(PixaceError) as caught:
        load_tokens(path, CONFIG, **options)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    return str(caught.value)


@pytest.mark.subset
@pytest.mark.parametrize("kind", KINDS)
def test_an_archive_gives_what_its_unpacked_folder_gives(folder, cache, kind):
    plain = load_tokens(folder, CONFIG, cache=cache)
    prefix = "./" if kind == "tar" else ""  # as `tar -C folder .` writes it
    packed = load_tokens(pack(folder, kind, prefix), CONFIG, cache=cache)
    assert len(packed) == COUNT and np.array_equal(packed.tokens, plain.tokens)
    assert np.array_equal(packed.labels, plain.labels) and packed.classes == plain.classes == ("a", "b")
    assert [name for name, _ in packed.skipped] == [name for name, _ in plain.skipped]
    assert "not a picture" in packed.skipped[1][1] and "empty (0 bytes)" in packed.skipped[0][1]


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_unpacked_to_disk(folder, cache, kind, monkeypatch):
    file = pack(folder, kind)
    shutil.rmtree(folder)
    before = set(folder.parent.rglob("*"))
    monkeypatch.setattr(zipfile.ZipFile, "extractall", None)
    monkeypatch.setattr(tarfile.TarFile, "extractall", None)
    load_tokens(file, CONFIG, cache=cache)
    new = {path for path in folder.parent.rglob("*") if cache not in (path, *path.parents)} - before
    assert not new and len(list(cache.iterdir())) == 3


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_hidden_files_and_those_of_a_mac_are_left_out(tmp_path, kind):
    names = ["__MACOSX/a/._x.png", ".hidden/x.png", "a/.x.png", "a/x.png", "b\\y.png", "/c/z.PNG", "../d/up.png"]
    file = pack_bytes(tmp_path / f"a.{kind}", [(name, png(0)) for name in names])
    windows = "b/y.png" if kind == "zip" else "b\\y.png"
    assert names_in(file) == sorted(["a/x.png", windows, "c/z.PNG"])


@pytest.mark.parametrize("kind", ["zip", "tar", "tgz"])
def test_of_two_files_of_one_name_the_last_counts_as_in_unpacking(tmp_path, cache, kind):
    file = tmp_path / f"a.{kind}"
    with pytest.warns(UserWarning) if kind == "zip" else contextlib.nullcontext():
        pack_bytes(file, [("x.png", png(1)), ("y.png", png(2)), ("x.png", png(3))])
    one = pack_bytes(tmp_path / f"one.{kind}", [("y.png", png(2)), ("x.png", png(3))])
    found, wanted = (load_tokens(path, CONFIG, cache=cache).tokens for path in (file, one))
    assert np.array_equal(found, wanted)


def test_a_folder_round_all_folders_of_an_archive_is_no_class(folder, cache):
    for prefix in ("", "pictures/"):
        assert load_tokens(pack(folder, "zip", prefix), CONFIG, cache=cache).classes == ("a", "b")


def test_an_archive_that_changed_is_read_anew(folder, cache):
    file = pack(folder, "zip")
    first = load_tokens(file, CONFIG, cache=cache).tokens
    assert load_tokens(file, CONFIG, cache=cache).tokens.filename == first.filename
    state = file.stat()
    content = bytearray(file.read_bytes())
    file.write_bytes(content)  # the same bytes, another date
    os.utime(file, ns=(state.st_mtime_ns + 1, state.st_mtime_ns + 1))
    assert load_tokens(file, CONFIG, cache=cache).tokens.filename != first.filename
    os.utime(file, ns=(state.st_mtime_ns, state.st_mtime_ns))
    assert load_tokens(file, CONFIG, cache=cache).tokens.filename == first.filename
    (folder / "a" / "new.png").write_bytes(png(999))
    assert len(load_tokens(pack(folder, "zip"), CONFIG, cache=cache)) == COUNT + 1


def test_a_cached_archive_is_not_opened(folder, cache, monkeypatch):
    file = pack(folder, "tar.gz")
    load_tokens(file, CONFIG, cache=cache)
    monkeypatch.setattr(tarfile, "open", None)
    assert len(load_tokens(file, CONFIG, cache=cache)) == COUNT


def test_progress_counts_the_pictures_of_an_archive(folder, cache, monkeypatch):
    monkeypatch.setattr(archive, "REPORT_EVERY", 10)
    seen = []
    load_tokens(pack(folder, "tar.gz"), CONFIG, cache=cache, progress=lambda *event: seen.append(event))
    assert "MB listed" in seen[0][2] and all(done <= total for done, total, _ in seen)
    assert seen[-1] == (COUNT + 2, COUNT + 2, "2 skipped")


@pytest.mark.parametrize("kind", KINDS)
def test_archives_that_are_cut_or_no_archives_are_told_in_one_line(folder, cache, kind):
    file = pack(folder, kind)
    whole = file.read_bytes()
    for content in (whole[: len(whole) // 2], b"hello" * 1000, b""):
        file.write_bytes(content)
        assert "is it complete?" in refusal(file, cache=cache)
    assert not cache.exists() or not list(cache.iterdir())


@pytest.mark.parametrize("kind", ["tar", "tgz"])
def test_a_tar_that_is_damaged_in_its_middle_is_not_taken_for_a_shorter_one(tmp_path, cache, kind):
    plain = pack_bytes(tmp_path / "a.tar", [(f"{i}.png", png(i)) for i in range(8)])
    content = bytearray(plain.read_bytes())
    with tarfile.open(plain) as opened:
        at = opened.getmembers()[5].offset
    content[at : at + 512] = b"\xff" * 512
    file = tmp_path / f"b.{kind}"
    if kind == "tgz":
        import gzip

        file.write_bytes(gzip.compress(content))
    else:
        file.write_bytes(content)
    assert "damaged at a header" in refusal(file, cache=cache)


def test_a_damaged_or_locked_file_in_a_zip_is_listed(tmp_path, cache):
    file = pack_bytes(tmp_path / "a.zip", [("good.png", png(0)), ("bad.png", png(1)), ("locked.png", png(2))])
    content = bytearray(file.read_bytes())
    with zipfile.ZipFile(file) as opened:
        bad, locked = opened.getinfo("bad.png"), opened.getinfo("locked.png")
    at = bad.header_offset + 30 + len("bad.png") + 40
    content[at : at + 20] = bytes(20)
    content[locked.header_offset + 6] |= 1  # what says that a password is needed
    directory = content.index(b"PK\1\2", content.index(b"PK\1\2", content.index(b"PK\1\2") + 1) + 1)
    content[directory + 8] |= 1
    file.write_bytes(content)
    found = load_tokens(file, CONFIG, cache=cache)
    assert len(found) == 1
    assert [name for name, _ in found.skipped] == ["bad.png", "locked.png"]
    assert "damaged" in found.skipped[0][1] and "password" in found.skipped[1][1]


def test_links_inside_a_tar_are_listed(tmp_path, cache):
    file = tmp_path / "a.tar"
    with tarfile.open(file, "w") as out:
        info = tarfile.TarInfo("x.png")
        info.size = len(png(0))
        out.addfile(info, io.BytesIO(png(0)))
        for name, kind, target in (("s.png", tarfile.SYMTYPE, "/etc/passwd"), ("h.png", tarfile.LNKTYPE, "x.png")):
            link = tarfile.TarInfo(name)
            link.type, link.linkname = kind, target
            out.addfile(link)
    found = load_tokens(file, CONFIG, cache=cache)
    assert len(found) == 1 and [name for name, _ in found.skipped] == ["h.png", "s.png"]
    assert all("link inside the archive" in why for _, why in found.skipped)


@pytest.mark.parametrize("kind", KINDS)
def test_what_unpacks_to_far_more_than_pictures_do_is_not_read(tmp_path, cache, kind, monkeypatch):
    monkeypatch.setattr(archive_files, "BOMB_BYTES", 2**20)
    files = [(f"{i}.bmp", bytes(2**20)) for i in range(4)]
    file = pack_bytes(tmp_path / f"bomb.{kind}", files)
    if kind == "tar":  # not compressed, so it is what it says
        assert "none of the 4 pictures" in refusal(file, cache=cache)
    else:
        assert "unpacks to more than 200 times its size" in refusal(file, cache=cache)


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_too_large_for_a_picture_is_listed_and_not_read(tmp_path, cache, kind, monkeypatch):
    monkeypatch.setattr(archive_files, "MAX_BYTES", 5000)
    file = pack_bytes(tmp_path / f"a.{kind}", [("x.png", png(0)), ("large.png", bytes(5001))])
    found = load_tokens(file, CONFIG, cache=cache)
    assert found.skipped == (("large.png", "it is larger than the limit of 5,000 bytes"),)


def test_a_picture_of_too_many_pixels_in_an_archive_is_listed(tmp_path, cache):
    large = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(large, "PNG")
    file = pack_bytes(tmp_path / "a.zip", [("x.png", png(0)), ("large.png", large.getvalue())])
    found = load_tokens(file, CONFIG, cache=cache)
    assert len(found) == 1 and "pixels" in found.skipped[0][1]


def test_shards_of_webdataset_are_read_together_with_their_classes(tmp_path, cache):
    for shard in range(3):
        files = []
        for i in range(4):
            files += [(f"{i:04}.jpg", png(10 * shard + i)), (f"{i:04}.cls", b"%d\n" % (i % 3)), (f"{i:04}.json", b"{}")]
        pack_bytes(tmp_path / f"a-{shard:03}.tar", files)
    for pattern in ("a-{000..002}.tar", "a-{002..000}.tar", "a-*.tar"):
        found = load_tokens(f"{tmp_path}/{pattern}", CONFIG, cache=cache)
        assert len(found) == 12 and found.classes == ("0", "1", "2")
        assert np.bincount(found.labels).tolist() == [6, 3, 3]
    single = load_tokens(tmp_path / "a-001.tar", CONFIG, cache=cache)
    rows = [row.tobytes() for row in found.tokens]
    assert {row.tobytes() for row in single.tokens} < set(rows)
    label_of = dict(zip(rows, found.labels, strict=True))
    assert all(label_of[row.tobytes()] == label for row, label in zip(single.tokens, single.labels, strict=True))
    missing = f"{tmp_path}/a-{{000..003}}.tar"
    with pytest.raises(PixaceError, match=r"a-003\.tar does not exist"):
        load_tokens(missing, CONFIG)


def test_bad_files_whose_names_are_not_text_are_listed_too(tmp_path):
    name = b"caf\xe9.png".decode("utf8", "surrogateescape")
    file = pack_bytes(tmp_path / "a.tar", [(name, b"hello"), ("x.png", png(0))])
    log, said = tmp_path / "log", []
    load_pictures(TrainConfig(images=str(file)), CONFIG, log, said.append)
    assert "caf\\udce9.png: it is not a picture" in log.read_text("utf8") and len(said) == 3


def test_what_is_no_source_says_what_is(tmp_path):
    assert "does not exist" in refusal(tmp_path / "nowhere.zip")
    (tmp_path / "a.rar").touch()
    assert "tfds:NAME" in refusal(tmp_path / "a.rar")
    assert "no pictures" in refusal(pack_bytes(tmp_path / "a.zip", [("notes.txt", b"hello")]))
    (tmp_path / "folder.zip").mkdir()
    (tmp_path / "folder.zip" / "a.png").write_bytes(png(0))
    assert len(load_tokens(tmp_path / "folder.zip", CONFIG)) == 1  # a folder, whatever it is called


def test_training_on_archives_runs_end_to_end_and_goes_on(folder, tmp_path):
    images, val = pack(folder, "tar.gz"), pack(folder, "zip")
    options = {key: ",".join(map(str, v)) if isinstance(v, tuple) else v for key, v in OPTIONS.items()}
    options |= {"model_name": "m", "images": images.name, "val_images": val.name, "weights_dir": "w"}
    for steps in (2, 4):
        command = ["train", *(f"--{key}={value}" for key, value in options.items()), f"--n_steps={steps}"]
        done = subprocess.run(
            [sys.executable, "-m", "pixace.cli.main", *command],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
    assert "4, listed in" in done.stderr and "pictures.tar.gz/b/deep/text.jpg: " in done.stderr
    assert (tmp_path / "w" / "m" / "weights.safetensors").exists()


def test_the_python_api_takes_an_archive(folder, tmp_path):
    import pixace

    pixace.train("m", tmp_path / "w", images=pack(folder, "zip"), n_steps=1, say=lambda line: None, **OPTIONS)
    assert (tmp_path / "w" / "m" / "weights.safetensors").exists()


def test_check_takes_an_archive(folder, tmp_path, capsys):
    from pixace.training.check import check

    check(tmp_path, images=str(pack(folder, "tgz")), **OPTIONS)
    assert "overfitting" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("written", "numbers"),
    [("{008..010}", ["008", "009", "010"]), ("{8..10}", ["8", "9", "10"]), ("{00..2}", ["00", "01", "02"])],
)
def test_ranges_count_as_the_shell_does(written, numbers):
    told = subprocess.run(["bash", "-c", f"echo a-{written}.tar"], capture_output=True, text=True, check=True).stdout
    assert _ranges(f"a-{written}.tar") == told.split() == [f"a-{number}.tar" for number in numbers]


def test_a_home_that_nobody_has_is_a_path_that_is_not_there():
    assert "does not exist" in refusal("~nobody-of-that-name/a.zip")
