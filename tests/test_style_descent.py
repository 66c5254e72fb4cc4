"""L-BFGS between bounds, against SciPy's; windows that cover a picture once; scales that carry Adam's moments."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.optimize import minimize

from pixace.canvas.kinds import KINDS, make_canvas
from pixace.errors import ConfigError
from pixace.style import lbfgs
from pixace.style.descent import Descent, begin, carried, result, step
from pixace.style.tiles import cut


@jax.jit
def rosenbrock(x):
    value, gradient = jax.value_and_grad(lambda x: (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum())(x)
    return value[None], gradient


def descend(project, steps=120, rate=None, start=-1.2, evaluate=rosenbrock):
    calls = []

    def counted(x):
        calls.append(x)
        return evaluate(x)

    state, losses = lbfgs.start(jnp.full(10, start), counted), []
    for _ in range(steps):
        state = lbfgs.step(state, counted, project, rate)
        losses.append(float(state.figures[0]))
    return state, losses, len(calls)


def test_lbfgs_finds_the_minimum_and_its_loss_never_rises():
    state, losses, _ = descend(lambda x: x)
    np.testing.assert_allclose(state.x, 1, atol=1e-3)
    assert all(b <= a for a, b in pairwise(losses))
    _, _, calls = descend(lambda x: x, steps=40)  # until rounding alone decides
    assert calls < 1.7 * 40, "about one evaluation a step, even here"


@pytest.mark.parametrize("scale", [1e-8, 1e8])
def test_lbfgs_does_not_care_how_large_the_loss_is(scale):
    def evaluate(x):
        value, gradient = rosenbrock(x)
        return scale * value, scale * gradient

    state, _, _ = descend(lambda x: x, evaluate=evaluate)
    np.testing.assert_allclose(state.x, 1, atol=1e-2)


@pytest.mark.parametrize("high", [0.8, 0.3])
def test_lbfgs_between_bounds_finds_what_scipy_finds(high):
    state, losses, _ = descend(lambda x: jnp.clip(x, -2, high))

    def scipys(x):
        value, gradient = rosenbrock(jnp.asarray(x, jnp.float32))
        return float(value[0]), np.asarray(gradient, float)

    expected = minimize(scipys, np.full(10, -1.2), jac=True, bounds=[(-2, high)] * 10, method="L-BFGS-B")
    assert losses[-1] <= expected.fun * (1 + 1e-4)
    assert float(state.x.max()) <= np.float32(high)


def test_a_fixed_rate_takes_the_steps_of_pytorch():
    """The values are those of torch.optim.LBFGS(lr=0.1, max_iter=1) on sum((1, 2, 3) * (x - 1)^2) from zero."""
    scale = jnp.array([1.0, 2.0, 3.0])

    def evaluate(x):
        return jnp.sum(scale * (x - 1) ** 2)[None], 2 * scale * (x - 1)

    state, found = lbfgs.start(jnp.zeros(3), evaluate), []
    for _ in range(4):
        state = lbfgs.step(state, evaluate, lambda x: x, 0.1)
        found.append(np.asarray(state.x))
    torchs = [
        [0.016666668, 0.033333335, 0.050000004],
        [0.078492053, 0.128412634, 0.149761856],
        [0.150500864, 0.217975572, 0.237419039],
        [0.224546582, 0.298102885, 0.315351874],
    ]
    np.testing.assert_allclose(found, torchs, rtol=1e-5)


def test_lbfgs_comes_back_from_losses_that_are_no_numbers():
    def evaluate(x):
        value = jnp.where(jnp.abs(x).max() > 0.011, jnp.nan, jnp.sum((x - 0.01) ** 2))
        return value[None], 2 * (x - 0.01)

    _, losses, _ = descend(lambda x: x, steps=20, start=-0.005, evaluate=evaluate)
    assert np.isfinite(losses).all() and losses[-1] < 1e-8


@pytest.mark.parametrize("size", [(1024, 1024), (512, 2048), (2160, 3840), (1088, 1040)])
@pytest.mark.parametrize(("edge", "halo"), [(512, 80), (400, 30), (1024, 158)])
def test_windows_own_every_pixel_once_and_look_far_enough(size, edge, halo):
    tiling, count = cut(size, edge, halo), np.zeros(size, int)
    for (y, x), (top, bottom, left, right) in zip(tiling.starts, tiling.owned, strict=True):
        count[top:bottom, left:right] += 1
        for start, window, whole, low, high in (
            (y, tiling.window[0], size[0], top, bottom),
            (x, tiling.window[1], size[1], left, right),
        ):
            assert start >= 0 and start + window <= whole and start % 16 == 0
            assert low - start >= halo or start == 0
            assert start + window - high >= halo or start + window == whole
    assert (count == 1).all()
    assert max(tiling.window) <= edge


def test_tiles_that_own_nothing_are_refused():
    with pytest.raises(ConfigError, match="--tile=128: these layers look 80 pixels around; at least 224"):
        cut((1024, 1024), 128, 80)
    with pytest.raises(ConfigError, match="multiples of 16"):
        cut((1030, 1024), 512, 80)


@jax.jit
def target_slope(canvas):
    target = 0.25 + 0.5 * jnp.linspace(0, 1, canvas.size[1])[None, :, None]

    def loss(canvas):
        return jnp.mean((canvas() - target) ** 2)

    value, gradient = jax.value_and_grad(loss)(canvas)
    return value[None], gradient


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_every_canvas_descends_with_either_optimiser(kind, optimizer):
    descent = Descent(optimizer, 0.05 if optimizer == "adam" else None, 0.9)
    canvas = make_canvas(kind, np.full((24, 40, 3), 0.5, np.float32))
    state = begin(descent, canvas, target_slope)
    first = float(target_slope(canvas)[0][0])
    for _ in range(60):
        state, _ = step(descent, state, target_slope)
    assert float(target_slope(result(descent, state))[0][0]) < 0.1 * first


def test_the_best_step_is_kept_where_nothing_is_averaged():
    descent = Descent("adam", 0.4, 0.0)  # far too long steps
    state = begin(descent, make_canvas("pixels", np.full((8, 8, 3), 0.5, np.float32)), target_slope)
    losses = []
    while len(losses) < 3 or losses[-1] < 1.2 * min(losses):
        state, figures = step(descent, state, target_slope)
        losses.append(float(figures[0]))
    best = float(target_slope(result(descent, state))[0][0])
    assert best == pytest.approx(min(losses), rel=1e-6) and best < losses[-1]


def test_a_young_average_is_not_nearly_nothing():
    descent = Descent("adam", 0.02, 0.99)
    state = begin(descent, make_canvas("pixels", np.full((8, 8, 3), 0.5, np.float32)), target_slope)
    state, _ = step(descent, state, target_slope)
    np.testing.assert_allclose(result(descent, state)(), state.canvas(), atol=1e-6)


def test_moments_of_adam_go_to_the_next_scale():
    descent = Descent("adam", 0.02, 0.99)
    state = begin(descent, make_canvas("pixels", np.full((8, 12, 3), 0.5, np.float32)), target_slope)
    for _ in range(5):
        state, _ = step(descent, state, target_slope)
    larger = carried(state, begin(descent, make_canvas("pixels", np.full((16, 24, 3), 0.5, np.float32)), target_slope))
    assert isinstance(larger.rule, optax.ScaleByAdamState) and int(larger.rule.count) == 5
    assert larger.rule.mu().shape == (16, 24, 3) and float(larger.rule.nu().min()) >= 0
    np.testing.assert_allclose(larger.rule.mu().mean(), state.rule.mu().mean(), atol=1e-5)
    stack = begin(descent, make_canvas("imstack", np.full((16, 24, 3), 0.5, np.float32)), target_slope)
    assert carried(state, stack) is stack, "moments of pixels mean nothing for a stack"
