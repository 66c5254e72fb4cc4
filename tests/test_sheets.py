"""Sheets and animations show their tiles; files are written whole or not at all, and keep their metadata."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pictures import GREYS, noise, pixels, smooth, touch
from PIL import Image, PngImagePlugin

import pixace.sheets
from pixace.errors import ConfigError, PixaceError
from pixace.opening import open_picture
from pixace.sheets import read_metadata, save_animation, save_picture, sheet

# Sheets


def test_sheet_is_a_grid_of_tiles_with_black_borders():
    tiles = [noise(6, 6, seed) for seed in range(3)]
    picture = sheet([[tiles[0], tiles[1]], [None, tiles[2]], [tiles[1]]], scale=8)
    assert (picture.mode, picture.size) == ("RGB", (16, 24))
    expected = np.zeros((24, 16, 3), np.uint8)
    for (row, column), tile in {(0, 0): 0, (0, 1): 1, (1, 1): 2, (2, 0): 1}.items():
        expected[row * 8 + 1 : row * 8 + 7, column * 8 + 1 : column * 8 + 7] = tiles[tile]
    np.testing.assert_array_equal(np.array(picture), expected)


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic", "lanczos"])
def test_sheet_scales_each_bordered_tile_as_pillow_does(interpolation):
    tile = noise(4, 6)
    picture = sheet([[tile, tile]], scale=100, interpolation=interpolation)
    assert picture.size == (200, 75)
    bordered = Image.fromarray(np.pad(tile, ((1, 1), (1, 1), (0, 0))))
    expected = np.array(bordered.resize((100, 75), Image.Resampling[interpolation.upper()]))
    np.testing.assert_array_equal(np.array(picture), np.hstack([expected, expected]))


@pytest.mark.parametrize(
    ("rows", "options", "kind", "words"),
    [
        ([], {}, PixaceError, "none at all"),
        ([[None]], {}, PixaceError, "none at all"),
        ([[noise(4, 4), noise(4, 5)]], {}, PixaceError, r"\(4, 5, 3\)"),
        ([[noise(0, 4)]], {}, PixaceError, r"\(0, 4, 3\)"),
        ([[GREYS]], {}, PixaceError, r"\(8, 8\)"),
        ([[noise(4, 4) / 255]], {}, PixaceError, "float64"),
        ([[noise(4, 4)]], {"interpolation": "magic"}, ConfigError, "magic"),
        ([[noise(4, 4)]], {"scale": 0}, ConfigError, "scale=0"),
    ],
)
def test_impossible_sheet_is_a_clear_error(rows, options, kind, words):
    with pytest.raises(kind, match=words):
        sheet(rows, **options)


# Files


@pytest.mark.parametrize("ending", ["png", "jpg", "JPEG", "webp"])
def test_saved_picture_and_its_metadata_read_back(tmp_path, ending):
    metadata = {"seed": "7", "model": "ü 漢字", "long": "x" * 20_000}
    path = save_picture(smooth(20, 10), tmp_path / "new" / "folder" / f"a.{ending}", metadata=metadata)
    assert path == tmp_path / "new" / "folder" / f"a.{ending}"
    assert read_metadata(path) == metadata
    assert np.abs(pixels(path).astype(int) - np.array(smooth(20, 10))).max() <= (0 if ending in ("png", "webp") else 40)
    assert os.listdir(path.parent) == [path.name]


def test_formats_without_metadata_do_without(tmp_path):
    assert read_metadata(save_picture(smooth(4, 4), tmp_path / "a.bmp", metadata={"seed": "7"})) == {}
    assert read_metadata(save_picture(smooth(4, 4), tmp_path / "a.png")) == {}
    for words in ("a camera's words", '["a list"]', '{"seed": 7}'):
        exif = Image.Exif()
        exif[0x010E] = words
        smooth(4, 4).save(tmp_path / "a.jpg", exif=exif)
        assert read_metadata(tmp_path / "a.jpg") == {}


def test_texts_of_other_programs_are_read_too(tmp_path):
    texts = PngImagePlugin.PngInfo()
    texts.add_itxt("Title", "ü", zip=True)
    smooth(4, 4).save(tmp_path / "a.png", pnginfo=texts)
    assert read_metadata(tmp_path / "a.png") == {"Title": "ü"}


@pytest.mark.parametrize("name", ["a.xyz", "a", "a.txt"])
def test_unknown_ending_is_a_config_error(tmp_path, name):
    with pytest.raises(ConfigError, match=r"use \.png"):
        save_picture(smooth(4, 4), tmp_path / name)
    assert not any(tmp_path.iterdir())


def test_saved_file_has_the_usual_rights(tmp_path):
    touch(tmp_path, "usual")
    path = save_picture(smooth(4, 4), tmp_path / "a.png")
    assert path.stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_full_disk_leaves_the_old_file_and_no_half_one(tmp_path):
    path = save_picture(smooth(4, 4), tmp_path / "a.png")
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with pytest.raises(PixaceError, match=r"cannot write .*a\.png: File too large"):
            save_picture(Image.fromarray(noise(200, 200)), path)
        with pytest.raises(PixaceError, match=r"cannot write .*a\.gif: File too large"):
            save_animation([noise(200, 200)] * 2, tmp_path / "a.gif", scale=400)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert os.listdir(tmp_path) == ["a.png"] and path.read_bytes() == before


def test_file_is_replaced_in_one_step_not_rewritten(tmp_path):
    path = save_picture(smooth(4, 4), tmp_path / "a.png")
    before = path.read_bytes()
    (tmp_path / "same file").hardlink_to(path)
    save_picture(smooth(8, 8), path)
    assert open_picture(path).size == (8, 8)
    assert (tmp_path / "same file").read_bytes() == before


def test_unwritable_place_is_an_error(tmp_path):
    touch(tmp_path, "file")
    (tmp_path / "taken.png" / "inside").mkdir(parents=True)
    for path in (tmp_path / "file" / "a.png", tmp_path / "taken.png"):
        with pytest.raises(PixaceError, match="cannot write"):
            save_picture(smooth(4, 4), path)
    with pytest.raises(PixaceError, match="cannot write"):
        save_picture(smooth(4, 4).convert("RGBA"), tmp_path / "a.jpg")
    with pytest.raises(PixaceError, match=r"cannot write .*a\.jpg: EXIF data is too long"):
        save_picture(smooth(4, 4), tmp_path / "a.jpg", metadata={"long": "x" * 70_000})
    assert sorted(os.listdir(tmp_path)) == ["file", "taken.png"]


# Animations


@pytest.mark.parametrize("ending", ["gif", "webp", "png"])
def test_animation_holds_its_last_frame_and_keeps_its_pixels(tmp_path, ending):
    frames = [noise(4, 6, seed) for seed in range(3)]
    path = save_animation(iter(frames), tmp_path / "new" / f"a.{ending}", scale=12, seconds=0.1, hold=1.5)
    with Image.open(path) as animation:
        assert (animation.n_frames, animation.info["loop"]) == (3, 0)
        for index, frame in enumerate(frames):
            animation.seek(index)
            np.testing.assert_array_equal(np.array(animation.convert("RGB")), frame.repeat(2, 0).repeat(2, 1))
            assert animation.info.get("duration") == (1500 if index == 2 else 100)
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("ending", ["gif", "webp", "png"])
def test_animation_of_one_frame_is_a_picture(tmp_path, ending):
    path = save_animation([noise(4, 4)], tmp_path / f"a.{ending}", scale=4)
    np.testing.assert_array_equal(pixels(path), noise(4, 4))


def test_animation_of_equal_frames_keeps_its_length(tmp_path):
    path = save_animation([noise(4, 4)] * 5 + [noise(4, 4, 1)], tmp_path / "a.gif", scale=4, seconds=0.1, hold=1)
    with Image.open(path) as animation:
        times = []
        for index in range(animation.n_frames):
            animation.seek(index)
            times.append(animation.info["duration"])
    assert sum(times) == 1500 and times[-1] == 1000


def test_impossible_animation_is_a_clear_error(tmp_path):
    with pytest.raises(ConfigError, match="jpg"):
        save_animation([noise(4, 4)], tmp_path / "a.jpg", scale=4)
    with pytest.raises(PixaceError, match="none at all"):
        save_animation([], tmp_path / "a.gif", scale=4)
    with pytest.raises(ConfigError, match="seconds=0"):
        save_animation([noise(4, 4)], tmp_path / "a.gif", scale=4, seconds=0)
    assert not any(tmp_path.iterdir())


def test_opening_pictures_needs_no_jax():
    code = "import pixace.images, pixace.sheets, sys; assert 'jax' not in sys.modules and 'jaxlib' not in sys.modules"
    root = Path(pixace.sheets.__file__).parents[1]
    subprocess.run([sys.executable, "-c", code], cwd=root, check=True)
