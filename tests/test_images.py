"""Squares are what Pillow makes of a picture; folders give all their pictures, and no others."""

from pathlib import Path

import numpy as np
import pytest
from pictures import GREYS, forbid, noise, smooth, touch
from PIL import Image

from pixace.errors import ConfigError, PixaceError
from pixace.images import find_pictures, load_square, open_picture, square

# Squares


def test_exact_square_equals_pillow_bit_for_bit(tmp_path):
    for index, (size, mode) in enumerate([((300, 200), "RGB"), ((64, 64), "L"), ((31, 77), "CMYK")]):
        path = tmp_path / f"{index}.jpg"
        smooth(*size).convert(mode).save(path, quality=90)
        for edge in (1, 16, 32, 100):
            expected = np.array(Image.open(path).convert("RGB").resize((edge, edge)))
            np.testing.assert_array_equal(load_square(path, edge, exact=True), expected)


@pytest.mark.parametrize("resize", ["squash", "crop", "pad"])
def test_draft_is_close_to_exact_and_deterministic(tmp_path, resize):
    path = tmp_path / "a.jpg"
    smooth(512, 384).save(path, quality=90)
    exact = load_square(path, 32, resize=resize, exact=True)
    draft = load_square(path, 32, resize=resize)
    error = np.mean((draft.astype(float) - exact) ** 2)
    assert error > 0  # a draft it was
    assert 10 * np.log10(255**2 / error) > 40  # dB
    np.testing.assert_array_equal(draft, load_square(path, 32, resize=resize))


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("size", [(1000, 260), (260, 1000), (513, 513), (100, 90)])
def test_draft_never_falls_below_the_request(tmp_path, size, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    smooth(*size).save(tmp_path / "a.jpg", exif=exif)
    full = open_picture(tmp_path / "a.jpg").size
    for request in ((64, 64), (65, 3), (3, 65), (128, 128), (0, 0)):
        small = open_picture(tmp_path / "a.jpg", draft=request).size
        assert min(small) >= min(max(request), min(full))
        assert (small[0] > small[1]) == (full[0] > full[1])
    assert min(open_picture(tmp_path / "a.jpg", draft=(16, 16)).size) < min(full)


def test_squares_are_drafted_with_twice_their_size(tmp_path):
    path = tmp_path / "a.jpg"
    smooth(512, 512).save(path)
    for size, edge in ((32, 64), (64, 128), (65, 256), (129, 512)):
        drafted = open_picture(path, draft=(2 * size, 2 * size))
        assert drafted.size == (edge, edge)
        np.testing.assert_array_equal(load_square(path, size), np.array(drafted.resize((size, size))))


def test_draft_leaves_a_pil_image_alone(tmp_path):
    smooth(512, 512).save(tmp_path / "a.jpg")
    with Image.open(tmp_path / "a.jpg") as picture:
        assert open_picture(picture, draft=(8, 8)).size == picture.size == (512, 512)


@pytest.mark.parametrize("size", [(40, 21), (21, 40), (30, 30), (9, 4)])
@pytest.mark.parametrize("resize", ["crop", "squash"])
def test_mirrored_picture_gives_the_mirrored_square(size, resize):
    picture = smooth(*size)
    mirrored = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT).transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    first = np.array(square(picture, 8, resize, "white")).astype(int)
    second = np.array(square(mirrored, 8, resize, "white")).astype(int)
    assert np.abs(first - second[::-1, ::-1]).max() <= 1  # rounding


def test_crop_is_the_centred_square():
    array = noise(10, 30)
    np.testing.assert_array_equal(np.array(square(Image.fromarray(array), 10, "crop", "white")), array[:, 10:20])


@pytest.mark.parametrize(
    ("size", "inner"), [((40, 20), (8, 4)), ((20, 40), (4, 8)), ((900, 1), (8, 1)), ((5, 5), (8, 8))]
)
def test_pad_fits_the_picture_centred_on_the_background(size, inner):
    result = np.array(square(Image.new("RGB", size, "red"), 8, "pad", "#0000ff"))
    left, top = (8 - inner[0]) // 2, (8 - inner[1]) // 2
    expected = np.full((8, 8, 3), [0, 0, 255])
    expected[top : top + inner[1], left : left + inner[0]] = 255, 0, 0
    np.testing.assert_array_equal(result, expected)


def test_unknown_resize_and_size_are_config_errors():
    with pytest.raises(ConfigError, match="stretch"):
        load_square(GREYS, 8, resize="stretch")
    with pytest.raises(ConfigError, match="size=0"):
        load_square(GREYS, 0)


# Folders


def found(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in find_pictures(folder)]


def test_pictures_are_found_below_in_any_case_sorted(tmp_path):
    names = ["b.JPG", "a/z.png", "a/B.jpeg", "a.b/c.WebP", "c.bmp", "c.gif", "c.png", "jpg/d.e/f.Gif"]
    touch(tmp_path, *names, "notes.txt", "png", "._c.png", ".hidden/a.png", "c.png.part")
    (tmp_path / "folder.png").mkdir()
    assert found(tmp_path) == sorted(names)


def test_links_are_followed_but_loops_and_broken_links_end(tmp_path):
    touch(tmp_path, "root/z/a.png", "outside/b.png", "outside/deep/c.png", "d.png")
    root = tmp_path / "root"
    (root / "again").symlink_to(root / "z")
    (root / "zz").symlink_to(root / "z")
    (root / "z" / "loop").symlink_to(root)
    (root / "linked").symlink_to(tmp_path / "outside")
    (tmp_path / "outside" / "deep" / "back").symlink_to(tmp_path / "outside")
    (root / "link.png").symlink_to(tmp_path / "d.png")
    (root / "broken.png").symlink_to(tmp_path / "missing.png")
    (root / "self.png").symlink_to(root / "self.png")
    assert found(root) == ["link.png", "linked/b.png", "linked/deep/c.png", "z/a.png"]
    (tmp_path / "name").symlink_to(root)
    assert found(tmp_path / "name") == found(root)


def test_folder_without_pictures_is_an_error(tmp_path, monkeypatch):
    touch(tmp_path, "a.txt", "empty/b.txt", "full/locked/c.png", "full/d.png")
    for folder, words in (
        (tmp_path / "missing", "No such file"),
        (tmp_path / "a.txt", "is a file, not a folder"),
        (tmp_path / "empty", r"no pictures \(jpg, "),
    ):
        with pytest.raises(PixaceError, match=words) as caught:
            find_pictures(folder)
        assert str(folder) in str(caught.value)
    forbid(tmp_path / "full" / "locked", monkeypatch)
    with pytest.raises(PixaceError, match=r"locked.*Permission denied"):
        find_pictures(tmp_path / "full")
    (tmp_path / "full" / "locked").chmod(0o700)
