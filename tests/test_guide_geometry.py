"""Views of a picture through effects that move pixels: what NumPy, Pillow and scikit-image make of it, too."""

from functools import partial

import jax
import numpy as np
import pytest
from PIL import Image
from skimage.transform import rotate

from pixace.guide import warping
from pixace.guide.chain import run
from pixace.guide.domains import Step, working_sizes
from pixace.guide.geometry import MOVES
from pixace.guide.kinds import EFFECTS

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
PICTURE = RNG.random((6, 8, 3), np.float32)
compiled = jax.jit(run, static_argnums=(1, 4, 5, 6))


@partial(jax.jit, static_argnums=(1, 4, 5))
def compiled_views(picture, steps, values, keys, size, sizes):
    """A view for each key."""
    return jax.vmap(lambda key: run(picture, steps, values, key, size, sizes))(keys)


def chain(*effects) -> tuple[tuple[Step, ...], list[dict[str, np.ndarray]]]:
    """Effects as (kind, {member: numbers or text}) or (kind, numbers)."""
    steps, values = [], []
    for kind, members in effects:
        members = members if isinstance(members, dict) else {"value": members}
        texts = {name: member for name, member in members.items() if isinstance(member, str)}
        steps.append(Step(kind, tuple(texts.items())))
        values.append({name: np.float32(member) for name, member in members.items() if name not in texts})
    return tuple(steps), values


def view(picture, *effects, size=None, key=KEY, nearest=False):
    """A view (h, w, 3), by default of the size that the effects ask for; for several keys (n, h, w, 3)."""
    steps, values = chain(*effects)
    ends = (*steps, Step("clamp")), [*values, {}]  # the pixels must be there for it
    size = size or (*working_sizes(*ends, picture.shape[:2]), picture.shape[:2])[0]
    sizes = working_sizes(steps, values, picture.shape[:2])
    if key.ndim:
        return np.array(compiled_views(picture, steps, values, key, size, sizes))
    return np.array(compiled(picture, steps, values, key, size, sizes, nearest))


def coordinates(height: int, width: int) -> np.ndarray:
    """A picture that says of each pixel where it is: x, y of its centre, and 1, which black has not."""
    y, x = np.mgrid[:height, :width] + 0.5
    return np.stack([x, y, np.ones_like(x)], -1).astype(np.float32)


def smooth(x: np.ndarray, y: np.ndarray, period: float) -> np.ndarray:
    """A pattern that goes on beyond its edges."""
    x, y = 2 * np.pi * x / period, 2 * np.pi * y / period
    return np.stack([np.sin(x), np.cos(y), np.sin(x + y)], -1).astype(np.float32) * 0.5 + 0.5


@pytest.mark.parametrize(
    ("shift", "rolled"),
    [
        ([1, 0], (1, 0)),
        ([-2, 0], (1, 0)),
        ([-1, 0], (-1, 0)),
        ([0, 1], (0, 1)),
        ([0.34, -0.7], (1, -2)),
        ([0.9, 7], (2, 1)),
    ],
)
def test_shifting_rolls_by_pixels_or_parts_of_the_size(shift, rolled):
    picture = PICTURE[:3, :3]
    assert np.array_equal(view(picture, ("shift", shift)), np.roll(picture, rolled, (1, 0)))


@pytest.mark.parametrize(("mode", "numpys"), [("fill", "constant"), ("edge", "edge"), ("wrap", "wrap")])
def test_padding_adds_on_all_sides_and_in_corners(mode, numpys):
    picture = PICTURE[:3, :4]
    padded = view(picture, ("pad", {"size": [2, 1], "color": [0.1, 0.2, 0.3], "mode": mode}))
    expected = np.pad(picture, ((1, 1), (2, 2), (0, 0)), numpys)
    if mode == "fill":
        expected[[0, -1]] = expected[:, [0, 1, -2, -1]] = np.float32([0.1, 0.2, 0.3])
    assert np.array_equal(padded, expected)


