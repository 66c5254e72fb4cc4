"""The slow, obvious sampler: the whole model over the whole picture for every token. It is the oracle."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from pixace.config import ModelConfig
from pixace.models.spec import Parameters
from pixace.models.transformer import forward, head
from pixace.sampling.filters import Settings, choose, gumbel_noise


def generate_naive(
    parameters: Parameters, config: ModelConfig, tokens: np.ndarray, cut: int, settings: Settings, seed: int
) -> np.ndarray:
    """Continue `tokens` (B, T) from position `cut` on; same arguments and result as `Engine.generate`."""
    ids, key = jnp.asarray(tokens, jnp.int32), jax.random.key(seed)
    for position in range(cut, config.n_positions):
        ids = _step(parameters, config, ids, jnp.int32(position), settings, key)
    return np.asarray(ids).astype(np.uint16)


@partial(jax.jit, static_argnames="config")
def _step(
    parameters: Parameters,
    config: ModelConfig,
    tokens: jax.Array,
    position: jax.Array,
    settings: Settings,
    key: jax.Array,
) -> jax.Array:
    features = forward(parameters, config, tokens, implementation="whole")
    noise = gumbel_noise(key, settings.index, position, config.vocab_size)
    return tokens.at[:, position].set(choose(head(parameters, features[:, position]), settings, noise))
