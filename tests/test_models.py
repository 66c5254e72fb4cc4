"""The model over whole sequences: causality, residual kinds, precision, sharding, losses."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from tiny import MODELS, VARIANTS, forward, log_probs, random_tokens, tiny_config, tiny_parameters

from pixace.config import ConfigError, ModelOptions, TokenizerConfig
from pixace.models.spec import (
    abstract_parameters,
    count_parameters,
    from_named,
    init_parameters,
    named,
    weight_table,
)
from pixace.models.transformer import losses
from pixace.ops.loss import token_losses
from pixace.sharding import make_mesh, parameter_shardings, replicated, sharding


def close(a, b, relative):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        scale = max(float(jnp.abs(y).max()), 1e-6)
        np.testing.assert_allclose(np.asarray(x) / scale, np.asarray(y) / scale, atol=relative)


@pytest.mark.subset
@pytest.mark.parametrize("options", MODELS.values(), ids=MODELS)
def test_a_token_never_sees_its_future(options):
    config = tiny_config(**options)
    parameters = tiny_parameters(config)
    tokens = random_tokens(config, 2)
    before = np.asarray(log_probs(parameters, config, jnp.asarray(tokens, jnp.int32)))
    for position in (0, 1, 63, 64, 100, config.n_positions - 1):
        changed = tokens.copy()
        changed[:, position] = np.where(changed[:, position] == 2, 3, 2)
        after = np.asarray(log_probs(parameters, config, jnp.asarray(changed, jnp.int32)))
        # LSH attention sorts: the same numbers are added up in another order
        rounding = 1e-5 if config.attention == "lsh" else 0.0
        np.testing.assert_allclose(after[:, : position + 1], before[:, : position + 1], atol=rounding, rtol=0)
        if position + 1 < config.n_positions:
            assert np.abs(after[:, position + 1] - before[:, position + 1]).max() > 1e-4  # ... and its past it does see


def gradients(config, parameters, tokens, key):
    @jax.jit
    def run(parameters):
        return jax.value_and_grad(lambda p: losses(p, config, tokens, key=key)[0].mean())(parameters)

    return run(parameters)


@pytest.mark.subset
@pytest.mark.parametrize("arch", ["base", "trax"])
def test_reversible_gradients_equal_plain_ones_with_dropout(arch, monkeypatch):
    config = tiny_config(arch, "reformer", dropout=0.2)
    config = dataclasses.replace(config, attention_dropout=0.2, position_dropout=0.1, output_dropout=0.1)
    parameters, tokens = tiny_parameters(config), jnp.asarray(random_tokens(config, 3), jnp.int32)
    loss, reversible = gradients(config, parameters, tokens, jax.random.key(7))
    import pixace.models.transformer as transformer
    from pixace.ops import reversible as module

    # The same two streams through an ordinary scan, differentiated by JAX itself.
    monkeypatch.setattr(transformer, "reversible_stack", lambda *stack: module._run(*stack)[0])
    plain_loss, plain = gradients(config, parameters, tokens, jax.random.key(7))
    assert float(loss) == pytest.approx(float(plain_loss), rel=1e-6)
    close(reversible, plain, 1e-4)
    other_loss, _ = gradients(config, parameters, tokens, jax.random.key(8))
    assert float(other_loss) != float(loss)  # dropout did act


def test_reversible_streams_come_back_from_the_outputs():
    """The backward pass rebuilds its inputs: an error there would show as a wrong gradient of the first layer."""
    config = tiny_config("base", "reformer", n_layers=12)
    parameters, tokens = tiny_parameters(config), jnp.asarray(random_tokens(config, 2), jnp.int32)
    _, deep = gradients(config, parameters, tokens, None)
    import pixace.models.transformer as transformer
    from pixace.ops import reversible as module

    original = transformer.reversible_stack
    transformer.reversible_stack = lambda *stack: module._run(*stack)[0]
    try:
        _, plain = gradients(config, parameters, tokens, None)
    finally:
        transformer.reversible_stack = original
    close(deep.embedding, plain.embedding, 3e-4)


def test_remat_equals_plain_with_dropout():
    plain = tiny_config(dropout=0.2)
    remat = dataclasses.replace(plain, residual="remat")
    parameters, tokens = tiny_parameters(plain), jnp.asarray(random_tokens(plain, 3), jnp.int32)
    loss, expected = gradients(plain, parameters, tokens, jax.random.key(3))
    other, found = gradients(remat, parameters, tokens, jax.random.key(3))
    assert float(loss) == pytest.approx(float(other), rel=1e-6)
    close(found, expected, 5e-5)


@pytest.mark.parametrize("model_type", ["transformer", "reformer"])
def test_reversible_and_remat_take_less_memory_than_plain(model_type):
    """Temporary memory of the gradient: at 12 layers plain keeps most, remat and reversible far less."""
    tokenizer = TokenizerConfig(bitdepth=(2, 2, 2), image_size=16)
    config = tiny_config("base", model_type, tokenizer, n_layers=12, d_model=64)
    plain = dataclasses.replace(tiny_config("base", "transformer", tokenizer, n_layers=12, d_model=64))
    lean = config if model_type == "reformer" else dataclasses.replace(config, residual="remat")
    tokens = jnp.zeros((8, config.n_positions), jnp.int32)

    def temporary(config):
        run = jax.jit(jax.grad(lambda p: losses(p, config, tokens)[0].mean()))
        analysis = run.lower(abstract_parameters(config)).compile().memory_analysis()
        return analysis.temp_size_in_bytes

    assert temporary(lean) < 0.5 * temporary(plain)


@pytest.mark.parametrize("residual", ["plain", "remat", "reversible"])
def test_two_devices_equal_one(residual):
    model_type = "reformer" if residual == "reversible" else "transformer"
    config = dataclasses.replace(tiny_config("base", model_type, dropout=0.1), residual=residual)
    parameters, tokens = tiny_parameters(config), random_tokens(config, 4).astype(np.int32)
    results = []
    for count in (1, 2):
        mesh = make_mesh(jax.devices("cpu")[:count])
        placed = jax.device_put(parameters, parameter_shardings(config, mesh))
        batch = jax.device_put(tokens, sharding(mesh, ("batch", None)))
        assert len(batch.sharding.device_set) == count
        results.append(gradients(config, placed, batch, jax.random.key(5)))
    (one_loss, one), (two_loss, two) = results
    assert float(two_loss) == pytest.approx(float(one_loss), rel=1e-6)
    close(two, one, 5e-5)


def test_weights_may_be_split_over_devices_too():
    config = tiny_config()
    parameters, tokens = tiny_parameters(config), random_tokens(config, 4).astype(np.int32)
    one, _ = gradients(config, parameters, jnp.asarray(tokens), None)
    mesh = make_mesh(jax.devices("cpu")[:4], model_parallel=2)
    placed = jax.device_put(parameters, parameter_shardings(config, mesh))
    assert placed.blocks.mlp.up.sharding.shard_shape(placed.blocks.mlp.up.shape)[1] == config.d_ff // 2
    split, _ = gradients(config, placed, jax.device_put(tokens, sharding(mesh, ("batch", None))), None)
    assert float(split) == pytest.approx(float(one), rel=1e-6)


@pytest.mark.parametrize("implementation", ["blocks", "whole"])
@pytest.mark.parametrize(("arch", "model_type"), VARIANTS)
def test_attention_implementations_agree(arch, model_type, implementation):
    config = tiny_config(arch, model_type)
    parameters, tokens = tiny_parameters(config), jnp.asarray(random_tokens(config, 2), jnp.int32)
    found = log_probs(parameters, config, tokens, implementation=implementation)
    expected = log_probs(parameters, config, tokens, implementation="whole")
    np.testing.assert_allclose(found, expected, atol=2e-5)


@pytest.mark.parametrize(("arch", "model_type"), VARIANTS)
def test_bfloat16_stays_near_float32(arch, model_type):
    config = tiny_config(arch, model_type)
    parameters, tokens = tiny_parameters(config), jnp.asarray(random_tokens(config, 4), jnp.int32)
    wide = tiny.losses(parameters, config, tokens)[0].mean()
    narrow_config = dataclasses.replace(config, dtype="bfloat16")
    assert forward(parameters, narrow_config, tokens).dtype == jnp.bfloat16
    narrow = tiny.losses(parameters, narrow_config, tokens)[0].mean()
    assert float(narrow) == pytest.approx(float(wide), rel=0.02)
    assert float(narrow) != float(wide)


@pytest.mark.subset
def test_chunked_loss_equals_whole_logits(monkeypatch):
    features = jax.random.normal(jax.random.key(0), (3, 60, 8))
    output, bias = jax.random.normal(jax.random.key(1), (50, 8)), jax.random.normal(jax.random.key(2), (50,))
    targets = jax.random.randint(jax.random.key(3), (3, 60), 0, 50)

    def chunked(features, output, bias):
        return token_losses(features, output, bias, targets)[0].mean()

    def whole(features, output, bias):
        logits = features @ output.T + bias
        return -jnp.take_along_axis(jax.nn.log_softmax(logits), targets[..., None], -1).mean()

    expected, wanted = jax.value_and_grad(whole, argnums=(0, 1, 2))(features, output, bias)
    for bound in (1, 3 * 50 * 7, 10**9):  # a position at a time, 6 of 60, all
        monkeypatch.setattr("pixace.ops.blocking.CHUNK_LOGITS", bound)
        loss, found = jax.value_and_grad(chunked, argnums=(0, 1, 2))(features, output, bias)
        assert float(loss) == pytest.approx(float(expected), rel=1e-6)
        close(found, wanted, 1e-5)


def test_logits_of_a_batch_never_exist_whole():
    tokenizer = TokenizerConfig(bitdepth=(5, 4, 4), image_size=32)
    config = tiny_config(tokenizer=tokenizer, n_layers=1)
    tokens = jnp.zeros((16, config.n_positions), jnp.int32)
    run = jax.jit(jax.grad(lambda p: losses(p, config, tokens)[0].mean()))
    temporary = run.lower(abstract_parameters(config)).compile().memory_analysis().temp_size_in_bytes
    assert temporary < 4 * tokens.size * config.vocab_size  # 537 MB would hold them once in float32


@pytest.mark.parametrize(("arch", "model_type"), VARIANTS)
def test_log_probs_are_a_distribution_over_all_ids(arch, model_type):
    config = tiny_config(arch, model_type)
    found = log_probs(tiny_parameters(config), config, jnp.asarray(random_tokens(config, 2), jnp.int32))
    assert found.shape == (2, config.n_positions, config.vocab_size)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(jnp.exp(found).sum(-1), 1.0, atol=1e-5)


def test_base_starts_at_the_loss_of_knowing_nothing():
    config = tiny_config()
    parameters = init_parameters(config, jax.random.key(0))
    loss = tiny.losses(parameters, config, jnp.asarray(random_tokens(config, 2), jnp.int32))[0].mean()
    assert float(loss) == pytest.approx(math.log(config.vocab_size), abs=1e-5)


@pytest.mark.parametrize(("arch", "model_type"), VARIANTS)
def test_the_table_decides_shapes_count_and_names(arch, model_type):
    config = tiny_config(arch, model_type)
    parameters = init_parameters(config, jax.random.key(0))
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
    state = jax.device_put(init_state(config, training), replicated(mesh))
    batch = jax.device_put(random_tokens(config, 16), sharding(mesh, ("batch", None)))
    compiled = train_step.lower(config, training, "whole", state, batch, jnp.int32(5)).compile().as_text()
    assert "all-reduce" in compiled
    rows = 16 // 2 // 4 * config.n_positions  # of one part on one device
    assert f"f32[{rows},{config.d_ff}]" in compiled and f"f32[{4 * rows},{config.d_ff}]" not in compiled
