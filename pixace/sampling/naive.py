"""The slow, obvious sampler: the whole model over the whole picture for every token. It is the oracle."""

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

    @jax.jit
    def step(parameters: Parameters, tokens: jax.Array, position: jax.Array) -> jax.Array:
        features = forward(parameters, config, tokens, implementation="whole")
        noise = gumbel_noise(jax.random.key(seed), settings.index, position, config.vocab_size)
        return tokens.at[:, position].set(choose(head(parameters, features[:, position]), settings, noise))

    ids = jnp.asarray(tokens, jnp.int32)
    for position in range(cut, config.n_positions):
        ids = step(parameters, ids, jnp.int32(position))
    return np.asarray(ids).astype(np.uint16)
