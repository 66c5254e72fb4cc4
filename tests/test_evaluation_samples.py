"""What is said of drawn pictures: patches like real ones, or copies of training pictures?"""

import math

import numpy as np
import pytest

from pixace.config import TokenizerConfig
from pixace.evaluation.copies import at_least, judge, nearest
from pixace.evaluation.copy_sheet import copy_sheet
from pixace.evaluation.patches import (
    laplacian_pyramid,
    patch_distance,
    patches,
    random_directions,
    sliced_wasserstein,
)
from pixace.tokenizer import Tokenizer

S = 8
TOKENIZER = Tokenizer(TokenizerConfig(tokenizer="rgb", bitdepth=(5, 5, 5), image_size=S))


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def noise(count: int, edge: int = 16, seed: int = 0) -> np.ndarray:
    return rng(seed).integers(0, 256, (count, edge, edge, 3), np.uint8)


def ramps(count: int, edge: int = 16, seed: int = 0) -> np.ndarray:
    ends = rng(seed).integers(0, 256, (2, count, 1, 1, 3))
    along = np.linspace(0, 1, edge)[None, :, None, None]
    return np.uint8(np.broadcast_to(ends[0] * (1 - along) + ends[1] * along, (count, edge, edge, 3)))


# ---- patches


def test_a_set_has_no_distance_from_itself_in_any_order():
    points = rng().standard_normal((500, 5)).astype(np.float32)
    directions = random_directions(5, 40, rng(1))
    assert sliced_wasserstein(points, points, directions) == 0
    assert sliced_wasserstein(points, points[rng(2).permutation(500)], directions) == pytest.approx(0, abs=1e-7)


@pytest.mark.subset
def test_in_one_dimension_a_shift_is_its_own_distance():
    points = rng().standard_normal((300, 1)).astype(np.float32)
    directions = random_directions(1, 7, rng())
    assert set(np.abs(directions).ravel()) == {1.0}
    assert sliced_wasserstein(points, points + np.float32(2.5), directions) == pytest.approx(2.5, rel=1e-5)
    assert sliced_wasserstein(np.array([[0.0], [1.0]]), np.array([[5.0], [2.0]]), directions) == pytest.approx(3)


def test_in_many_dimensions_a_shift_is_seen_along_each_direction():
    points = rng().standard_normal((300, 6)).astype(np.float32)
    shift = np.array([3, 0, 0, 0, 4, 0], np.float32)
    directions = random_directions(6, 100, rng())
    np.testing.assert_allclose(np.linalg.norm(directions, axis=0), 1, rtol=1e-6)
    expected = np.abs(shift @ directions).mean()
    assert sliced_wasserstein(points, points + shift, directions) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("edge", "edges"), [(4, [4]), (7, [7]), (12, [12]), (13, [13, 7]), (16, [16, 8]), (32, [32, 16, 8])]
)
def test_levels_go_down_as_long_as_a_patch_fits(edge, edges):
    pictures = noise(4, edge)
    assert [level.shape[1] for level in laplacian_pyramid(pictures.astype(np.float32))] == edges
    found = patch_distance(pictures, noise(4, edge, 1), noise(4, edge, 2))
    assert [level.edge for level in found.levels] == edges and found.pictures == 4
    assert found.distance == pytest.approx(np.mean([level.distance for level in found.levels]))


@pytest.mark.parametrize("edge", [13, 16, 27])
def test_a_plain_picture_is_all_in_the_last_level(edge):
    *fine, last = laplacian_pyramid(np.full((1, edge, edge, 3), 200, np.float32))
    for level in fine:
        np.testing.assert_allclose(level, 0, atol=1e-3)
    np.testing.assert_allclose(last, 200, rtol=1e-5)


def test_small_levels_give_each_of_their_patches_once():
    pictures = noise(3, 8)
    (found,) = patches(pictures, seed=5)
    expected = {
        pictures[i, y : y + 7, x : x + 7].transpose(2, 0, 1).astype(np.float32).tobytes()
        for i in range(3)
        for y in (0, 1)
        for x in (0, 1)
    }
    assert {patch.tobytes() for patch in found} == expected and len(found) == 12


