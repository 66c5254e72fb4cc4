"""Small models that both sides compute, and how Trax computes them."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from pixace.config import ModelConfig, ModelOptions, TokenizerConfig
from pixace.models.spec import Parameters
from pixace.models.transformer import log_probs
from pixace.trax_engine.models import initialise, make_model

TOKENIZER = TokenizerConfig(bitdepth=(2, 2, 2), image_size=6)


def config_of(model_type: str, tokenizer: TokenizerConfig = TOKENIZER, **changes) -> ModelConfig:
    """A configuration of `--arch=trax`; `changes` may hold sizes that no flag can give."""
    options = ModelOptions(model_type=model_type, arch="trax", d_model=32, n_layers=2, n_heads=2, d_ff=48)
    return dataclasses.replace(options.build(tokenizer), **changes)


def tokens_of(config: ModelConfig, count: int, seed: int = 0) -> np.ndarray:
    shape = (count, config.n_positions)
    return np.random.default_rng(seed).integers(2, config.vocab_size, shape).astype(np.int32)


def shaken(weights, size: float = 0.3):
    """Weights with noise on every one, so that each of them matters."""
    random = np.random.default_rng(0)
    return jax.tree.map(lambda w: jnp.asarray(w + size * random.standard_normal(w.shape), jnp.float32), weights)


def trax_model(config: ModelConfig, mode: str = "eval", rows: int = 2):
    """A Trax model with shaken weights."""
    model = make_model(config, mode)
    initialise(model, rows, config.n_positions)
    model.weights = shaken(model.weights)
    return model


def trax_log_probs(model, tokens: np.ndarray) -> np.ndarray:
    with jax.default_matmul_precision("highest"):
        return np.asarray(jax.nn.log_softmax(model(tokens, rng=jax.random.PRNGKey(0)), axis=-1))


def our_log_probs(parameters: Parameters, config: ModelConfig, tokens: np.ndarray) -> np.ndarray:
    with jax.default_matmul_precision("highest"):
        return np.asarray(jax.jit(lambda p: log_probs(p, config, jnp.asarray(tokens)))(parameters))