def test_padding_by_less_than_nothing_is_none_and_wraps_once():
    assert np.array_equal(view(PICTURE, ("pad", {"size": [-3, 0], "mode": "edge"})), PICTURE)
    wrapped = view(PICTURE[:2, :2], ("pad", {"size": [5, 0], "mode": "wrap"}))
    assert np.array_equal(wrapped, np.tile(PICTURE[:2, :2], (1, 3, 1)))


@pytest.mark.parametrize(
    ("effect", "expected"),
    [
        (("repeat", [3, 2]), np.tile(PICTURE, (2, 3, 1))),
        (("crop", [1, 2, 3, 4]), PICTURE[2:6, 1:4]),
        (("crop", [0.5, 0.5, 0.5, 0.25]), PICTURE[3:4, 4:8]),
        (("crop", [0, 0, 1, 0.999]), PICTURE[:5, :1]),
        (("crop", [6, 4, 4, 4]), np.pad(PICTURE[4:, 6:], ((0, 2), (0, 2), (0, 0)))),
        (("center_crop", [4, 2]), PICTURE[2:4, 2:6]),
        (("center_crop", [10, 2]), np.pad(PICTURE[2:4], ((0, 0), (1, 1), (0, 0)))),
        (("flip", [1, 0]), PICTURE[:, ::-1]),
        (("flip", [0, 1]), PICTURE[::-1]),
        (("random_flip", [1, 1]), PICTURE[::-1, ::-1]),
        (("random_flip", [0, 0]), PICTURE),
        (("random_translate", [0, 0]), PICTURE),
        (("random_scale", [1, 1]), PICTURE),
    ],
)
def test_whole_pixels_are_moved_as_they_are(effect, expected):
    assert np.array_equal(view(PICTURE, effect), expected)


@pytest.mark.parametrize(("looked_up", "nearest"), [(False, False), (True, False), (True, True)])
def test_moves_of_whole_pixels_one_after_the_other_are_exact(looked_up, nearest, monkeypatch):
    effects = (
        ("shift", [3, -1]),
        ("pad", {"size": [2, 3], "color": [0.5] * 3}),
        ("flip", [1, 0]),
        ("crop", [1, 1, 9, 9]),
        ("repeat", [2, 1]),
        ("pad", {"size": [1, 1], "mode": "edge"}),
        ("shift", [0.5, 2]),
        ("center_crop", [24, 7]),
    )
    expected = np.roll(PICTURE, (3, -1), (1, 0))
    expected = np.pad(expected, ((3, 3), (2, 2), (0, 0)), constant_values=0.5)[:, ::-1][1:10, 1:10]
    expected = np.pad(np.tile(expected, (1, 2, 1)), ((1, 1), (1, 1), (0, 0)), "edge")
    expected = np.roll(expected, (10, 2), (1, 0))
    expected = np.pad(expected[2:9], ((0, 0), (2, 2), (0, 0)))
    if looked_up:
        monkeypatch.setattr(warping, "MOST_PRODUCTS", 0)
    (steps, values), size = chain(*effects), expected.shape[:2]
    found = jax.jit(lambda values: run(PICTURE, steps, values, KEY, size, (), nearest))(values)
    assert np.array_equal(found, expected)


def test_post_processing_keeps_pixels_and_order():
    """A shift is a roll of raw pixels, whatever their values."""
    raw = PICTURE * 4 - 2
    found = view(raw, ("shift", [1, 0]), ("mul", [2] * 3), ("add", [-0.5] * 3), ("clamp", [-1, 1]), ("shift", [0, -2]))
    assert np.array_equal(found, np.roll(np.clip(np.roll(raw, 1, 1) * 2 - 0.5, -1, 1), -2, 0))


@pytest.mark.parametrize("size", [(4, 5), (3, 16), (13, 21)])
def test_views_are_resized_as_pillow_does(size):
    picture = RNG.random((12, 16, 3), np.float32)
    expected = [
        Image.fromarray(channel).resize(size[::-1], Image.Resampling.BILINEAR) for channel in np.moveaxis(picture, 2, 0)
    ]
    np.testing.assert_allclose(view(picture, size=size), np.stack(expected, -1), atol=1e-5)


