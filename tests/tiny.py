"""Small models for tests: real presets, made small."""

import jax
import jax.numpy as jnp
import numpy as np

from pixace.config import ModelConfig, ModelOptions, TokenizerConfig
from pixace.models import cache, transformer
from pixace.models.spec import Parameters, Weight, from_named, named, sinusoids, weight_table

TOKENIZER = TokenizerConfig(bitdepth=(2, 2, 2), image_size=12)
VARIANTS = [("base", "transformer"), ("base", "reformer"), ("trax", "transformer"), ("trax", "reformer")]
NEARBY = [  # attention that sees a part of the past
    {"model_type": "transformer", "attention": "local", "window": 20},
    {"model_type": "reformer", "attention": "local", "window": 20},
    {"model_type": "transformer", "attention": "lsh", "window": 20, "n_hashes": 2},
    {"model_type": "reformer", "attention": "lsh", "window": 20, "n_hashes": 3},
]
MODELS = {
    **{f"{arch}-{kind}": {"arch": arch, "model_type": kind} for arch, kind in VARIANTS},
    **{f"{options['attention']}-{options['model_type']}": options for options in NEARBY},
}

# Compiled whole: one by one, every small operation would be compiled on its own.
extend = jax.jit(cache.extend, static_argnames="config")
forward, log_probs, losses = (
    jax.jit(function, static_argnames=("config", "implementation"))
    for function in (transformer.forward, transformer.log_probs, transformer.losses)
)


def tiny_config(arch="base", model_type="transformer", tokenizer=TOKENIZER, **options) -> ModelConfig:
    options = {"d_model": 32, "n_layers": 2, "n_heads": 2, **options}
    return ModelOptions(arch=arch, model_type=model_type, **options).build(tokenizer)


def tiny_parameters(config: ModelConfig, seed: int = 0) -> Parameters:
    """Initial weights with noise on every one, so that zero-initialised matrices matter too; nothing is compiled."""

    def shaken(i: int, weight: Weight) -> jax.Array:
        random, (kind, amount) = np.random.default_rng([seed, i]), weight.initial
        if kind == "normal":
            begun = amount * random.standard_normal(weight.shape)
        elif kind == "uniform":
            begun = random.uniform(-amount, amount, weight.shape)
        else:
            begun = sinusoids(*weight.shape) if kind == "sinusoids" else amount
        return jnp.asarray(begun + 0.2 * random.standard_normal(weight.shape), jnp.float32)

    return from_named(config, {name: shaken(i, w) for i, (name, w) in enumerate(named(weight_table(config)).items())})


def random_tokens(config: ModelConfig, count: int, seed: int = 0) -> np.ndarray:
    shape = (count, config.n_positions)
    return np.random.default_rng(seed).integers(2, config.vocab_size, shape).astype(np.uint16)
