"""The source project's way in plain JAX, where Trax itself cannot run: float32, the whole T x T attention, Adam.

It computes what Trax's TransformerLM and ReformerLM compute, on the weights of our `arch=trax` models, in the manner
of Trax: layer by layer, every score of attention kept, nothing donated; drawn tokens come one a trip to the host,
which adds the noise. The reformer here recomputes each layer in the backward pass from its saved inputs
(`jax.checkpoint`), at the arithmetic of Trax's reversible layers and with somewhat more memory.

Legend: B batch, T positions, D model width, H heads, V vocabulary.
"""

import dataclasses
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pixace.config import ModelConfig
from pixace.models.spec import Block, Norm, Parameters

RATE, B1, B2, EPSILON, DECAY = 1e-4, 0.9, 0.999, 1e-5, 1e-5
START = 0


def by_layer(parameters: Parameters, config: ModelConfig) -> Parameters:
    """The same weights with `blocks` as one tree a layer, as Trax keeps them."""
    blocks = tuple(jax.tree.map(lambda x, i=i: x[i], parameters.blocks) for i in range(config.n_layers))
    return dataclasses.replace(parameters, blocks=blocks)


def _norm(norm: Norm, x: jax.Array) -> jax.Array:
    mean = x.mean(axis=-1, keepdims=True)
    variance = ((x - mean) ** 2).mean(axis=-1, keepdims=True)
    return (x - mean) / jnp.sqrt(variance + 1e-6) * norm.scale + norm.bias


def _drop(x: jax.Array, rate: float, key: jax.Array | None, shape: tuple[int, ...] | None = None) -> jax.Array:
    if key is None or rate == 0.0:
        return x
    return jnp.where(jax.random.bernoulli(key, 1 - rate, shape or x.shape), x / (1 - rate), 0.0)


def _project(x: jax.Array, matrix: jax.Array, bias: jax.Array | None) -> jax.Array:
    heads = jnp.einsum("btd,hkd->bhtk", x, matrix)
    return heads if bias is None else heads + bias[:, None, :]


def _attention(config: ModelConfig, block: Block, x: jax.Array, key: Any, cache: Any, position: Any) -> Any:
    """What attention adds, and the cache (keys and values, (B, H, T, K) each) with this position written, if given."""
    a, x = block.attention, _norm(block.attention_norm, x)
    q, k, v = (_project(x, m, b) for m, b in ((a.query, a.query_bias), (a.key, a.key_bias), (a.value, a.value_bias)))
    if cache is not None:
        cache = [
            jax.lax.dynamic_update_slice_in_dim(old, new, position, 2) for old, new in zip(cache, (k, v), strict=True)
        ]
        k, v = cache
    ends = jnp.arange(q.shape[2]) if position is None else position
    visible = jnp.arange(k.shape[2]) <= jnp.reshape(ends, (-1, 1))
    scores = jnp.einsum("bhqk,bhtk->bhqt", q, k) / np.sqrt(config.d_head)
    weights = jax.nn.softmax(jnp.where(visible, scores, -1e9), axis=-1)
    weights = _drop(weights, config.attention_dropout, key)
    change = jnp.einsum("bhqt,bhtw,dhw->bqd", weights, v, a.out)
    return (change if a.out_bias is None else change + a.out_bias), cache


def _feed_forward(config: ModelConfig, block: Block, x: jax.Array, keys: Any) -> jax.Array:
    h = _norm(block.mlp_norm, x) @ block.mlp.up.T + block.mlp.up_bias
    h = jax.nn.gelu(h) if config.activation == "gelu" else jax.nn.relu(h)
    return _dropped(config, _dropped(config, h, keys[0]) @ block.mlp.down.T + block.mlp.down_bias, keys[1])


def _dropped(config: ModelConfig, x: jax.Array, key: Any) -> jax.Array:
    return _drop(x, config.dropout, key, (x.shape[0], 1, x.shape[2]) if config.dropout_shared else None)