def test_a_smaller_size_on_the_way_takes_details_away():
    picture = RNG.random((32, 32, 3), np.float32)
    there_and_back = view(picture, ("resize", [4, 4]), ("resize", [32, 32]))
    enlarged = view(view(picture, ("resize", [4, 4])), size=(32, 32))
    assert picture.std() > 0.25 and there_and_back.std() < 0.07
    np.testing.assert_allclose(there_and_back[6:-6, 6:-6], enlarged[6:-6, 6:-6], atol=0.1)
    turned = view(picture, ("resize", [4, 4]), ("rotate", {"degree": [45]}), size=(32, 32))
    assert turned[12:20, 12:20].std() < 0.07


def test_turning_is_counter_clockwise_about_the_centre():
    picture = RNG.random((20, 30, 3), np.float32)
    for degree, centre in ((30, (0.5, 0.5)), (-75, (0.25, 0.7)), (90, (0.5, 0.5))):
        # scikit-image's coordinates are 0 in the middle of the first pixel.
        expected = rotate(picture, degree, center=(centre[0] * 30 - 0.5, centre[1] * 20 - 0.5), order=1)
        inside = rotate(np.ones((20, 30)), degree, center=(centre[0] * 30 - 0.5, centre[1] * 20 - 0.5), order=1) > 0.999
        turned = view(picture, ("rotate", {"degree": [degree], "center": centre}))
        assert inside.mean() > 0.3
        np.testing.assert_allclose(turned[inside], expected[inside], atol=1e-4)


def test_outside_of_a_turned_picture_is_black_or_what_padding_chose():
    white = np.ones((16, 16, 3), np.float32)
    framed = view(white, ("pad", {"size": [8, 8], "color": [1, 0, 0]}), ("rotate", {"degree": [45]}))
    assert framed[16, 2].tolist() == [1, 0, 0], "in the pad"
    assert framed[1, 1].tolist() == [0, 0, 0], "outside of it"
    assert set(map(tuple, framed.round(4).reshape(-1, 3))) == {(1, 1, 1), (1, 0, 0), (0, 0, 0)}


def test_effects_at_once_are_those_one_after_the_other():
    y, x = np.mgrid[:40, :40] + 0.5
    picture = smooth(x, y, 40)
    first = (("shift", [7, 11]), ("rotate", {"degree": [20], "center": [0.4, 0.5]}))
    second = (("random_scale", [0.8, 0.8]), ("crop", [12, 10, 20, 16]))
    apart = view(view(picture, *first), *second, size=(12, 15))
    together = view(picture, *first, *second, size=(12, 15))
    assert np.abs(together - apart).max() < 0.04  # where each looks at neighbours of neighbours


@pytest.mark.parametrize("degree", [0, 15])
def test_seams_of_shifted_pictures_cannot_be_seen(degree):
    y, x = np.mgrid[:32, :32] + 0.5
    shifted = view(smooth(x, y, 32), ("shift", [13, 6]), ("rotate", {"degree": [degree]}), ("center_crop", [20, 20]))
    cos, sin = np.cos(np.radians(degree)), np.sin(np.radians(degree))
    x, y = np.mgrid[:20, :20][::-1] - 9.5
    expected = smooth(cos * x - sin * y + 16 - 13, sin * x + cos * y + 16 - 6, 32)
    np.testing.assert_allclose(shifted, expected, atol=0.01)


def test_seams_are_smoothed_across():
    picture = RNG.random((8, 8, 3), np.float32)
    both = view(picture, ("shift", [1, 3]), size=(4, 4))
    rolled = np.roll(picture, (1, 3), (1, 0))
    inside = (slice(1, 3),) * 2
    np.testing.assert_allclose(both[inside], view(rolled, size=(4, 4))[inside], atol=1e-5)


def test_turned_pictures_are_smoothed_as_they_shrink():
    noise = RNG.random((128, 128, 3), np.float32)
    straight, turned = (
        view(noise, ("rotate", {"degree": [degree]}), size=(16, 16))[5:11, 5:11].std() for degree in (0.0, 30)
    )
    assert noise.std() > 0.25 and straight < 0.06 and turned < 0.06


