"""Tokens: colours are packed as scikit-image and the specification say, bit for bit, and quickly; ids are checked."""

import io
import time

import numpy as np
import pytest
from pictures import noise, smooth
from PIL import Image
from skimage.color import hsv2rgb, rgb2hsv
from skimage.metrics import peak_signal_noise_ratio

from pixace import tokenizer as module
from pixace.config import TokenizerConfig
from pixace.errors import PixaceError
from pixace.tokenizer import TABLE_PAYS_FROM, Tokenizer, psnr

FULL = [(5, 4, 4), (4, 3, 3)]  # checked with every colour there is
WIDTHS = [(13, 1, 1), (1, 13, 1), (1, 1, 13), (7, 4, 4), (5, 5, 5), (2, 2, 2), (1, 1, 1)]
PATHS = [module._pack_hsv, module._pack_hsv_by_table]


def packed(unit: np.ndarray, bits: tuple[int, ...]) -> np.ndarray:
    """Channels (..., 3) in [0, 1] as tokens, written as the specification has it."""
    a, b, c = (np.round(unit[..., i] * (2 ** bits[i] - 1)).astype(int) for i in range(3))
    return 2 + (a | b << bits[0] | c << (bits[0] + bits[1]))


def unpacked(bits: tuple[int, ...]) -> np.ndarray:
    """Channels in [0, 1] of every code, in order: (V - 2, 3)."""
    codes = np.arange(2 ** sum(bits))
    parts = [codes & (2 ** bits[0] - 1), (codes >> bits[0]) & (2 ** bits[1] - 1), codes >> (bits[0] + bits[1])]
    return np.stack([part / (2**width - 1) for part, width in zip(parts, bits, strict=True)], -1)


def make(tokenizer: str = "hsv", bits: tuple[int, ...] = (5, 4, 4), size: int = 32, **options) -> Tokenizer:
    return Tokenizer(TokenizerConfig(tokenizer=tokenizer, bitdepth=bits, image_size=size, **options))


def smooth_pictures(count: int) -> np.ndarray:
    small = np.random.default_rng(0).integers(0, 256, (count, 4, 4, 3), np.uint8)
    return np.stack([np.asarray(Image.fromarray(picture).resize((32, 32))) for picture in small])


def source_tokens(rgb: np.ndarray) -> np.ndarray:
    return packed(rgb2hsv(rgb / 255), (5, 4, 4))


def test_hsv_tokens_of_all_colours_equal_scikit_image():
    green, blue = (plane.reshape(-1) for plane in np.mgrid[:256, :256].astype(np.uint8))
    for first in range(0, 256, 4):
        red = np.repeat(np.arange(first, first + 4, dtype=np.uint8), 1 << 16)
        rgb = np.stack([red, np.tile(green, 4), np.tile(blue, 4)], -1)
        hsv = rgb2hsv(rgb / 255)
        for bits in FULL:
            expected = packed(hsv, bits)
            for path in PATHS:
                assert np.array_equal(path(rgb, bits), expected), (path.__name__, bits, first)


@pytest.mark.parametrize("bits", WIDTHS)
def test_hsv_tokens_of_any_widths_equal_scikit_image(bits):
    ramp = np.arange(256, dtype=np.uint8)
    greys_and_edges = [np.stack(np.meshgrid(ramp, [0, 1, 127, 254, 255], ramp), -1).reshape(-1, 3)]
    rgb = np.concatenate([noise(1000, 1000).reshape(-1, 3), np.stack([ramp] * 3, -1), *greys_and_edges]).astype(
        np.uint8
    )
    expected = packed(rgb2hsv(rgb / 255), bits)
    for path in PATHS:
        assert np.array_equal(path(rgb, bits), expected), path.__name__


@pytest.mark.subset
@pytest.mark.parametrize("bits", [*FULL, *WIDTHS])
def test_decoded_colours_of_all_codes_equal_scikit_image(bits):
    expected = np.round(hsv2rgb(unpacked(bits)) * 255)
    decoded = make(bits=bits).decode_tokens(np.arange(2, 2 ** sum(bits) + 2))
    assert decoded.dtype == np.uint8 and np.array_equal(decoded, expected)


@pytest.mark.subset
@pytest.mark.parametrize("bits", [(5, 5, 5), (3, 3, 2), (8, 6, 1), (1, 1, 13)])
def test_rgb_tokens_and_colours_equal_direct_arithmetic(bits):
    tokenizer, rgb = make("rgb", bits), noise(300, 400)
    assert np.array_equal(tokenizer.encode_rgb(rgb), packed(rgb / 255, bits))
    assert np.array_equal(tokenizer.decode_tokens(np.arange(2, 2 ** sum(bits) + 2)), np.round(unpacked(bits) * 255))


def test_the_specified_example_codes():
    rgb = np.array([[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 255, 0], [255, 0, 1]], np.uint8)
    green = round(31 / 3)
    assert make().encode_rgb(rgb).tolist() == [
        2,
        2 + (15 << 9),
        2 + (15 << 5 | 15 << 9),
        2 + (green | 15 << 5 | 15 << 9),
        2 + (31 | 15 << 5 | 15 << 9),  # red again, from the other end of the circle
    ]
    colours = np.unique(make().decode_tokens(np.arange(2, 8194)), axis=0)
    assert len(colours) == 6893


