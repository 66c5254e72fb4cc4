"""Numbers of guides: tabulated beforehand, traced where a similarity is in them; optimisers and losses by formula."""

import random

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pixace.canvas.pixels import Pixels
from pixace.errors import ConfigError
from pixace.guide.agreement import chosen, distances, feature_loss, similarities
from pixace.guide.descent import BASE_RATES, make_rule, resampled
from pixace.guide.expressions import parse
from pixace.guide.reading import read_guides
from pixace.guide.schedule import Schedule
from pixace.guide.settings import Optimizer
from pixace.guide.traced import trace

EXPRESSIONS = (
    *("max(0, 40-sim)", "1 if sim < 25 else .1*sim", "sim > 1 and sim < 50", "{1: 2}.get(int(sim), 7)", "not sim"),
    *("[1, 2, 3][int(sim/20)]", "clip(sim/30, 0, 1)**2", "atan2(sim, 3) + t", "0 < sim < 30", "min([sim, 3])"),
    *("-sim or 5", "sim % 7 // 2", "smoothstep(0, 40, sim)", "round(sim, 1)", "sqrt(abs(sim)) + pi"),
)


def test_an_expression_of_a_similarity_has_the_same_value_compiled():
    found = [parse(source, {"sim", "t"}) for source in EXPRESSIONS]
    compiled = jax.jit(lambda sim: [trace(expression, {"sim": sim, "t": 0.5}) for expression in found])
    for sim in (0.0, 1.0, 33.25):
        wanted = [float(expression({"sim": sim, "t": 0.5}, random.Random(0))) for expression in found]
        np.testing.assert_allclose(compiled(sim), wanted, rtol=1e-5, err_msg=str(sim))


@pytest.mark.parametrize("source", ["randint(0, int(sim))", "gcd(int(sim), 3)", "sim in [1]", "~int(sim)"])
def test_what_cannot_be_compiled_is_told(source):
    with pytest.raises(ConfigError, match="cannot be computed with a similarity"):
        trace(parse(source, {"sim"}), {"sim": jnp.float32(1)})


def read(tmp_path, text):
    (tmp_path / "a.yaml").write_text(text)
    return Schedule(read_guides([tmp_path / "a.yaml"]).guide)


def test_time_ends_at_1_and_rates_multiply(tmp_path):
    schedule = read(
        tmp_path, "epochs: 5\nresolution: '{0: 32}.get(int(t*2), 64)'\nlearnrate: 2*t\nlearnrate_scale: .5\n"
    )
    moments = [schedule.moment(epoch) for epoch in range(5)]
    assert [moment.time for moment in moments] == [0, 0.25, 0.5, 0.75, 1]
    assert [moment.resolution[0] for moment in moments] == [32, 32, 64, 64, 64]
    np.testing.assert_allclose([m.learnrate for m in moments], BASE_RATES["adam"] * 0.5 * 2 * np.arange(5) / 4)
    assert moments[1].variables["width"] == 32 and moments[1].variables["lr"] == moments[1].learnrate


def test_windows_are_inclusive_and_whole_numbers_are_epochs(tmp_path):
    schedule = read(tmp_path, "epochs: 5\n")
    now = [
        [schedule.now(schedule.moment(e), *window) for e in range(5)] for window in ((1, 2), (0.5, 1.0), (0.0, 0.25))
    ]
    assert now == [
        [False, True, True, False, False],
        [False, False, True, True, True],
        [True, True, False, False, False],
    ]


def test_random_numbers_differ_by_view_and_epoch_but_not_from_run_to_run(tmp_path):
    text = "seed: 3\ntargets: [{batch_size: 4, transforms: [{add: [random()+0*t, 0, 1]}]}]\n"
    schedules = [read(tmp_path, text) for _ in range(2)]
    effect = schedules[0].guide.targets[0].transforms[0]
    first, again = (s.effect(s.moment(0), effect, 4)["value"] for s in schedules)
    other = schedules[0].effect(schedules[0].moment(1), effect, 4)["value"]
    np.testing.assert_array_equal(first, again)
    assert len({*first[:, 0], *other[:, 0]}) == 8 and (first[:, 1:] == [0, 1]).all()


UNIT = np.linalg.qr(np.random.default_rng(0).standard_normal((6, 6)))[0].astype(np.float32)


def test_losses_of_features_are_those_of_their_formulas():
    vector, wanted = jnp.asarray(UNIT[0]), jnp.asarray(np.stack([UNIT[0], UNIT[1], -UNIT[0]]))
    gap = np.abs(UNIT[0] - UNIT[1])
    for kind, values in {
        "cosine": [0, 1, 2],
        "l1": [0, 100 * gap.mean(), 200 * np.abs(UNIT[0]).mean()],
        "l2": [0, 100 * np.square(gap).mean(), 400 / 6],
        "spherical": [0, np.pi**2 / 8, np.pi**2 / 2],
    }.items():
        np.testing.assert_allclose(distances([kind] * 3, vector, wanted), values, rtol=1e-3, atol=1e-5, err_msg=kind)
        assert np.isfinite(jax.jacobian(lambda v, kind=kind: distances([kind] * 3, v, wanted))(vector)).all()


