"""The pictures of an evaluation: colours that order numbers, scales that name them, sheets in their order."""

import numpy as np
import pytest

from pixace.config import TokenizerConfig
from pixace.evaluation.colour_map import colour_map, colours_of
from pixace.evaluation.copies import Neighbours, judge
from pixace.evaluation.copy_sheet import copy_sheet
from pixace.evaluation.layout import Block, Tile, round_numbers, scale_bar, shortened
from pixace.evaluation.loss_sheets import best_and_worst, extremes, loss_map
from pixace.tokenizer import Tokenizer


def lightness(colours: np.ndarray) -> np.ndarray:
    """CIE lightness without its constants: the cube root of luminance."""
    unit = colours / 255
    linear = np.where(unit <= 0.04045, unit / 12.92, ((unit + 0.055) / 1.055) ** 2.4)
    return np.cbrt(linear @ [0.2126, 0.7152, 0.0722])


def test_a_larger_number_is_always_a_lighter_colour():
    steps = np.diff(lightness(colour_map()))
    assert (steps > 0).all() and steps.max() < 4 * steps.mean()


def test_numbers_outside_the_range_have_the_colours_of_its_ends():
    low, middle, high = colours_of(np.array([-5.0, 0.5, 9.0]), 0.0, 1.0)
    assert low.tolist() == colour_map()[0].tolist() and high.tolist() == colour_map()[-1].tolist()
    assert lightness(low) < lightness(middle) < lightness(high)
    assert colours_of(np.zeros((2, 2)), 3.0, 3.0).shape == (2, 2, 3)


@pytest.mark.parametrize(
    ("low", "high", "numbers"),
    [
        (0.0, 5.3, [0, 1, 2, 3, 4, 5]),
        (0.004, 2.1, [0.5, 1, 1.5, 2]),
        (7.0, 7.05, [7, 7.01, 7.02, 7.03, 7.04, 7.05]),
        (2.0, 2.0, [2.0]),
        (0.0, 900.0, [0, 200, 400, 600, 800]),
    ],
)
def test_numbers_beside_a_scale_are_round_and_within_it(low, high, numbers):
    np.testing.assert_allclose(round_numbers(low, high), numbers, atol=1e-9)


def test_any_range_has_two_to_eight_round_numbers():
    random = np.random.default_rng(0)
    for low, width in zip(random.random(500), 10 ** random.uniform(-4, 4, 500), strict=True):
        numbers = np.array(round_numbers(low, low + width))
        assert 2 <= len(numbers) <= 8 and low <= numbers[0] + 1e-9 and numbers[-1] <= low + width + 1e-9
        assert f"{numbers[1] - numbers[0]:e}"[0] in "125"


def test_a_scale_runs_from_the_highest_colour_down_to_the_lowest():
    bar = np.asarray(scale_bar(200, 0.0, 3.0, "nats"))
    column = bar[26 : 200 - 7, 5]
    assert column[0].tolist() == colour_map()[-1].tolist() and column[-1].tolist() == colour_map()[0].tolist()
    assert (np.diff(lightness(column)) <= 0).all()
    assert (bar[:, 30:] < 128).any(), "no numbers"


def test_tiles_keep_every_pixel_at_a_whole_scale():
    rgb = np.random.default_rng(0).integers(0, 256, (6, 6, 3), np.uint8)
    block = np.asarray(Block([[Tile(rgb), None]], width=20).draw())
    np.testing.assert_array_equal(block[2:24:4, 2:24:4], rgb)


def test_long_names_lose_their_front():
    assert shortened("a/b/cat.png", 112) == "cat.png"
    cut = shortened("emoji_u1f468_1f3fb_200d_2764_200d_1f468_1f3fd.png", 112)
    assert cut.startswith("...") and cut.endswith("1f3fd.png") and len(cut) < 20


def test_extremes_are_lowest_and_highest_and_share_none():
    best, worst = extremes(np.array([3.0, 1.0, 2.0]))
    assert best.tolist() == [1, 2] and worst.tolist() == [0]
    best, worst = extremes(np.arange(20.0)[::-1])
    assert best.tolist() == [19, 18, 17, 16, 15, 14] and worst.tolist() == [0, 1, 2, 3, 4, 5]
    assert [part.tolist() for part in extremes(np.array([1.0]))] == [[0], []]


def test_the_loss_map_shows_where_the_loss_is():
    by_position = np.zeros((8, 8))
    by_position[2, 5] = 4.0
    sheet = np.asarray(loss_map(by_position, 3, "m"))[48 : 48 + 384, 16 : 16 + 384]
    tile = sheet.reshape(8, 48, 8, 48, 3)[:, 24, :, 24]
    assert np.argmax(lightness(tile)) == 2 * 8 + 5 and len(np.unique(tile.reshape(-1, 3), axis=0)) == 2


@pytest.mark.parametrize("count", [1, 2, 12])
@pytest.mark.parametrize("edge", [4, 16, 200])
def test_sheets_of_few_and_many_small_and_large_pictures_can_be_drawn(count, edge):
    random = np.random.default_rng(0)
    pictures = random.integers(0, 256, (count, edge, edge, 3), np.uint8)
    names = [f"{i}.png" for i in range(count)]
    sheet = best_and_worst(pictures, random.random((count, edge, edge)), names, (count + 1) // 2, "m")
    assert max(sheet.size) < 4000
    tokenizer = Tokenizer(TokenizerConfig(bitdepth=(2, 2, 2), image_size=edge))
    training = tokenizer.encode_rgb(pictures).reshape(count, -1)
    far = np.linspace(1, 9, count)
    found = Neighbours(np.zeros((count, 2), int), np.stack([far, far + 1], 1), np.zeros((count, 2), bool))
    sheet = copy_sheet(pictures, training, found, tokenizer, judge(far, far, count))
    assert max(sheet.size) < 4000


def test_the_copy_sheet_has_the_nearest_first():
    tokenizer = Tokenizer(TokenizerConfig(tokenizer="rgb", bitdepth=(1, 1, 1), image_size=4))
    colours = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255]], np.uint8)
    drawn = np.broadcast_to(colours[:, None, None], (3, 4, 4, 3)).copy()
    training = tokenizer.encode_rgb(drawn).reshape(3, 16)
    index = np.array([[0, 1], [1, 2], [2, 0]])
    distance = np.array([[3.0, 9.0], [1.0, 9.0], [2.0, 9.0]])
    found = Neighbours(index, distance, np.zeros((3, 2), bool))
    sheet = np.asarray(copy_sheet(drawn, training, found, tokenizer, judge(distance[:, 0], distance[:, 0], 3)))
    first = sheet[:, 16 + 48]  # a line down the middle of the column of drawn pictures
    places = [int(np.flatnonzero((first == colour).all(axis=1))[0]) for colour in colours]
    assert places[1] < places[2] < places[0]
