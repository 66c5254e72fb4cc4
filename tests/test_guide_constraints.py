"""What constraints make of a view: formulas in NumPy, and gradients that lead where they say."""

from functools import cache

import jax
import numpy as np
import pytest

from pixace.guide.constraints import LOSSES, loss
from pixace.guide.effect_table import CONSTRAINTS as NAMED
from pixace.guide.kinds import CONSTRAINTS

VIEW = np.random.default_rng(0).random((9, 12, 3), np.float32)
KEY = jax.random.key(0)


@cache
def compiled(kind: str, texts: tuple, attract: bool):
    return jax.jit(lambda view, values, key: loss(kind, view, values, dict(texts), key, attract))


def asked(kind: str, view=VIEW, texts=None, attract=False, **members) -> float:
    values = {name: np.float32(member) for name, member in members.items()}
    return float(compiled(kind, tuple((texts or {}).items()), attract)(view, values, KEY))


def softened(view: np.ndarray) -> np.ndarray:
    """By a Gaussian of 3 x 3 pixels, reflected at the edges."""
    side = np.exp(-0.5 / 0.8**2)
    wide = np.pad(view, ((1, 1), (1, 1), (0, 0)), "reflect")
    wide = (side * (wide[:-2] + wide[2:]) + wide[1:-1]) / (1 + 2 * side)
    return (side * (wide[:, :-2] + wide[:, 2:]) + wide[:, 1:-1]) / (1 + 2 * side)


MIDDLE = VIEW.mean((0, 1))
EDGES = np.abs(softened(VIEW) - VIEW)
FIGURES = {
    "mean": (100, MIDDLE),
    "std": (100, VIEW.std((0, 1), ddof=1)),
    "saturation": (100, np.abs(VIEW - VIEW.mean(-1, keepdims=True)).mean((0, 1))),
    "contrast": (
        1,
        np.array([c[c > c.mean()].mean() - c[c < c.mean()].mean() for c in np.moveaxis(VIEW, -1, 0)]),
    ),
    "edge_mean": (100, EDGES.mean((0, 1))),
    "edge_max": (100, np.array([e[e >= 0.7 * e.max()].mean() for e in np.moveaxis(EDGES, -1, 0)])),
}


@pytest.mark.parametrize("kind", FIGURES)
def test_limits_ask_only_on_their_side(kind):
    factor, figure = FIGURES[kind]
    away = np.float32([0.1, 0.2, 0.3])
    squared = factor * np.square(away).mean()
    kept = asked(kind, above=figure - away, below=figure + away)
    low = asked(kind, above=figure + away, below=figure + away)
    high = asked(kind, above=figure - away, below=figure - away)
    np.testing.assert_allclose([kept, low, high], [0, squared, squared], rtol=1e-3)


def test_limits_add_up_and_pull_from_both_sides_if_asked():
    away, l1 = np.float32([0.1, 0.2, 0.3]), {"loss": "l1"}
    both = asked("mean", texts=l1, above=MIDDLE + away, below=MIDDLE - 2 * away)
    pulled = asked("mean", texts=l1, attract=True, above=MIDDLE - away, below=MIDDLE + 2 * away)
    np.testing.assert_allclose([both, pulled], 300 * away.mean(), rtol=1e-3)


@pytest.mark.parametrize(
    ("texts", "distance"), [({}, np.square), ({"loss": "mse"}, np.square), ({"loss": "mae"}, np.abs)]
)
def test_other_constraints_are_their_formulas(texts, distance):
    bordered = VIEW.copy()
    bordered[[0, -1]] = bordered[:, [0, 1, -2, -1]] = [1, 0, 0.5]
    low, high = VIEW.min((0, 1)), VIEW.max((0, 1))
    least, most = np.float32([0.1, 0, 0]), np.float32([0.9, 1, 0.5])
    stretched = least + (VIEW - low) / (high - low) * (most - least)
    for found, expected in (
        (asked("blur", texts=texts), 100 * distance(EDGES).mean()),
        (asked("border", texts=texts, size=[2, 1], color=[1, 0, 0.5]), 100 * distance(VIEW - bordered).mean()),
        (asked("border", texts=texts, size=[0, 0]), 0),
        (asked("normalize", texts=texts, min=least, max=most), 10 * distance(VIEW - stretched).mean()),
        (asked("total_variation", texts=texts), 100 * sum(distance(np.diff(VIEW, axis=i)).mean() for i in (0, 1))),
        (asked("symmetry", texts=texts), 100 * distance(VIEW - VIEW[:, ::-1]).mean()),
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_noise_asks_for_a_step_toward_noise():
    flat = np.full((40, 50, 3), 0.5, np.float32)
    std = np.float32([0.1, 0.2, 0])
    np.testing.assert_allclose(asked("noise", flat, std=std), 100 * np.square(std).mean(), rtol=0.05)
    slope = jax.jit(jax.grad(lambda view: loss("noise", view, {"std": std}, {}, KEY)))(flat)
    np.testing.assert_allclose(slope.std((0, 1)), 200 * std / flat.size, rtol=0.05)


def test_a_view_of_one_colour_has_sides_and_slopes():
    flat = np.full((6, 6, 3), 0.3, np.float32)
    assert asked("contrast", flat, below=[0.1] * 3) == 0
    assert np.isclose(asked("normalize", flat), 10 * 0.09, atol=1e-5), "stretched to its least"


MEMBERS = {
    "above": np.full(3, 0.9, np.float32),
    "below": np.full(3, 0.01, np.float32),
    "std": np.full(3, 0.1, np.float32),
}


@pytest.mark.parametrize("kind", CONSTRAINTS)
def test_descent_does_what_is_asked(kind):
    """Gradients are finite where nothing varies, too; with noise, which is another each time, they are not zero."""
    objective = jax.jit(jax.value_and_grad(lambda view, key: loss(kind, view, MEMBERS, {}, key)))
    for view in (VIEW, np.full_like(VIEW, 0.5)):
        value, slope = objective(view, KEY)
        assert np.isfinite(slope).all()
    value, slope = objective(VIEW, KEY)
    assert np.abs(slope).max() > 0
    if kind != "noise":
        step = 1e-3 / np.abs(slope).max() * slope
        assert objective(VIEW - step, KEY)[0] < value


def test_tables_agree():
    assert set(CONSTRAINTS) == set(LOSSES) >= set(NAMED)
