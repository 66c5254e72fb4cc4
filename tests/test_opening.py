"""Opening: every kind of picture opens as the right pixels."""

import functools
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from pictures import GREYS, failure, grey, noise, pixels, smooth
from PIL import Image

from pixace.errors import ConfigError, PixaceError
from pixace.opening import open_picture


@pytest.fixture
def web(tmp_path, monkeypatch):
    """Address of a local server that gives the files in `tmp_path`."""

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(tmp_path)))
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("form", ["str", "Path", "bytes", "picture", "array", "address"])
def test_every_source_gives_the_same_pixels(tmp_path, web, form):
    array = noise(5, 7)
    path = tmp_path / "a picture.png"
    Image.fromarray(array).save(path)
    sources = {"str": str(path), "Path": path, "bytes": path.read_bytes(), "array": array}
    with Image.open(path) as picture:
        source = picture if form == "picture" else sources.get(form, web + "a picture.png")
        np.testing.assert_array_equal(pixels(source), array)


def test_home_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    smooth(4, 4).save(tmp_path / "a.png")
    assert open_picture("~/a.png").size == (4, 4)


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (GREYS, grey(GREYS)),
        (GREYS[..., None], grey(GREYS)),
        (GREYS > 99, grey(np.where(GREYS > 99, 255, 0))),
        (GREYS.astype(np.uint16) * 257, grey(GREYS)),
        (GREYS.astype(">u2") * 257 + 128, grey(GREYS)),
        (np.uint16([[129, 65535]]), grey([[1, 255]])),
        (GREYS / 255, grey(GREYS)),
        (np.arange(256)[None] / 255, grey(np.arange(256)[None])),
        (np.float16(np.arange(256)[None] / 255), grey(np.arange(256)[None])),
        (np.float32([[0.4999 / 255, 0.5001 / 255, 1]]), grey([[0, 1, 255]])),
        (np.uint8([[[9, 8, 7, 255], [9, 8, 7, 0]]]), [[[9, 8, 7], [255, 255, 255]]]),
        (noise(6, 4)[::-2, ::-1], noise(6, 4)[::-2, ::-1]),
    ],
)
def test_arrays_are_scaled_and_rounded(array, expected):
    np.testing.assert_array_equal(pixels(array), expected)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (GREYS.astype(int), "int64"),
        (GREYS.astype(complex), "complex"),
        (GREYS / 100, "reach from 0 to 2.52"),
        (np.full((2, 2), np.nan), "nan"),
        (GREYS[0], r"shape \(8,\)"),
        (np.zeros((4, 4, 2), np.uint8), r"shape \(4, 4, 2\)"),
        (np.zeros((0, 4, 3), np.uint8), "shape"),
        (None, "NoneType"),
    ],
)
def test_what_is_no_picture_is_a_clear_error(array, words):
    with pytest.raises(PixaceError, match=words):
        open_picture(array)


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV"]
)
def test_pil_image_of_any_mode_opens_and_stays_as_it_is(mode):
    array = np.where(GREYS > 99, 255, 0).astype(np.uint8)
    picture = Image.fromarray(array)
    for step in {"La": ["LA", "La"], "RGBa": ["RGBA", "RGBa"], "PA": ["P", "PA"]}.get(mode, [mode]):
        picture = picture.convert(step)
    before = picture.tobytes(), picture.size, picture.mode, dict(picture.info)
    result = open_picture(picture)
    assert np.abs(np.array(result).astype(int) - grey(array)).max() <= 2
    result.paste("red", (0, 0, 8, 8))
    assert before == (picture.tobytes(), picture.size, picture.mode, dict(picture.info))


@pytest.mark.parametrize("mode", ["I;16", "I;16B", "I", "F"])
def test_sixteen_bits_and_floats_are_scaled_not_cut_off(mode):
    values = GREYS.astype(np.float32) / 255 if mode == "F" else GREYS.astype(np.int32) * 257
    picture = Image.fromarray(values)
    if mode.startswith("I;16"):
        picture = Image.frombytes(mode, (8, 8), values.astype(">u2" if mode.endswith("B") else "<u2").tobytes())
    assert picture.mode == mode
    np.testing.assert_array_equal(pixels(picture), grey(GREYS))


def test_float_picture_up_to_255_is_taken_as_pillow_means_it():
    np.testing.assert_array_equal(pixels(Image.fromarray(GREYS).convert("F")), grey(GREYS))


