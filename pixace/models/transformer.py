"""The decoder-only model over whole sequences: training, likelihoods, the slow sampler.

Position t is given the tokens before t and predicts token t; position 0 is given the start id. The
residual streams are float32; the halves of a layer compute in `config.dtype`.

Legend: B batch, T positions, D model width, S width of what the head reads, V vocabulary, L layers.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

from pixace.config import ModelConfig
from pixace.models.layers import Mix, attention_half, attention_inputs, dropout, mlp_half, normalise, rotary_table
from pixace.models.spec import Block, Parameters
from pixace.ops.attention import causal_attention
from pixace.ops.local import attention_along, local_attention
from pixace.ops.loss import token_losses
from pixace.ops.lsh import buckets, line_of
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

    def decide(block: Block, x: jax.Array) -> jax.Array | None:
        if config.attention != "lsh":
            return None
        _, k, _ = attention_inputs(config, block, jax.lax.stop_gradient(x), angles)
        return checkpoint_name(buckets(k, config.n_hashes, config.n_buckets), "buckets")

    def attention(block: Block, x: jax.Array, key: jax.Array | None, decided: jax.Array | None) -> jax.Array:
        mix = _mix(config, implementation, None if key is None else jax.random.fold_in(key, 0), decided)
        return attention_half(config, block, x, angles, mix, key)

    def mlp(block: Block, x: jax.Array, key: jax.Array | None) -> jax.Array:
        return mlp_half(config, block, x, key)

    keys = None if key is None else jax.random.split(jax.random.fold_in(key, 1), config.n_layers)
    if config.residual == "reversible":
        streams: Any = reversible_stack(decide, attention, mlp, parameters.blocks, x, x, keys)
        return close(config, parameters, streams, key)

    def layer(x: jax.Array, inputs: tuple) -> tuple[jax.Array, None]:
        block, key = inputs
        x = x + attention(block, x, key, decide(block, x))
        return x + mlp(block, x, key), None

    if config.residual == "remat":
        policy = jax.checkpoint_policies.save_only_these_names("buckets")  # hashed once, as in `reversible_stack`
        layer = jax.checkpoint(layer, prevent_cse=False, policy=policy)
    x, _ = jax.lax.scan(layer, x, (parameters.blocks, keys))
    return close(config, parameters, (x,), key)


def _mix(config: ModelConfig, implementation: str, key: jax.Array | None, decided: jax.Array | None) -> Mix:
    """How a layer's attention mixes values: by all earlier positions, by near ones, or by those in its buckets."""
    rate = config.attention_dropout
    if config.attention == "local":
        return partial(local_attention, window=config.window, dropout=rate, key=key)
    if decided is not None:
        lines = tuple(line_of(of_round, config.window) for of_round in decided)
        return partial(attention_along, lines, window=config.window, avoid_self=True, dropout=rate, key=key)
    return partial(causal_attention, implementation=implementation, dropout=rate, key=key)


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
