"""The scripts that make what comes with pixace: each runs, and makes the same again."""

import gzip
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pixace.zoo.datasets import manifest
from pixace.zoo.index import datasets

SCRIPTS = Path(__file__).parent.parent / "scripts"


def run(script: str, *arguments: str | Path) -> str:
    """What a script prints."""
    command = [sys.executable, SCRIPTS / script, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize("script", sorted(path.name for path in SCRIPTS.glob("*.py")))
def test_every_script_says_what_it_takes(script):
    assert "usage:" in run(script, "--help")


def test_a_manifest_is_made_of_the_pictures_of_an_archive(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("png/128/emoji_u1f600.png", b"one")
        archive.writestr("png/128/emoji_u1f601.png", b"two")
        archive.writestr("png/32/emoji_u1f600.png", b"another size")
        archive.writestr("README", b"no picture")
    run("make_manifest.py", "emoji", tmp_path / "a.zip", "--out", tmp_path / "m.gz")
    names = [line.split("  ")[1] for line in gzip.decompress((tmp_path / "m.gz").read_bytes()).decode().splitlines()]
    assert names == ["emoji_u1f600.png", "emoji_u1f601.png"]


def test_the_manifest_that_comes_with_pixace_is_made_again(shared, tmp_path):
    run("make_manifest.py", "emoji", shared / "data" / "emoji.zip", "--out", tmp_path / "m.gz")
    lines = gzip.decompress((tmp_path / "m.gz").read_bytes()).decode().splitlines()
    assert dict(reversed(line.split("  ")) for line in lines) == manifest(datasets()["emoji"])


def test_varied_copies_keep_the_picture_and_begin_with_it(tmp_path):
    folder, out = tmp_path / "pictures", tmp_path / "varied"
    folder.mkdir()
    pixels = np.zeros((40, 40, 4), np.uint8)
    pixels[4:36, 4:36] = (200, 10, 10, 255)
    Image.fromarray(pixels).save(folder / "red.png")
    run("vary_pictures.py", folder, out, "--copies=4")
    first, *others = (np.asarray(Image.open(out / f"red-{i}.png")) for i in range(4))
    assert (first == pixels).all()
    for copy in others:
        assert copy.shape == pixels.shape and (copy != pixels).any()
        assert 0.6 * 32**2 < (copy[..., 3] > 127).sum() <= 32**2


def test_varied_copies_of_any_pictures_in_folders_or_none_is_an_error(tmp_path):
    (tmp_path / "pictures" / "a").mkdir(parents=True)
    Image.new("RGB", (30, 20), "blue").save(tmp_path / "pictures" / "a" / "sea.JPG")
    run("vary_pictures.py", tmp_path / "pictures", tmp_path / "one", "--copies=3")
    Image.new("RGB", (30, 20), "red").save(tmp_path / "pictures" / "a.png")
    run("vary_pictures.py", tmp_path / "pictures", tmp_path / "two", "--copies=3")
    for i in range(3):
        name = f"a/sea-{i}.png"
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    (tmp_path / "empty").mkdir()
    with pytest.raises(subprocess.CalledProcessError) as error:
        run("vary_pictures.py", tmp_path / "empty", tmp_path / "three")
    assert "no pictures" in error.value.stderr and "Traceback" not in error.value.stderr