KEYS = jax.random.split(KEY, 200)


def offsets(*effect, height=6, width=8) -> np.ndarray:
    """Where the middle of views of 200 keys comes from: x, y, in pixels to the right and down of the middle, or NaN."""
    seen = view(coordinates(height, width), effect, key=KEYS)
    h, w = seen.shape[1:3]
    middle = seen[:, h // 2, w // 2]
    return np.where(middle[:, 2:] > 0.99, middle[:, :2], np.nan) - [w // 2 + 0.5, h // 2 + 0.5]


def test_random_crops_lie_anywhere():
    found = offsets("random_crop", [5, 4])
    assert set(map(tuple, found)) == {(x, y) for x in range(4) for y in range(3)}
    corners = offsets("random_crop", [10, 8])  # larger than the picture, which lies anywhere in it
    assert set(map(tuple, corners)) == {(-x, -y) for x in range(3) for y in range(3)}


@pytest.mark.parametrize(
    ("limits", "across", "down"),
    [
        ([-2.9, 2.9], {-2, -1, 0, 1, 2}, {-2, -1, 0, 1, 2}),
        ([1, 1], {1}, {1}),
        ([0, 0.49], {0, 1, 2, 3}, {0, 1, 2}),
        ([1, 3.9, -0.99, 0], {1, 2, 3}, {-5, -4, -3, -2, -1, 0}),
    ],
)
def test_random_shifts_keep_to_their_limits_and_unit(limits, across, down):
    found = offsets("random_shift", limits)
    assert {x % 8 for x in np.unique(-found[:, 0])} == {x % 8 for x in across}
    assert {y % 6 for y in np.unique(-found[:, 1])} == {y % 6 for y in down}


def test_random_translation_is_by_whole_pixels_and_black_comes_in():
    found = offsets("random_translate", [0.25, 0.5])
    found = found[~np.isnan(found[:, 0])]  # down by 3, and the middle is black
    assert set(np.unique(found[:, 0])) == {-2, -1, 0, 1, 2}
    assert set(np.unique(found[:, 1])) == {-3, -2, -1, 0, 1, 2}
    assert np.isnan(offsets("random_translate", [1, 0])).any()


def test_random_zoom_and_angle_keep_to_their_limits():
    seen = view(coordinates(40, 40), ("random_scale", [0.5, 2]), key=KEYS)
    zoom = 1 / (seen[:, 20, 22, 0] - seen[:, 20, 21, 0])
    assert 0.5 <= zoom.min() < 0.55 and 1.9 < zoom.max() <= 2.001
    turned = view(coordinates(40, 40), ("random_rotate", {"degree": [10, 50], "center": [0.4, 0.6]}), key=KEYS)
    across = turned[:, 20, 22] - turned[:, 20, 21]
    angle = np.degrees(np.arctan2(across[:, 1], across[:, 0]))
    assert 9.9 < angle.min() < 13 and 47 < angle.max() < 50.1
    # Each centre is what its view does not move: (I - R) centre = what is seen at 0 without turning about a centre.
    middle = turned[:, 20, 20, :2]
    for (x, y), turn in zip(middle, np.radians(angle), strict=True):
        matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        centre = np.linalg.solve(np.eye(2) - matrix, np.array([x, y]) - matrix @ [20.5, 20.5])
        assert ((centre > 40 * 0.4 - 0.2) & (centre < 40 * 0.6 + 0.2)).all()


def test_flips_are_as_likely_as_asked():
    seen = view(coordinates(5, 7), ("random_flip", [0.3, 0]), key=KEYS)
    assert 0.2 < (seen[:, 0, 0, 0] > 3).mean() < 0.4 and (seen[:, 0, 0, 1] < 1).all()
    assert (seen[:, 2, 3] == [3.5, 2.5, 1]).all()


def test_perspective_is_a_projection_that_moves_corners_inward():
    picture = np.pad(coordinates(30, 40), ((5, 5), (5, 5), (0, 0)), "linear_ramp")
    still, seen = (view(picture, ("random_perspective", [most]), key=KEYS[:5]) for most in (0, 0.6))
    np.testing.assert_allclose(still[0], picture, atol=1e-3)
    y, x = np.mgrid[:40, :50] + 0.5
    for one in seen:
        inside = (np.abs(one - [20, 15, 1]) < [16, 11, 0.01]).all(-1)  # far from where colours change otherwise
        (u, v), (s, t), n = (x[inside], y[inside]), one[inside, :2].T.astype(float), inside.sum()
        # s = (a u + b v + c) / (g u + h v + 1), t likewise: eight numbers explain all points.
        ones, zeros = np.ones(n), np.zeros((3, n))
        rows = [u, v, ones, *zeros, -u * s, -v * s], [*zeros, u, v, ones, -u * t, -v * t]
        equations, right = np.concatenate(rows, 1).T, np.concatenate([s, t])
        numbers = np.linalg.lstsq(equations, right, rcond=None)[0]
        assert n > 200 and (one[..., 2] == 0).any()
        assert np.abs(equations @ numbers - right).max() < 0.05
    assert np.abs(seen[0] - seen[1]).max() > 3


def test_no_number_compiles_anew():
    """Sizes, too: the arrays stay, and hold what is smaller."""
    traces = []

    @jax.jit
    def traced(values, key):
        traces.append(1)
        return run(PICTURE, steps, values, key, (4, 4), ((12, 16),))

    effects = (
        ("pad", {"size": [2, 3]}),
        ("random_crop", [8, 8]),
        ("rotate", {"degree": [3]}),
        ("blur", {"kernel_size": [3, 3]}),
        ("crop", [0, 0, 4, 4]),
    )
    steps, values = chain(*effects)
    views = []
    for factor in (1, 0.5, 2, 3.3):
        views.append(traced(jax.tree.map(lambda x: np.float32(x * factor), values), KEY))  # noqa: B023
    assert len(traces) == 1
    assert len({float(np.sum(one)) for one in views}) == 4 and np.isfinite(views).all()


def test_arrays_between_effects_are_as_large_as_the_largest_domain():
    steps, values = chain(
        ("add", [0] * 3),
        ("pad", {"size": [[1, 2], [5, 0]]}),
        ("noise", [0] * 3),
        ("mul", [1] * 3),
        ("repeat", [2, 1]),
        ("resize", [[9, 2], [4, 7]]),
        ("clamp", [0, 1]),
        ("crop", [0, 0, 0.5, 0.5]),
    )
    assert working_sizes(steps, values, (6, 8)) == ((10, 18), (7, 9))
    assert working_sizes(*chain(("repeat", [999, 1]), ("clamp", [0, 1])), (6, 8)) == ((6, 2048),)


def test_a_domain_smaller_than_its_array_gives_the_same_view():
    y, x = np.mgrid[:32, :32] + 0.5
    picture = smooth(x, y, 32)
    steps, values = chain(("crop", [4, 8, 16, 12]), ("mul", [0.5] * 3), ("crop", [2, 2, 9, 8]))
    tight, loose = (compiled(picture, steps, values, KEY, (8, 9), (size,), False) for size in ((12, 16), (24, 30)))
    assert np.abs(tight - loose).max() < 0.01
    np.testing.assert_allclose(tight, picture[10:18, 6:15] / 2, atol=1e-6)


def test_effects_that_are_off_change_nothing():
    effects = [
        ("crop", {"value": [1, 1, 3, 3], "active": [0]}),
        ("add", {"value": [1] * 3, "active": [0]}),
        ("shift", {"value": [1, 0], "active": [1]}),
        ("rotate", {"degree": [30], "active": [0]}),
    ]
    np.testing.assert_allclose(view(PICTURE, *effects, size=(6, 8)), np.roll(PICTURE, 1, 1), atol=1e-5)


def test_every_geometric_kind_is_known_to_the_chain():
    assert set(MOVES) == {name for name, kind in EFFECTS.items() if kind.group == "geometry"}
