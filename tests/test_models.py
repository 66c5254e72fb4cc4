"""The model over whole sequences: causality, residual kinds, precision, sharding, losses."""

import dataclasses
import math
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from tiny import MODELS, VARIANTS, forward, log_probs, random_tokens, tiny_config, tiny_parameters

from pixace.config import ConfigError, ModelOptions, TokenizerConfig
from pixace.models import transformer
from pixace.models.spec import (
    abstract_parameters,
    count_parameters,
    from_named,
    init_parameters,
    named,
    weight_table,
)
from pixace.models.transformer import losses
from pixace.ops import blocking, reversible
from pixace.ops.loss import token_losses
from pixace.sharding import make_mesh, parameter_shardings, replicated, sharding


def close(a, b, relative):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        x, y = np.asarray(x), np.asarray(y)
        scale = max(float(np.abs(y).max()), 1e-6)
        np.testing.assert_allclose(x / scale, y / scale, atol=relative)


@pytest.mark.subset
@pytest.mark.parametrize("options", MODELS.values(), ids=MODELS)
def test_a_token_never_sees_its_future(options):
    config = tiny_config(**options)
    parameters = tiny_parameters(config)
    tokens = random_tokens(config, 2)
    before = np.asarray(log_probs(parameters, config, tokens.astype(np.int32)))
    for position in (0, 1, 63, 64, 100, config.n_positions - 1):
        changed = tokens.copy()
        changed[:, position] = np.where(changed[:, position] == 2, 3, 2)
        after = np.asarray(log_probs(parameters, config, changed.astype(np.int32)))
        # LSH attention sorts: the same numbers are added up in another order
        rounding = 1e-5 if config.attention == "lsh" else 0.0
        np.testing.assert_allclose(after[:, : position + 1], before[:, : position + 1], atol=rounding, rtol=0)
        if position + 1 < config.n_positions:
            assert np.abs(after[:, position + 1] - before[:, position + 1]).max() > 1e-4  # ... and its past it does see