def test_pixels_are_read_row_by_row_from_the_top_left():
    rgb = noise(4, 4)
    tokens = make(size=4).encode(rgb)
    assert tokens.tolist() == [int(source_tokens(rgb[y, x])) for y in range(4) for x in range(4)]


@pytest.mark.parametrize("size", [32, 256])
def test_encoding_one_prompt_builds_no_table(size):
    before = module._hsv_tables.cache_info()
    make(bits=(6, 4, 3), size=size).encode(noise(size, size))
    assert module._hsv_tables.cache_info() == before


def test_many_pixels_build_one_table_at_once_or_over_time():
    for pieces in (1, 20):
        module._hsv_tables.cache_clear()
        tokenizer, rgb = make(bits=(6, 4, 3)), noise(500, 500)
        tokens = np.concatenate([tokenizer.encode_rgb(part) for part in np.split(rgb, pieces)])
        assert rgb[..., 0].size >= TABLE_PAYS_FROM and module._hsv_tables.cache_info().misses == 1
        assert np.array_equal(tokens, packed(rgb2hsv(rgb / 255), (6, 4, 3)))


def test_array_encoding_is_many_times_faster_than_picture_by_picture():
    pictures, source, ours = smooth_pictures(3000), [], []
    for _ in range(2):  # alternating, and the better time of each side: others use this machine too
        started = time.perf_counter()
        expected = [source_tokens(picture) for picture in pictures]
        source.append(time.perf_counter() - started)
        module._hsv_tables.cache_clear()
        started = time.perf_counter()
        tokens = make().encode_rgb(pictures)
        ours.append(time.perf_counter() - started)
    assert np.array_equal(tokens, expected)
    assert min(source) / min(ours) >= 8


def test_encode_takes_anything_that_opens_as_a_picture(tmp_path):
    picture, tokenizer = smooth(48, 48), make(size=16)
    png, stored = tmp_path / "a.png", io.BytesIO()
    picture.save(png)
    picture.save(stored, "PNG")
    whole = np.asarray(picture)
    clear = np.dstack([whole, np.full((48, 48), 255, np.uint8)])
    expected = tokenizer.encode_rgb(np.asarray(picture.resize((16, 16)))).reshape(-1)
    for source in (png, str(png), stored.getvalue(), picture, whole, whole.astype(np.uint16) * 257, clear, whole / 255):
        tokens = tokenizer.encode(source)
        assert tokens.dtype == np.uint16 and tokens.shape == (256,)
        assert np.array_equal(tokens, expected)
    for other in (picture.convert("L"), picture.convert("P"), picture.convert("CMYK"), picture.convert("1")):
        assert tokenizer.encode(other).shape == (256,)


def test_exact_tokens_of_a_photograph_equal_the_source_project(shared):
    for path in sorted((shared / "data/photos/content").glob("*.jp*")):
        rgb = np.asarray(Image.open(path).convert("RGB").resize((32, 32)))
        assert np.array_equal(make(exact=True).encode(path), source_tokens(rgb).reshape(-1))


@pytest.mark.subset
def test_shapes_go_through_encoding_and_decoding():
    tokenizer = make(size=8)
    for shape in ((8, 8), (3, 8, 8), (2, 3, 8, 8)):
        rgb = np.random.default_rng(1).integers(0, 256, (*shape, 3), np.uint8)
        tokens = tokenizer.encode_rgb(rgb)
        assert tokens.shape == shape and tokens.dtype == np.uint16
        pictures = tokenizer.decode(tokens.reshape(*shape[:-2], 64))
        assert pictures.shape == rgb.shape and pictures.dtype == np.uint8
        assert np.array_equal(pictures, tokenizer.decode_tokens(tokens))
    assert tokenizer.encode_rgb(np.empty((0, 8, 8, 3), np.uint8)).shape == (0, 8, 8)
    assert np.array_equal(tokenizer.encode_rgb(rgb[..., ::-1, :]), tokens[..., ::-1])  # a view, not in one piece


def test_reserved_ids_decode_to_black():
    for kind in ("hsv", "rgb"):
        assert not make(kind).decode_tokens(np.array([0, 1])).any()
        assert make(kind).decode_tokens(np.array([8193])).any()


def test_ids_outside_the_vocabulary_are_an_error_with_the_range():
    tokenizer = make(size=1)
    for bad in (-1, 8194, 70_000):
        with pytest.raises(PixaceError, match=rf"\[0, 8194\), found {bad}"):
            tokenizer.decode(np.array([bad]))
    with pytest.raises(PixaceError, match="whole numbers, not float64"):
        tokenizer.decode(np.array([2.0]))
    with pytest.raises(PixaceError, match="a 1x1 picture has 1 tokens, not"):
        tokenizer.decode(np.array([2, 2]))


@pytest.mark.parametrize("bad", [np.zeros((4, 4, 3)), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4), np.uint8)])
def test_arrays_that_are_no_rgb_are_an_error_with_the_shape(bad):
    with pytest.raises(PixaceError, match="uint8 colours of shape"):
        make().encode_rgb(bad)


def test_psnr_equals_scikit_image():
    a, b = noise(20, 30), noise(20, 30, seed=1)
    assert psnr(a, b) == pytest.approx(peak_signal_noise_ratio(a, b))
    assert psnr(a, a) == float("inf")