def test_each_way_of_selecting_counts_the_features_it_should():
    similar, enabled = jnp.array([10.0, 30.0, 20.0]), jnp.array([1.0, 0.0, 1.0])
    assert chosen("all", similar, enabled).tolist() == [1, 0, 1]
    assert chosen("best", similar, enabled).tolist() == [0, 0, 1]
    assert chosen("worst", similar, enabled).tolist() == [1, 0, 0]
    assert chosen("best", -similar, enabled * 0).tolist() == [0, 0, 0]


def test_mix_asks_for_the_mean_of_the_features_with_the_loss_of_the_first():
    view, wanted = [jnp.asarray(UNIT[0])], [jnp.asarray(UNIT[:2])]
    kinds, weights, on = ["cosine", "l2"], jnp.array([3.0, -1.0]), jnp.ones(2)
    loss, _ = feature_loss("mix", kinds, view, wanted, [1.0], weights, on)
    np.testing.assert_allclose(loss, 1 - 0.75, atol=1e-6)
    assert feature_loss("mix", kinds, view, wanted, [1.0], weights * 0, on)[0] == 0
    summed, _ = feature_loss("all", kinds, view, wanted, [2.0], weights, on)
    np.testing.assert_allclose(summed, 2 * (3 * 0 - 100 * np.square(UNIT[0] - UNIT[1]).mean()), rtol=1e-5)


def test_several_clips_agree_by_their_shares():
    views, wanted = [jnp.asarray(UNIT[0]), jnp.asarray(UNIT[0, :3])], [jnp.asarray(UNIT[:1]), jnp.ones((1, 3))]
    expected = 100 * (3 * 1 + UNIT[0, :3].sum()) / 4
    np.testing.assert_allclose(similarities(views, wanted, [3.0, 1.0]), [expected], rtol=1e-5)


def numpy_steps(name, slopes):
    """What the optimisers of old files take away at a rate of 1, by PyTorch's formulas."""
    square = mean = kept = first = delta = 0.0
    for i, g in enumerate(slopes, 1):
        if name == "sgd":
            yield g
        elif name == "adam":
            first, square = 0.9 * first + 0.1 * g, 0.999 * square + 0.001 * g * g
            yield first / (1 - 0.9**i) / (np.sqrt(square / (1 - 0.999**i)) + 1e-8)
        elif name == "rmsprop":
            square = 0.99 * square + 0.01 * g * g
            yield g / (np.sqrt(square) + 1e-8)
        elif name == "rmsprob":
            square, mean = 0.99 * square + 0.01 * g * g, 0.99 * mean + 0.01 * g
            kept = 0.1 * kept + g / (np.sqrt(square - mean * mean) + 1e-8)
            yield kept
        else:
            square = 0.9 * square + 0.1 * g * g
            step = np.sqrt(delta + 1e-6) / np.sqrt(square + 1e-6) * g
            delta = 0.9 * delta + 0.1 * step * step
            yield step


@pytest.mark.parametrize("name", ["sgd", "adam", "rmsprop", "rmsprob", "adadelta"])
def test_optimisers_step_as_the_formulas_say(name):
    slopes = np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)
    rule = make_rule(Optimizer(name, None, None, 0.0))
    state = rule.init(jnp.zeros(3))
    for slope, wanted in zip(slopes, numpy_steps(name, slopes.astype(np.float64)), strict=True):
        step, state = rule.update(jnp.asarray(slope), state, jnp.zeros(3))
        np.testing.assert_allclose(step, wanted, rtol=2e-4)


def test_moments_go_along_when_the_picture_gets_another_size():
    small = Pixels(np.full((4, 4, 3), 0.5, np.float32), None)
    rule = make_rule(Optimizer("adam", None, None, 0.0))
    slope = jax.tree.map(lambda leaf: leaf + jnp.arange(4.0)[:, None, None], small)
    _, state = rule.update(slope, rule.init(small), small)
    large = Pixels(np.full((8, 8, 3), 0.5, np.float32), None)
    moved = resampled(state, large)
    assert int(moved[0].count) == 1
    first = np.asarray(moved[0].mu.layers[0])
    assert first.shape == (8, 8, 3) and (np.diff(first[:, 0, 0]) >= 0).all() and (moved[0].nu.layers[0] > 0).all()
    np.testing.assert_allclose(first.mean(), np.asarray(state[0].mu.layers[0]).mean(), rtol=1e-5)