@partial(jax.jit, static_argnames=("config", "stack"))
def gradients(config, parameters, tokens, key, stack):
    """Loss and gradient; `stack`, what runs the layers of a reformer, is an argument so that each has its program."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transformer, "reversible_stack", stack)
        return jax.value_and_grad(lambda p: losses(p, config, tokens, key=key)[0].mean())(parameters)


def plain_stack(*arguments):
    """The same two streams through an ordinary scan, differentiated by JAX itself."""
    return reversible._run(*arguments)[0]


def with_dropout(arch, model_type, residual=None):
    """Of all kinds where residuals are reversible."""
    config = tiny_config(arch, model_type, dropout=0.2)
    if model_type == "reformer":
        return dataclasses.replace(config, attention_dropout=0.2, position_dropout=0.1, output_dropout=0.1)
    return dataclasses.replace(config, residual=residual or "plain")


@cache
def results(config, seed=None, stack=reversible.reversible_stack):
    """Loss and gradient of four pictures on one device."""
    key = None if seed is None else jax.random.key(seed)
    return gradients(config, tiny_parameters(config), random_tokens(config, 4).astype(np.int32), key, stack)


@pytest.mark.subset
@pytest.mark.parametrize("arch", ["base", "trax"])
def test_reversible_gradients_equal_plain_ones_with_dropout(arch):
    config = with_dropout(arch, "reformer")
    loss, found = results(config, 5)
    plain_loss, plain = results(config, 5, plain_stack)
    assert float(loss) == pytest.approx(float(plain_loss), rel=1e-6)
    close(found, plain, 1e-4)
    other_loss, _ = results(config, 8)
    assert float(other_loss) != float(loss)  # dropout did act


def test_reversible_streams_come_back_from_the_outputs():
    """The backward pass rebuilds its inputs: an error there would show as a wrong gradient of the first layer."""
    config = tiny_config("base", "reformer", n_layers=12)
    _, deep = results(config)
    _, plain = results(config, stack=plain_stack)
    close(deep.embedding, plain.embedding, 3e-4)


def test_remat_equals_plain_with_dropout():
    plain, remat = (with_dropout("base", "transformer", residual=residual) for residual in ("plain", "remat"))
    loss, expected = results(plain, 5)
    other, found = results(remat, 5)
    assert float(loss) == pytest.approx(float(other), rel=1e-6)
    close(found, expected, 5e-5)


def test_reversible_and_remat_take_less_memory_than_plain():
    """Temporary memory of the gradient: at 12 layers plain keeps most, remat and reversible far less."""
    tokenizer = TokenizerConfig(bitdepth=(2, 2, 2), image_size=8)

    def temporary(model_type, residual):
        config = tiny_config("base", model_type, tokenizer, n_layers=12, d_model=64)
        config = dataclasses.replace(config, residual=residual)
        tokens = np.zeros((32, config.n_positions), np.int32)
        run = jax.jit(jax.grad(lambda p: losses(p, config, tokens)[0].mean()))
        analysis = run.lower(abstract_parameters(config)).compile().memory_analysis()
        return analysis.temp_size_in_bytes

    plain = temporary("transformer", "plain")
    assert temporary("transformer", "remat") < 0.5 * plain
    assert temporary("reformer", "reversible") < 0.5 * plain


@pytest.mark.parametrize("residual", ["plain", "remat", "reversible"])
def test_two_devices_equal_one(residual):
    config = with_dropout("base", "reformer" if residual == "reversible" else "transformer", residual=residual)
    one_loss, one = results(config, 5)
    mesh = make_mesh(jax.devices("cpu")[:2])
    placed = jax.device_put(tiny_parameters(config), parameter_shardings(config, mesh))
    batch = jax.device_put(random_tokens(config, 4).astype(np.int32), sharding(mesh, ("batch", None)))
    assert len(batch.sharding.device_set) == 2
    two_loss, two = gradients(config, placed, batch, jax.random.key(5), reversible.reversible_stack)
    assert float(two_loss) == pytest.approx(float(one_loss), rel=1e-6)
    close(two, one, 5e-5)


def test_weights_may_be_split_over_devices_too():
    config = with_dropout("base", "transformer")
    one, _ = results(config, 5)
    mesh = make_mesh(jax.devices("cpu")[:4], model_parallel=2)
    placed = jax.device_put(tiny_parameters(config), parameter_shardings(config, mesh))
    assert placed.blocks.mlp.up.sharding.shard_shape(placed.blocks.mlp.up.shape)[1] == config.d_ff // 2
    batch = jax.device_put(random_tokens(config, 4).astype(np.int32), sharding(mesh, ("batch", None)))
    split, _ = gradients(config, placed, batch, jax.random.key(5), reversible.reversible_stack)
    assert float(split) == pytest.approx(float(one), rel=1e-6)


@pytest.mark.parametrize(("arch", "model_type"), VARIANTS)
def test_attention_implementations_agree(arch, model_type):
    config = tiny_config(arch, model_type)
    parameters, tokens = tiny_parameters(config), random_tokens(config, 2).astype(np.int32)
    found = log_probs(parameters, config, tokens)  # by blocks
    expected = log_probs(parameters, config, tokens, implementation="whole")
    np.testing.assert_allclose(found, expected, atol=2e-5)


@pytest.mark.parametrize(("arch", "model_type"), VARIANTS)
def test_bfloat16_stays_near_float32(arch, model_type):
    config = tiny_config(arch, model_type)
    parameters, tokens = tiny_parameters(config), random_tokens(config, 4).astype(np.int32)
    narrow_config = dataclasses.replace(config, dtype="bfloat16")
    assert jax.eval_shape(partial(forward, config=narrow_config), parameters, tokens=tokens).dtype == jnp.bfloat16
    wide, narrow = (float(mean_loss(parameters, c, tokens)) for c in (config, narrow_config))
    assert narrow == pytest.approx(wide, rel=0.02)
    assert narrow != wide


@partial(jax.jit, static_argnames="config")
def mean_loss(parameters, config, tokens):
    return tiny.losses(parameters, config, tokens)[0].mean()


@pytest.mark.subset
def test_chunked_loss_equals_whole_logits(monkeypatch):
    random = np.random.default_rng(0)
    features, output, bias = (
        random.standard_normal(shape).astype(np.float32) for shape in ((3, 60, 8), (50, 8), (50,))
    )
    targets = random.integers(0, 50, (3, 60)).astype(np.int32)

    def chunked(bound, features, output, bias):  # the bound makes a program of its own of each
        assert bound == blocking.CHUNK_LOGITS
        return token_losses(features, output, bias, targets)[0].mean()

    run = jax.jit(jax.value_and_grad(chunked, argnums=(1, 2, 3)), static_argnums=0)

    def whole(features, output, bias):
        logits = features @ output.T + bias
        return -jnp.take_along_axis(jax.nn.log_softmax(logits), targets[..., None], -1).mean()

    expected, wanted = jax.jit(jax.value_and_grad(whole, argnums=(0, 1, 2)))(features, output, bias)
    for bound in (1, 3 * 50 * 7, 10**9):  # a position at a time, 6 of 60, all
        monkeypatch.setattr(blocking, "CHUNK_LOGITS", bound)
        loss, found = run(bound, features, output, bias)
        assert float(loss) == pytest.approx(float(expected), rel=1e-6)
        close(found, wanted, 1e-5)


def test_logits_of_a_batch_never_exist_whole():
    tokenizer = TokenizerConfig(bitdepth=(5, 4, 4), image_size=32)
    config = tiny_config(tokenizer=tokenizer, n_layers=1)
    tokens = np.zeros((16, config.n_positions), np.int32)
    run = jax.jit(jax.grad(lambda p: losses(p, config, tokens)[0].mean()))
    temporary = run.lower(abstract_parameters(config)).compile().memory_analysis().temp_size_in_bytes
    assert temporary < 4 * tokens.size * config.vocab_size  # 537 MB would hold them once in float32


@pytest.mark.parametrize(("arch", "model_type"), VARIANTS)
def test_log_probs_are_a_distribution_over_all_ids(arch, model_type):
    config = tiny_config(arch, model_type)
    found = np.asarray(log_probs(tiny_parameters(config), config, random_tokens(config, 2).astype(np.int32)))
    assert found.shape == (2, config.n_positions, config.vocab_size)
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.exp(found).sum(-1), 1.0, atol=1e-5)


def test_base_starts_at_the_loss_of_knowing_nothing():
    config = tiny_config()
    parameters = jax.jit(lambda: init_parameters(config, jax.random.key(0)))()
    loss = mean_loss(parameters, config, random_tokens(config, 4).astype(np.int32))
    assert float(loss) == pytest.approx(math.log(config.vocab_size), abs=1e-5)


@pytest.mark.parametrize(("arch", "model_type"), VARIANTS)
def test_the_table_decides_shapes_count_and_names(arch, model_type):
    config = tiny_config(arch, model_type)
    parameters = jax.eval_shape(partial(init_parameters, config), jax.random.key(0))
    table, leaves = named(weight_table(config)), named(parameters)
    assert {n: w.shape for n, w in table.items()} == {n: x.shape for n, x in leaves.items()}
    assert all(len(w.axes) == len(w.shape) for w in table.values())
    assert sum(x.size for x in leaves.values()) == count_parameters(config)
    again = from_named(config, leaves)
    assert jax.tree.structure(again) == jax.tree.structure(parameters)


def test_the_default_trax_models_have_their_known_sizes():
    """Default TransformerLM and ReformerLM on 8,194 ids and 1,024 positions, counted by hand."""
    tokenizer = TokenizerConfig()
    d, f, v, t = 512, 2048, 8194, 1024
    transformer = v * d + t * d + 6 * (4 * d * d + 4 * d + 2 * d * f + f + d + 4 * d) + 2 * d + d * v + v
    reformer = v * d + t * d + 6 * (4 * d * d + 2 * d * f + f + d + 4 * d) + 4 * d + 2 * d * v + v
    assert count_parameters(ModelOptions(arch="trax", model_type="transformer").build(tokenizer)) == transformer
    assert count_parameters(ModelOptions(arch="trax", model_type="reformer").build(tokenizer)) == reformer


def test_contradictory_options_are_refused():
    with pytest.raises(ConfigError, match="n_heads"):
        ModelOptions(d_model=100, n_heads=8)
    with pytest.raises(ConfigError, match="residual"):
        ModelOptions(model_type="reformer", residual="plain")
    with pytest.raises(ConfigError, match="multiple of 4"):
        ModelOptions(d_model=24, n_heads=4).build(TOKENIZER_8)


TOKENIZER_8 = TokenizerConfig(image_size=8)


def test_parts_of_a_batch_stay_spread_over_the_devices():
    """With accumulation each device computes its own rows of every part, not all rows of its own part."""
    from pixace.config import TrainConfig
    from pixace.training.step import init_state, train_step

    config = tiny_config(n_layers=1)
    training = TrainConfig(batch_size=16, accumulate=2, optimizer="adamw")
    mesh = make_mesh(jax.devices("cpu")[:4])
    everywhere, rows = replicated(mesh), sharding(mesh, ("batch", None))
    state = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=everywhere),
        jax.eval_shape(partial(init_state, config, training)),
    )
    batch = jax.ShapeDtypeStruct((16, config.n_positions), jnp.uint16, sharding=rows)
    compiled = train_step.lower(config, training, "whole", state, batch, np.int32(5)).compile().as_text()
    assert "all-reduce" in compiled
    rows = 16 // 2 // 4 * config.n_positions  # of one part on one device
    assert f"f32[{rows},{config.d_ff}]" in compiled and f"f32[{4 * rows},{config.d_ff}]" not in compiled
