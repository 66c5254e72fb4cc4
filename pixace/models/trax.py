"""Weights of Trax's TransformerLM and ReformerLM as our parameters (`--arch=trax`).

Trax keeps a flat list in the order of its layers; a Dense layer there has (inputs, outputs).

Legend: D model width, H heads, K width of a query or key, W width of a value, T positions, V vocabulary.
"""

from collections.abc import Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from pixace.config import ModelConfig
from pixace.errors import PixaceError
from pixace.models.spec import MLP, Attention, Block, Norm, Parameters, abstract_parameters, named


def parameters_from_trax(weights: Sequence[np.ndarray], config: ModelConfig) -> Parameters:
    """Arrange Trax's flat list of arrays for a model with this configuration (float32).

    Raises:
        PixaceError: where the list is not that of such a model; names the first array that differs.
    """
    arrays = iter(weights)
    try:
        embedding, positions = next(arrays), next(arrays)
        blocks = [_block(arrays, config) for _ in range(config.n_layers)]
        final_norm, output, output_bias = Norm(next(arrays), next(arrays)), next(arrays).T, next(arrays)
    except StopIteration:
        raise PixaceError(f"{len(weights)} arrays are too few for {config.n_layers} layers") from None
    left_over = len(list(arrays))
    if left_over:
        raise PixaceError(f"{left_over} arrays are left over after {config.n_layers} layers")
    stacked = jax.tree.map(lambda *layers: np.stack(layers), *blocks)
    positions = np.reshape(positions, positions.shape[-2:])[: config.n_positions]  # old files have (1, T, D)
    found = Parameters(embedding, positions, stacked, final_norm, output, output_bias)
    for name, expected in named(abstract_parameters(config)).items():
        shape = named(found)[name].shape
        if shape != expected.shape:
            raise PixaceError(f"{name} has shape {shape}, the model needs {expected.shape}")
    return jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), found)


def _take(arrays: Iterator[np.ndarray], count: int) -> list[np.ndarray]:
    return [next(arrays) for _ in range(count)]


def _block(arrays: Iterator[np.ndarray], config: ModelConfig) -> Block:
    attention_norm = Norm(next(arrays), next(arrays))
    attention = (_shared if config.attention_bias else _per_head)(arrays, config)
    mlp_norm = Norm(next(arrays), next(arrays))
    up, up_bias, down, down_bias = _take(arrays, 4)
    return Block(attention_norm, attention, mlp_norm, MLP(up.T, down.T, up_bias, down_bias))


def _shared(arrays: Iterator[np.ndarray], config: ModelConfig) -> Attention:
    """TransformerLM: one (D, D) matrix and a bias each for query, key, value and output."""
    heads = (config.n_heads, config.d_head)
    query, query_bias, key, key_bias, value, value_bias, out, out_bias = _take(arrays, 8)
    return Attention(
        query=query.T.reshape(*heads, -1),
        key=key.T.reshape(*heads, -1),
        value=value.T.reshape(*heads, -1),
        out=out.T.reshape(-1, *heads),
        query_bias=query_bias.reshape(heads),
        key_bias=key_bias.reshape(heads),
        value_bias=value_bias.reshape(heads),
        out_bias=out_bias,
        query_norm=None,
        key_norm=None,
    )


def _per_head(arrays: Iterator[np.ndarray], config: ModelConfig) -> Attention:
    """ReformerLM: (H, D, K) for query and key, (H, D, W) for value, (H, W, D) for output, no biases."""
    query, key, value, out = _take(arrays, 4)
    none = dict.fromkeys(("query_bias", "key_bias", "value_bias", "out_bias", "query_norm", "key_norm"))
    turned = (np.swapaxes(x, 1, 2) for x in (query, key, value))
    return Attention(*turned, out=np.transpose(out, (2, 0, 1)), **none)
