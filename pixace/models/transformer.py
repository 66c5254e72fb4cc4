"""The decoder-only model over whole sequences: training, likelihoods, the slow sampler.

Position t is given the tokens before t and predicts token t; position 0 is given the start id. The
residual streams are float32; the halves of a layer compute in `config.dtype`.

Legend: B batch, T positions, D model width, S width of what the head reads, V vocabulary, L layers.
"""

from functools import partial

import jax
import jax.numpy as jnp

from pixace.config import ModelConfig
from pixace.models.layers import attention_half, dropout, mlp_half, normalise, rotary_table
from pixace.models.spec import Block, Parameters
from pixace.ops.attention import causal_attention
from pixace.ops.loss import token_losses
from pixace.ops.reversible import reversible_stack

START = 0  # the id that position 0 is given


def forward(
    parameters: Parameters,
    config: ModelConfig,
    tokens: jax.Array,
    *,
    implementation: str = "blocks",
    key: jax.Array | None = None,
) -> jax.Array:
    """Features (B, T, S) from which the head predicts `tokens` (B, T); dropout acts where `key` is given."""
    inputs = jnp.pad(tokens[:, :-1], ((0, 0), (1, 0)), constant_values=START)
    length = inputs.shape[1]
    positions = None if parameters.positions is None else parameters.positions[:length]
    x = embed(config, parameters, inputs, positions, key)
    angles = rotary_table(config)
    angles = None if angles is None else angles[:length]

    def attention(block: Block, x: jax.Array, key: jax.Array | None) -> jax.Array:
        mix_key = None if key is None else jax.random.fold_in(key, 0)
        mix = partial(causal_attention, implementation=implementation, dropout=config.attention_dropout, key=mix_key)
        return attention_half(config, block, x, angles, mix, key)

    def mlp(block: Block, x: jax.Array, key: jax.Array | None) -> jax.Array:
        return mlp_half(config, block, x, key)

    keys = None if key is None else jax.random.split(jax.random.fold_in(key, 1), config.n_layers)
    if config.residual == "reversible":
        return close(config, parameters, reversible_stack(attention, mlp, parameters.blocks, x, x, keys), key)

    def layer(x: jax.Array, inputs: tuple) -> tuple[jax.Array, None]:
        block, key = inputs
        x = x + attention(block, x, key)
        return x + mlp(block, x, key), None

    if config.residual == "remat":
        layer = jax.checkpoint(layer, prevent_cse=False)
    x, _ = jax.lax.scan(layer, x, (parameters.blocks, keys))
    return close(config, parameters, (x,), key)


def embed(
    config: ModelConfig,
    parameters: Parameters,
    inputs: jax.Array,
    positions: jax.Array | None,
    key: jax.Array | None = None,
) -> jax.Array:
    """The float32 stream (B, T, D) that enters the first layer; `positions` (T, D) where they are learned."""
    x = dropout(config, parameters.embedding[inputs].astype(jnp.float32), config.dropout, key, 2)
    if positions is None:
        return x
    positions = positions.astype(jnp.float32)[None]
    return x + dropout(config, positions, config.position_dropout, key, 3)


def close(
    config: ModelConfig, parameters: Parameters, streams: tuple[jax.Array, ...], key: jax.Array | None = None
) -> jax.Array:
    """Join the streams, normalise: features (B, T, S) in `config.dtype`."""
    if len(streams) == 2 and config.streams == "concat":
        x = jnp.concatenate(streams, axis=-1)
    else:
        x = jnp.mean(jnp.stack(streams), axis=0)
    return dropout(config, normalise(config, parameters.final_norm, x), config.output_dropout, key, 4)


def head(parameters: Parameters, features: jax.Array) -> jax.Array:
    """Logits (..., V) in float32 of features (..., S)."""
    output = parameters.output.astype(features.dtype)
    logits = jnp.einsum("...s,vs->...v", features, output, preferred_element_type=jnp.float32)
    return logits if parameters.output_bias is None else logits + parameters.output_bias


def losses(
    parameters: Parameters,
    config: ModelConfig,
    tokens: jax.Array,
    *,
    implementation: str = "blocks",
    key: jax.Array | None = None,
) -> tuple[jax.Array, jax.Array]:
    """Loss of each token in nats (B, T) and whether it was the most likely one (B, T)."""
    features = forward(parameters, config, tokens, implementation=implementation, key=key)
    return token_losses(features, parameters.output, parameters.output_bias, tokens)


def log_probs(
    parameters: Parameters, config: ModelConfig, tokens: jax.Array, *, implementation: str = "blocks"
) -> jax.Array:
    """Log-probability of every id at every position, float32 (B, T, V), reserved ids included."""
    features = forward(parameters, config, tokens, implementation=implementation)
    return jax.nn.log_softmax(head(parameters, features), axis=-1)