def _run(p: Parameters, config: ModelConfig, inputs: jax.Array, key: Any, caches: Any, position: Any) -> Any:
    """Logits (B, P, V) of P positions, and the caches with them written."""
    reversible = config.residual == "reversible"

    def layer(block: Block, a: jax.Array, b: jax.Array, key: Any, cache: Any) -> Any:
        keys = [None] * 4 if key is None else jax.random.split(key, 4)
        change, cache = _attention(config, block, b if reversible else a, keys[0], cache, position)
        a = a + _dropped(config, change, keys[1])
        change = _feed_forward(config, block, a, keys[2:])
        return (a, b + change, cache) if reversible else (a + change, b, cache)

    keys = [None] * (config.n_layers + 3) if key is None else jax.random.split(key, config.n_layers + 3)
    first = 0 if position is None else position
    places = jax.lax.dynamic_slice_in_dim(p.positions, first, inputs.shape[1])
    x = _dropped(config, p.embedding[inputs], keys[-1]) + _drop(places[None], config.position_dropout, keys[-2])
    a, b, new = x, x, []
    step = jax.checkpoint(layer) if reversible and caches is None else layer
    for i, block in enumerate(p.blocks):
        a, b, cache = step(block, a, b, keys[i], None if caches is None else caches[i])
        new.append(cache)
    x = _norm(p.final_norm, jnp.concatenate([a, b], axis=-1) if reversible else a)
    x = _drop(x, config.output_dropout, keys[-3], (x.shape[0], 1, x.shape[2]))
    return x @ p.output.T + p.output_bias, new


def whole_log_probs(p: Parameters, config: ModelConfig, tokens: jax.Array, key: Any = None) -> jax.Array:
    """Log-probabilities (B, T, V) of every id at every position of `tokens` (B, T)."""
    inputs = jnp.pad(tokens[:, :-1], ((0, 0), (1, 0)), constant_values=START)
    return jax.nn.log_softmax(_run(p, config, inputs, key, None, None)[0], axis=-1)


@partial(jax.jit, static_argnums=0)
def adam_step(config: ModelConfig, p: Any, slots: Any, number: jax.Array, tokens: jax.Array, key: jax.Array) -> Any:
    """One step on `tokens` (B, T) with Trax's Adam: new weights, new slots, the loss. Step `number` counts from 0."""

    def loss_of(p: Parameters) -> jax.Array:
        return -jnp.take_along_axis(whole_log_probs(p, config, tokens, key), tokens[..., None], axis=-1).mean()

    loss, gradients = jax.value_and_grad(loss_of)(p)
    first, second = slots
    first = jax.tree.map(lambda m, g: B1 * m + (1 - B1) * g, first, gradients)
    second = jax.tree.map(lambda v, g: B2 * v + (1 - B2) * g * g, second, gradients)
    n = number + 1

    def updated(w: jax.Array, m: jax.Array, v: jax.Array) -> jax.Array:
        return (1 - DECAY) * w - RATE * m / (1 - B1**n) / (jnp.sqrt(v / (1 - B2**n)) + EPSILON)

    return jax.tree.map(updated, p, first, second), (first, second), loss


@partial(jax.jit, static_argnums=0)
def next_logits(config: ModelConfig, p: Any, caches: Any, ids: jax.Array, position: jax.Array) -> Any:
    """Log-probabilities (B, V) after `ids` (B, 1) at `position`, and the caches; not donated, as Trax's state."""
    logits, caches = _run(p, config, ids, None, caches, position)
    return jax.nn.log_softmax(logits[:, 0]), caches


def empty_caches(config: ModelConfig, rows: int) -> Any:
    """Keys and values of each layer, all zero."""
    shape = (rows, config.n_heads, config.n_positions)
    return [[jnp.zeros((*shape, width)) for width in (config.d_head, config.d_value)] for _ in range(config.n_layers)]


def sample(config: ModelConfig, p: Parameters, rows: int, count: int, noise: np.random.Generator) -> np.ndarray:
    """Draw the first `count` tokens of pictures: int (rows, count).

    Each token makes a trip to the host, which adds Gumbel noise and takes the largest, as Trax's
    `autoregressive_sample_stream` does.
    """
    caches, ids, drawn = empty_caches(config, rows), np.full((rows, 1), START, np.int32), []
    for position in range(count):
        log_probs, caches = next_logits(config, p, caches, ids, position)
        uniform = noise.uniform(1e-6, 1.0 - 1e-6, log_probs.shape)
        ids = np.argmax(np.asarray(log_probs) - np.log(-np.log(uniform)), axis=-1)[:, None].astype(np.int32)
        drawn.append(ids)
    return np.concatenate(drawn, axis=1)
