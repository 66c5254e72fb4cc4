"""The training step and the drawing programs, lowered for TPU, CUDA and CPU on a machine that has only a CPU."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export
from tiny import random_tokens, tiny_config, tiny_parameters

from pixace.config import ModelConfig, TokenizerConfig, TrainConfig
from pixace.models.cache import empty_cache, unstack
from pixace.models.spec import abstract_parameters
from pixace.sampling.engine import decode, prefill
from pixace.sampling.filters import make_settings
from pixace.training.step import init_state, train_step

PLATFORMS = ("cpu", "cuda", "tpu")
SMALL = TokenizerConfig(bitdepth=(2, 2, 2), image_size=8)
TINY = TokenizerConfig(bitdepth=(2, 2, 2), image_size=4)  # where programs are also compiled
MODELS = {  # each two of architecture, kind and precision together
    f"{arch}-{model_type}-{dtype}": {"arch": arch, "model_type": model_type, "dtype": dtype}
    for arch, model_type, dtype in (
        ("base", "transformer", "float32"),
        ("base", "reformer", "bfloat16"),
        ("trax", "transformer", "bfloat16"),
        ("trax", "reformer", "float32"),
    )
}
MODELS["base-remat"] = {"residual": "remat"}
MODELS["local"] = {"attention": "local"}
MODELS["lsh"] = {"attention": "lsh"}
MODELS["lsh-reformer"] = {"attention": "lsh", "model_type": "reformer"}


@pytest.fixture(params=list(MODELS.values()), ids=list(MODELS))
def config(request) -> ModelConfig:
    return tiny_config(**request.param, tokenizer=SMALL)


def lower(program, *arguments) -> export.Exported:
    """`program` as one module for all platforms, asserting that it names them."""
    exported = export.export(program, platforms=PLATFORMS)(*arguments)
    assert exported.platforms == PLATFORMS
    return exported


def shapes(tree):
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), tree)


def lower_training_step(config: ModelConfig, training: TrainConfig) -> export.Exported:
    state = jax.eval_shape(partial(init_state, config, training))
    tokens = jax.ShapeDtypeStruct((training.batch_size, config.n_positions), jnp.uint16)
    return lower(train_step, config, training, "blocks", state, tokens, jax.ShapeDtypeStruct((), jnp.int32))


def drawing_inputs(config: ModelConfig):
    """Weights as the engine holds them, tokens, settings and noise of two pictures."""
    weights = unstack(tiny_parameters(config), config)
    settings = jax.tree.map(jnp.asarray, make_settings(2, top_p=0.9))
    return weights, jnp.asarray(random_tokens(config, 2), jnp.int32), settings, jax.random.key(3)


def test_training_step_is_lowered_for_every_platform(config):
    lower_training_step(config, TrainConfig(batch_size=2))


@pytest.mark.parametrize("optimizer", ["adamw", "muon", "source"])
def test_training_step_is_lowered_with_each_optimizer(optimizer):
    lower_training_step(tiny_config(tokenizer=SMALL), TrainConfig(batch_size=2, accumulate=2, optimizer=optimizer))


def test_drawing_is_lowered_for_every_platform(config):
    weights = jax.eval_shape(partial(unstack, config=config), abstract_parameters(config))
    tokens, cache = jax.ShapeDtypeStruct((2, config.n_positions), jnp.int32), shapes(empty_cache(config, 2))
    position, key = jax.ShapeDtypeStruct((), jnp.int32), shapes(jax.random.key(0))
    lower(prefill, weights, config, tokens, config.n_positions // 2)
    lower(decode, weights, config, tokens, cache, shapes(make_settings(2)), key, position, position)


@pytest.mark.parametrize("options", [{"arch": "trax"}, {"attention": "lsh", "dropout": 0.1}], ids=["trax", "lsh"])
def test_the_lowered_training_step_computes_the_same(options):
    config = tiny_config(model_type="reformer", tokenizer=TINY, n_layers=1, **options)  # reversible, with dropout
    training = TrainConfig(batch_size=2, optimizer="source", ema=False)
    state, tokens = jax.jit(partial(init_state, config, training))(tiny_parameters(config)), random_tokens(config, 2)
    found = lower_training_step(config, training).call(state, tokens, jnp.int32(10))
    expected = train_step(config, training, "blocks", state, tokens, jnp.int32(10))
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_lowered_drawing_gives_the_same_tokens():
    config = tiny_config(tokenizer=TINY, n_layers=1)
    weights, tokens, settings, key = drawing_inputs(config)
    cut, end = jnp.int32(config.n_positions // 2), jnp.int32(config.n_positions)
    fill = lower(prefill, weights, config, tokens, int(cut))
    draw = lower(decode, weights, config, tokens, empty_cache(config, 2), settings, key, cut, end)
    found, _ = draw.call(weights, tokens, fill.call(weights, tokens), settings, key, cut, end)
    cache = prefill(weights, config, tokens, int(cut))
    expected, _ = decode(weights, config, jnp.array(tokens), cache, settings, key, cut, end)
    np.testing.assert_array_equal(found, expected)