def test_pictures_like_the_real_ones_are_as_near_as_real_ones_and_others_are_not():
    real, others = ramps(100), ramps(100, seed=1)
    alike = patch_distance(ramps(100, seed=2), real, others)
    assert alike.distance < 1.5 * alike.baseline
    for drawn in (noise(100), np.uint8(ramps(100, seed=2) // 2), np.uint8(ramps(100, seed=2) // 2 + 127)):
        found = patch_distance(drawn, real, others)
        assert found.distance > 2.5 * found.baseline, "noise, dark or bright pictures pass as real"
    assert patch_distance(real, real, others).distance == 0


def test_the_same_seed_gives_the_same_distance():
    sets = noise(6, 32), noise(6, 32, 1), noise(6, 32, 2)
    assert patch_distance(*sets, seed=3) == patch_distance(*sets, seed=3)
    assert patch_distance(*sets, seed=3) != patch_distance(*sets, seed=4)


def test_pictures_of_one_colour_are_no_trouble():
    plain = np.full((4, 16, 16, 3), 9, np.uint8)
    found = patch_distance(plain, plain, plain)
    assert found.distance == found.baseline == 0


# ---- copies


def coded(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Pictures of 8x8 pixels as tokens and as the colours that these stand for."""
    tokens = rng(seed).integers(2, TOKENIZER.vocab_size, (count, S * S)).astype(np.uint16)
    return tokens, TOKENIZER.decode(tokens)


@pytest.fixture(scope="module")
def training() -> np.ndarray:
    return coded(1300, 1)[0]  # more than two blocks


def test_distances_are_those_of_plain_arithmetic(training):
    drawn = coded(9, 2)[1]
    pictures = TOKENIZER.decode(training).astype(np.float64)
    seen: list[tuple[int, int]] = []
    found = nearest(drawn, training, TOKENIZER, lambda done, total, text="": seen.append((done, total)))
    for i, picture in enumerate(drawn.astype(np.float64)):
        plain, flipped = (
            np.sqrt(((side - pictures) ** 2).mean(axis=(1, 2, 3))) for side in (picture, picture[:, ::-1])
        )
        order = np.argsort(np.minimum(plain, flipped))[:2]
        assert found.index[i].tolist() == order.tolist()
        np.testing.assert_allclose(found.distance[i], np.minimum(plain, flipped)[order], rtol=1e-12)
        assert found.mirrored[i].tolist() == (flipped < plain)[order].tolist()
    assert seen[-1] == (9 * 1300, 9 * 1300) and seen == sorted(seen)


def test_planted_copies_are_found_also_mirrored_and_in_parts(training, monkeypatch):
    monkeypatch.setattr("pixace.evaluation.copies.ASKED_AT_ONCE", 7)
    drawn = coded(20, 3)[1]
    pictures = TOKENIZER.decode(training)
    drawn[4], drawn[11] = pictures[1299], pictures[600][:, ::-1]
    found = nearest(drawn, training, TOKENIZER)
    assert np.flatnonzero(found.distance[:, 0] == 0).tolist() == [4, 11]
    assert found.index[[4, 11], 0].tolist() == [1299, 600] and found.mirrored[[4, 11], 0].tolist() == [False, True]
    assert (found.distance[:, 1] > 0).all()
    held_out = nearest(coded(150, 4)[1], training, TOKENIZER).distance[:, 0]
    copies = judge(found.distance[:, 0], held_out, len(training))
    assert copies.duplicates == 2 and copies.held_out_duplicates == 0 and copies.near == pytest.approx(0.1, abs=0.06)
    assert copies.verdict == "2 of 20 drawn pictures are training pictures, pixel by pixel"


def test_where_nothing_is_copied_none_is_found(training):
    drawn, held_out = (nearest(coded(150, seed)[1], training, TOKENIZER).distance[:, 0] for seed in (5, 6))
    copies = judge(drawn, held_out, len(training))
    assert copies.duplicates == 0 and copies.near < 0.06 and copies.verdict == "no sign of copying"


def test_near_copies_are_told_from_chance(training):
    pictures = TOKENIZER.decode(training[:60])
    drawn = np.uint8(np.clip(pictures.astype(int) + rng().integers(-9, 10, pictures.shape), 0, 255))
    both = np.concatenate([drawn, coded(140, 7)[1]])
    held_out = nearest(coded(150, 8)[1], training, TOKENIZER).distance[:, 0]
    copies = judge(nearest(both, training, TOKENIZER).distance[:, 0], held_out, len(training))
    assert copies.duplicates == 0 and 0.3 <= copies.near < 0.36
    assert copies.verdict.startswith("the model draws near copies of training pictures")


def test_known_training_pictures_are_no_measure_of_copies():
    copies = judge(np.array([0.0, 5.0]), np.array([0.0, 0.0, 0.0, 3.0]), 10)
    assert copies.verdict.startswith("cannot tell") and copies.held_out_duplicates == 3


def test_duplicates_that_are_usual_in_the_data_are_no_verdict_on_the_model():
    held_out = np.concatenate([np.zeros(20), np.full(80, 5.0)])  # a fifth of the real pictures occur twice
    assert judge(np.concatenate([np.zeros(40), np.full(160, 5.0)]), held_out, 10).verdict.startswith("no more")
    assert judge(np.zeros(200), held_out, 10).verdict.startswith("200 of 200")


def test_the_first_percentile_is_the_threshold_and_chance_grows_where_pictures_are_few():
    copies = judge(np.array([0.5, 0.9, 2.0, 7.0]), np.arange(101.0), 10)
    assert copies.threshold == 1.0 and copies.near == 0.5 and copies.chance == pytest.approx(2 / 102)
    assert judge(np.array([5.0]), np.array([1.0, 2.0, 3.0]), 10).chance == pytest.approx(1.02 / 4)


def test_binomial_tails():
    assert at_least(0, 5, 0.01) == 1 and at_least(1, 5, 0.01) == pytest.approx(1 - 0.99**5)
    assert at_least(2, 2, 0.3) == pytest.approx(0.09) and at_least(3, 5, 0.5) == pytest.approx(0.5)


def test_a_single_training_picture_has_no_second():
    tokens, pictures = coded(1, 9)
    found = nearest(pictures, tokens, TOKENIZER)
    assert found.index.tolist() == [[0, -1]] and found.distance.tolist() == [[0.0, math.inf]]
    copy_sheet(pictures, tokens, found, TOKENIZER, judge(found.distance[:, 0], np.array([1.0]), 1))