def test_sixteen_bit_png_is_scaled_and_its_transparent_grey_becomes_background(tmp_path):
    picture = Image.frombytes("I;16", (8, 8), (GREYS.astype("<u2") * 257).tobytes())
    picture.save(tmp_path / "a.png")
    np.testing.assert_array_equal(pixels(tmp_path / "a.png"), grey(GREYS))
    picture.save(tmp_path / "b.png", transparency=0)
    expected = grey(GREYS)
    expected[0, 0] = 0, 0, 255
    np.testing.assert_array_equal(pixels(tmp_path / "b.png", background="blue"), expected)


@pytest.mark.parametrize("mode", ["P", "P bytes", "L", "RGB", "LA", "RGBA"])
def test_transparency_of_every_kind_shows_the_background(tmp_path, mode):
    corner = np.zeros((4, 4), np.uint8)
    corner[0, 0] = 255
    picture, options = Image.fromarray(corner), {}
    if mode in ("LA", "RGBA"):
        picture.putalpha(Image.fromarray(255 - corner))
        picture = picture.convert(mode)
    else:
        picture = picture.convert(mode[0] if mode[0] != "R" else mode)
        key = {"P": picture.getpixel((0, 0)), "L": 255, "RGB": (255, 255, 255)}
        options["transparency"] = (
            key.get(mode) if mode in key else bytes(0 if i == key["P"] else 255 for i in range(256))
        )
    picture.save(tmp_path / "a.png", **options)
    expected = np.zeros((4, 4, 3), np.uint8)
    expected[0, 0] = 0x12, 0x34, 0x56
    np.testing.assert_array_equal(pixels(tmp_path / "a.png", background="#123456"), expected)


def test_half_transparent_pixels_blend():
    blend = pixels(np.uint8([[[200, 0, 100, 128]]]), background="black")[0, 0]
    assert np.abs(blend.astype(int) - [100, 0, 50]).max() <= 1


def test_unknown_background_is_a_config_error():
    with pytest.raises(ConfigError, match="reddish"):
        open_picture(GREYS, background="reddish")


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "L"])
def test_jpeg_of_any_colour_space_opens(tmp_path, mode):
    Image.fromarray(grey(np.full((8, 8), 120, np.uint8))).convert(mode).save(tmp_path / "a.jpg")
    assert np.abs(pixels(tmp_path / "a.jpg").astype(int) - 120).max() <= 3


@pytest.mark.parametrize("ending", ["gif", "png", "webp"])
def test_animation_gives_its_first_frame(tmp_path, ending):
    frames = [Image.new("RGB", (6, 4), colour) for colour in ("red", "lime", "blue")]
    frames[0].save(tmp_path / f"a.{ending}", save_all=True, append_images=frames[1:], lossless=True)
    with Image.open(tmp_path / f"a.{ending}") as written:
        assert written.n_frames == 3
    assert (pixels(tmp_path / f"a.{ending}") == [255, 0, 0]).all()


@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied_once(tmp_path, ending, orientation):
    upright = np.zeros((16, 32, 3), np.uint8)
    upright[:8, :8] = 255  # a mark in the upper left corner
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright),
        7: np.rot90(upright.transpose(1, 0, 2), 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / f"a.{ending}", exif=exif, quality=100)
    opened = open_picture(tmp_path / f"a.{ending}")
    assert opened.size == (32, 16)
    assert np.abs(np.array(opened).astype(int) - upright).max() < 60
    np.testing.assert_array_equal(pixels(opened), np.array(opened))


@pytest.mark.parametrize("ending", ["jpg", "png", "webp"])
def test_damaged_exif_does_not_cost_the_picture(tmp_path, ending):
    smooth(8, 8).save(tmp_path / f"a.{ending}", exif=b"Exif\0\0no TIFF header")
    assert open_picture(tmp_path / f"a.{ending}").size == (8, 8)


def test_address_of_a_page_says_what_came_back(tmp_path, web):
    (tmp_path / "page.html").write_text("<html>")
    (tmp_path / "empty.png").write_bytes(b"")
    assert "is not a picture but text/html" in failure(web + "page.html")
    assert "empty" in failure(web + "empty.png")
    assert "404" in failure(web + "missing.png")
    assert "not a valid address" in failure("ftp://127.0.0.1/a.png")
