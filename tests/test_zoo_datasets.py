"""`pixace download --dataset=emoji`: every file is held against the manifest, and no archive can do harm."""

import gzip
import hashlib
import io
import os
import tarfile
import zipfile
from pathlib import Path

import pytest
from published import files_in
from serving import Answer
from test_cli import answer

from pixace.config import TokenizerConfig
from pixace.dataset import load_tokens
from pixace.errors import PixaceError
from pixace.sources import archive_files
from pixace.zoo import datasets, index
from pixace.zoo.datasets import download_dataset, manifest
from pixace.zoo.emoji import family, is_held_out

NAMES = [f"emoji_u{code:x}.png" for code in range(0x1F600, 0x1F614)]
CONTENT = {name: b"\x89PNG " + name.encode() for name in NAMES}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working folder and a cache of its own; the manifest is of twenty small files."""
    monkeypatch.setenv("PIXACE_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in CONTENT.items()}
    monkeypatch.setattr(datasets, "manifest", lambda dataset: sums)
    return tmp_path


def make_zip(members: dict[str, bytes], path: str = "a.zip") -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return Path(path)


def make_tar(members: dict[str, bytes], path: str = "a.tar.gz") -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return Path(path)


def released(content: dict[str, bytes]) -> dict[str, bytes]:
    """As a release of the repository has them: several sizes of the same names, and much else."""
    top = "noto-emoji-2.047/"
    sizes = {f"{top}png/{size}/{name}": data if size == 128 else b"other" for size in (32, 128, 512)
             for name, data in content.items()}  # fmt: skip
    return {f"{top}README.md": b"read me", f"{top}svg/emoji_u1f600.svg": b"<svg/>", **sizes}


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_an_archive_that_is_here_becomes_two_folders_split_by_family(here, capsys, make):
    archive = make(released(CONTENT))
    code, out, err = answer(capsys, "download", "--dataset=emoji", f"--archive={archive}", "--out=pictures/emoji")
    assert code == 0 and "all 20 files are as the manifest has them" in err
    held_out = {name for name in NAMES if is_held_out(name)}
    assert 0 < len(held_out) < 10
    expected = {f"{'val' if name in held_out else 'train'}/{name}" for name in NAMES} | {"report.txt"}
    assert files_in(here / "pictures" / "emoji") == expected
    assert all((here / "pictures/emoji" / n).read_bytes() == CONTENT[Path(n).name] for n in expected - {"report.txt"})
    assert f"{20 - len(held_out)} pictures in pictures/emoji/train, {len(held_out)} in pictures/emoji/val" in out
    assert answer(capsys, "download", "--dataset=emoji", "--out=pictures/emoji", "--offline")[0] == 0, "it is there"


def test_pictures_in_any_one_folder_are_taken(here):
    result = download_dataset("emoji", archive=make_zip({f"emoji/{n}": c for n, c in CONTENT.items()}))
    assert result.train + result.val == 20 == len(files_in(here / "emoji")) - 1


def test_files_that_differ_are_missing_or_new_are_counted_and_listed_and_not_fatal(here, capsys):
    content = dict(CONTENT)
    content[NAMES[3]] = b"redrawn"
    del content[NAMES[0]], content[NAMES[1]]
    content["emoji_u1fae9.png"] = content["emoji_u1fae8.png"] = b"later"
    code, _, err = answer(capsys, "download", "--dataset=emoji", f"--archive={make_tar(released(content))}")
    assert code == 0
    for told in (
        "17 of 20 files are as the manifest has them",
        f"1 differ from it and are taken all the same: {NAMES[3]}",
        f"2 are missing: {NAMES[0]}, {NAMES[1]}",
        "2 are not in it and are left out: emoji_u1fae8.png, emoji_u1fae9.png",
    ):
        assert told in err and told in (here / "emoji" / "report.txt").read_text()
    pictures = [name for name in files_in(here / "emoji") if name.endswith(".png")]
    assert len(pictures) == 18 and next((here / "emoji").rglob(NAMES[3])).read_bytes() == b"redrawn"


def test_long_lists_are_cut_on_the_screen_and_whole_in_the_report(here, capsys):
    _, _, err = answer(capsys, "download", "--dataset=emoji", f"--archive={make_zip({NAMES[0]: CONTENT[NAMES[0]]})}")
    assert "19 are missing" in err and "and 9 more, see report.txt" in err
    report = (here / "emoji" / "report.txt").read_text()
    assert all(name in report for name in NAMES[1:])


def test_the_archive_comes_from_its_address_once(server, here, monkeypatch, capsys):
    body = make_tar(released(CONTENT)).read_bytes()
    there = server.put("/pack", body, Answer(cut=100), Answer(ranges=False, length=-1))
    url = server.put("/v2.047.tar.gz", b"", always=Answer(status=302, location=there.replace("127.0.0.1", "localhost")))
    dataset = datasets.Dataset("emoji", "pictures", "Apache-2.0", url, "png/128", "", 0)
    monkeypatch.setattr(datasets, "datasets", lambda: {"emoji": dataset})
    code, _, err = answer(capsys, "download", "--dataset=emoji", "--offline")
    assert code == 1 and "--archive=FILE" in err and server.requests == []
    assert answer(capsys, "download", "--dataset=emoji", "--out=a")[0] == 0
    asked = len(server.requests)
    assert answer(capsys, "download", "--dataset=emoji", "--out=b", "--offline")[0] == 0
    assert len(server.requests) == asked and files_in(here / "a") == files_in(here / "b")


def test_an_archive_that_came_damaged_does_not_stay(server, here, monkeypatch, capsys):
    url = server.put("/v2.047.tar.gz", make_tar(released(CONTENT)).read_bytes()[:-200])
    dataset = datasets.Dataset("emoji", "pictures", "Apache-2.0", url, "png/128", "", 0)
    monkeypatch.setattr(datasets, "datasets", lambda: {"emoji": dataset})
    code, _, err = answer(capsys, "download", "--dataset=emoji")
    assert code == 1 and "removed from the cache" in err and len(err.splitlines()) == 1
    server.put("/v2.047.tar.gz", make_tar(released(CONTENT)).read_bytes())
    assert answer(capsys, "download", "--dataset=emoji")[0] == 0


# ---- archives that mean harm


def hostile_tar() -> Path:
    with tarfile.open("evil.tar.gz", "w:gz") as archive:

        def add(name: str, content: bytes = b"", **what) -> None:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            for key, value in what.items():
                setattr(info, key, value)
            archive.addfile(info, io.BytesIO(content))

        add(f"../../outside/{NAMES[0]}", CONTENT[NAMES[0]])
        add(f"/tmp/absolute-{os.getpid()}/{NAMES[1]}", CONTENT[NAMES[1]])
        add(f"x/{NAMES[2]}", type=tarfile.SYMTYPE, linkname="/etc/passwd")
        add(f"x/{NAMES[3]}", type=tarfile.LNKTYPE, linkname=f"../../outside/{NAMES[0]}")
        add(f"x/{NAMES[4]}", type=tarfile.FIFOTYPE)
        add(f"x/{NAMES[5]}", type=tarfile.CHRTYPE)
        add("../evil.sh", b"#!/bin/sh", mode=0o777)
    return Path("evil.tar.gz")  # fmt: skip


def hostile_zip() -> Path:
    path = make_zip({f"../../outside/{NAMES[0]}": CONTENT[NAMES[0]], f"/abs/{NAMES[1]}": CONTENT[NAMES[1]]}, "evil.zip")
    with zipfile.ZipFile(path, "a") as archive:
        link = zipfile.ZipInfo(f"x/{NAMES[2]}")
        link.create_system, link.external_attr = 3, 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    return path


@pytest.mark.parametrize("make", [hostile_tar, hostile_zip])
def test_no_path_leaves_the_folder_and_no_link_is_followed(here, make):
    inside = here / "deep" / "down"
    inside.mkdir(parents=True)
    result = download_dataset("emoji", inside / "emoji", archive=make())
    assert result.train + result.val == 2, "only the two regular files"
    pictures = sorted(path for path in here.rglob("*") if path.name in NAMES)
    assert [p.name for p in pictures] == NAMES[:2] and all(inside / "emoji" in p.parents for p in pictures)
    assert not any(path.is_symlink() for path in here.rglob("*")) and not list(here.rglob("evil.sh"))
    assert not Path(f"/tmp/absolute-{os.getpid()}").exists()


def test_a_picture_that_unpacks_to_too_much_is_refused(here, capsys):
    with zipfile.ZipFile("a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(NAMES[0], bytes(50 * 2**20))
    code, _, err = answer(capsys, "download", "--dataset=emoji", "--archive=a.zip")
    assert code == 1 and "larger than the limit of 1,048,576 bytes" in err and not (here / "emoji").exists()


def test_an_archive_of_too_much_is_refused(here, monkeypatch):
    for name, most in (("MOST_ENTRIES", 10), ("BOMB_BYTES", 100)):
        with monkeypatch.context() as patch:
            patch.setattr(archive_files, name, most)
            patch.setattr(archive_files, "BOMB_RATIO", 0)
            for make in (make_zip, make_tar):
                with pytest.raises(PixaceError, match="unpacks to more than"):
                    download_dataset("emoji", archive=make(CONTENT))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Path("none.zip"), "none.zip does not exist"),
        (lambda: Path("."), "is a folder"),
        (lambda: Path("a.zip").write_bytes(b"nothing") and Path("a.zip"), "cannot be read to its end"),
        (lambda: Path("a.gz").write_bytes(gzip.compress(b"x" * 99)) and Path("a.gz"), "cannot be read to its end"),
        (lambda: (p := make_zip(CONTENT)).write_bytes(p.read_bytes()[:-30]) and p, "cannot be read to its end"),
        (lambda: (p := make_tar(CONTENT)).write_bytes(p.read_bytes()[:-200]) and p, "cannot be read to its end"),
        (lambda: make_zip({"a.txt": b"x"}), "holds none of the pictures"),
        (lambda: make_zip({f"{d}/{NAMES[0]}": b"x" for d in "ab"}), f"two pictures of the name {NAMES[0]}"),
    ],
)
def test_what_is_no_archive_of_pictures_is_told_in_a_line_and_leaves_nothing(here, capsys, make, said):
    code, out, err = answer(capsys, "download", "--dataset=emoji", f"--archive={make()}")
    assert code == 1 and out == "" and said in err and len(err.splitlines()) == 1, err
    assert not [path for path in here.iterdir() if path.is_dir() and path.name != "cache"]


def test_a_folder_with_something_else_in_it_is_left_alone(here, capsys):
    (here / "emoji").mkdir()
    (here / "emoji" / "mine.txt").write_text("mine")
    code, _, err = answer(capsys, "download", "--dataset=emoji", f"--archive={make_zip(CONTENT)}")
    assert code == 1 and "emoji holds other files already" in err and files_in(here / "emoji") == {"mine.txt"}


# ---- the real set


def test_the_manifest_in_the_package_is_of_whole_families(capsys):
    sums = manifest(index.datasets()["emoji"])
    assert len(sums) == 3583 and all(datasets.PICTURE.fullmatch(name) for name in sums)
    assert all(len(text) == 64 for text in sums.values())
    sides = {side: {family(name) for name in sums if is_held_out(name) == side} for side in (True, False)}
    assert not sides[True] & sides[False]


def test_the_real_archive_agrees_with_the_manifest_in_full(shared, tmp_path):
    result = download_dataset("emoji", tmp_path / "emoji", archive=shared / "data" / "emoji.zip")
    assert (result.train + result.val, result.different, result.missing, result.new) == (3583, [], [], [])
    assert result.report() == ["all 3,583 files are as the manifest has them"]
    counts = [len(list((tmp_path / "emoji" / side).iterdir())) for side in ("train", "val")]
    assert counts == [result.train, result.val] == [3179, 404]
    tokens = load_tokens(tmp_path / "emoji" / "val", TokenizerConfig(image_size=8), cache=tmp_path)
    assert len(tokens.tokens) == 404 and not tokens.skipped, "and `train` can read them"


def test_an_archive_is_known_by_its_content_where_its_name_does_not_tell(here):
    archive = make_zip({f"emoji/{n}": c for n, c in CONTENT.items()}, "release-2.047")
    assert download_dataset("emoji", archive=archive).train > 0
