"""Schedules and optimisers: against formulas, against Trax's update written out, and against each other."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import random_tokens, tiny_config, tiny_parameters

from pixace.config import TrainConfig
from pixace.models.spec import named
from pixace.training.optimizers import apply_update, learning_rate, make_optimizer
from pixace.training.step import init_state, train_step


def rates(total: int, **options) -> np.ndarray:
    return np.asarray(rates_of(TrainConfig(**options), np.arange(total), np.int32(total)))


@partial(jax.jit, static_argnums=0)
def rates_of(config: TrainConfig, steps: jax.Array, total: jax.Array) -> jax.Array:
    return jax.vmap(lambda step: learning_rate(config, step, total))(steps)


@pytest.mark.subset
@pytest.mark.parametrize("total", [50, 1000, 20_000])
@pytest.mark.parametrize("schedule", ["cosine", "linear", "constant"])
def test_warm_up_and_decay_scale_with_the_planned_length(total, schedule):
    found, warmup = rates(total, schedule=schedule, lr=0.5), min(max(total // 10, 1), 400)
    np.testing.assert_allclose(found[:warmup], 0.5 * np.arange(1, warmup + 1) / warmup * found[warmup - 1] / 0.5, 2e-2)
    assert np.argmax(found) in (warmup - 1, warmup) and 0.49 < found.max() <= 0.5
    left = (total - np.arange(warmup, total)) / (total + 1 - warmup)
    shape = {"cosine": 0.5 - 0.5 * np.cos(np.pi * left), "linear": left, "constant": np.ones_like(left)}[schedule]
    np.testing.assert_allclose(found[warmup:], 0.5 * shape, rtol=1e-4, atol=1e-6)
    if schedule != "constant":
        assert 0 <= found[-1] < 0.025 and np.all(np.diff(found[warmup:]) <= 0)


@pytest.mark.parametrize("total", [100, 5000])
def test_source_schedule_is_the_formula_whatever_the_length(total):
    n = np.arange(1, total + 1)
    expected = 0.1 * np.minimum(1, n / 400) / np.sqrt(np.maximum(n, 400))
    np.testing.assert_allclose(rates(total, optimizer="source"), expected, rtol=1e-5)
    np.testing.assert_allclose(rates(total, schedule="source"), expected, rtol=1e-5)


def test_warmup_steps_and_lr_are_heeded():
    found = rates(100, schedule="constant", lr=0.25, warmup_steps=4)
    np.testing.assert_allclose(found[:5], [0.0625, 0.125, 0.1875, 0.25, 0.25], rtol=1e-6)
    assert rates(100, schedule="constant", lr=0.25, warmup_steps=0)[0] == 0.25


def test_source_optimizer_is_the_adam_of_trax_written_out():
    model = tiny_config(d_model=16, n_layers=1)
    config, random = TrainConfig(optimizer="source"), np.random.default_rng(0)
    parameters = tiny_parameters(model)
    optimizer = make_optimizer(config, parameters)
    advance, state = jax.jit(optimizer.update), jax.jit(optimizer.init)(parameters)
    apply = jax.jit(partial(apply_update, config))
    weights = {name: np.asarray(w, np.float64) for name, w in named(parameters).items()}
    m, v = ({name: np.zeros_like(w) for name, w in weights.items()} for _ in range(2))
    for step in range(3):
        gradients = jax.tree.map(lambda w: jnp.asarray(random.standard_normal(w.shape), jnp.float32), parameters)
        rate = 0.1 * min(1, (step + 1) / 400) / np.sqrt(max(step + 1, 400))
        for name, g in named(gradients).items():
            g = np.asarray(g, np.float64)
            m[name], v[name] = 0.9 * m[name] + 0.1 * g, 0.999 * v[name] + 0.001 * g * g
            m_hat, v_hat = m[name] / (1 - 0.9 ** (step + 2)), v[name] / (1 - 0.999 ** (step + 2))  # as Trax counts
            weights[name] = weights[name] * (1 - 1e-5) - rate * m_hat / (np.sqrt(v_hat) + 1e-5)
        update, state = advance(gradients, state, parameters)
        now = rates_of(config, np.array([step]), np.int32(3))[0]
        parameters = apply(parameters, update, now)
    for name, w in named(parameters).items():
        np.testing.assert_allclose(w, weights[name], rtol=1e-5, atol=1e-6, err_msg=name)


def test_muon_orthogonalises_each_layers_matrices():
    model = tiny_config(d_model=32, n_layers=2)
    parameters, random = tiny_parameters(model), np.random.default_rng(0)
    config = TrainConfig(optimizer="muon", weight_decay=0.0, clip=None)
    optimizer = make_optimizer(config, parameters)
    # a gradient far from orthogonal: its singular values fall over two decades and more
    gradients = jax.tree.map(lambda w: jnp.asarray(random.standard_normal(w.shape) ** 3, jnp.float32), parameters)
    update, state = jax.jit(lambda g, w: optimizer.update(g, optimizer.init(w), w))(gradients, parameters)
    seen = 0
    for name, leaf in named(update).items():
        kind = name.rpartition(".")[2]
        if not name.startswith("blocks.") or kind not in ("query", "key", "value", "out", "up", "down"):
            continue
        rows = leaf.shape[1] * leaf.shape[2] if kind in ("query", "key", "value") else leaf.shape[1]
        for matrix, gradient in zip(leaf, named(gradients)[name], strict=True):
            values = np.linalg.svd(np.asarray(matrix).reshape(rows, -1), compute_uv=False)
            before = np.linalg.svd(np.asarray(gradient).reshape(rows, -1), compute_uv=False)
            near = [np.mean(found > 0.5 * found.max()) for found in (values, before)]
            assert near[0] >= 0.9 and near[1] < 0.7, (name, near)
            seen += 1
    assert seen == 6 * model.n_layers
    kept = {jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_flatten_with_path(state)[0]}
    for part in ("attention.query", "attention.out", "mlp.up", "mlp.down"):
        assert any("'muon'" in key and part in key for key in kept), part
        assert not any("'adam'" in key and part in key and "norm" not in key for key in kept), part
    assert any("'adam'" in key and "embedding" in key for key in kept)


def test_accumulation_gives_nearly_the_weights_of_the_whole_batch():
    model, final = tiny_config(d_model=16, n_layers=1), {}
    tokens = [random_tokens(model, 4, seed) for seed in range(4)]
    for accumulate in (1, 2):
        config = TrainConfig(batch_size=4, accumulate=accumulate)
        state = jax.jit(partial(init_state, model, config))(tiny_parameters(model))
        for batch in tokens:
            state, figures = train_step(model, config, "blocks", state, jnp.asarray(batch), jnp.int32(4))
        final[accumulate] = named(state.parameters), np.asarray(figures)
    np.testing.assert_allclose(final[2][1], final[1][1], rtol=1e-4)
    for name, w in final[1][0].items():
        np.testing.assert_allclose(final[2][0][name], w, atol=2e-4, err_msg=name)


def test_average_forgets_the_initial_weights():
    model = tiny_config(d_model=16, n_layers=1)
    config = TrainConfig(batch_size=4, lr=0.1, warmup_steps=1)
    state = jax.jit(partial(init_state, model, config))(tiny_parameters(model))
    initial = np.array(named(state.parameters)["embedding"])
    state, _ = train_step(model, config, "blocks", state, jnp.asarray(random_tokens(model, 4)), jnp.int32(4))
    for name, w in named(state.parameters).items():
        np.testing.assert_array_equal(named(state.average)[name], w)
    assert np.abs(np.asarray(named(state.average)["embedding"]) - initial).max() > 0.01
