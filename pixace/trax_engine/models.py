"""Trax's models for our configurations, and our weights in their trees."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pixace.config import ModelConfig
from pixace.models.spec import Parameters
from pixace.models.trax import parameters_from_trax, trax_from_parameters
from pixace.trax_engine.loading import hushed, load_trax, predict_mode


def make_model(config: ModelConfig, mode: str) -> Any:
    """`TransformerLM` or `ReformerLM` of Trax, without weights; `mode` is train, eval or predict."""
    trax = load_trax()
    sizes: dict[str, Any] = dict(
        vocab_size=config.vocab_size,
        d_model=config.d_model,
        d_ff=config.d_ff,
        n_layers=config.n_layers,
        n_heads=config.n_heads,
        dropout=config.dropout,
        max_len=config.n_positions,
        mode=mode,
    )
    if config.residual == "reversible":
        sizes |= dict(d_attention_key=config.d_head, d_attention_value=config.d_value)
        if mode == "predict":  # this attention must be told how much to remember: a whole picture
            memory = dict(predict_mem_len=config.n_positions, predict_drop_len=config.n_positions)
            sizes["attention_type"] = partial(trax.layers.SelfAttention, **memory)
        return trax.models.ReformerLM(**sizes)
    model = trax.models.TransformerLM(**sizes)
    if mode == "predict":
        _fit_memory(model, config.n_positions)
    return model


def _fit_memory(layer: Any, length: int) -> None:
    """Let attention remember a whole picture.

    TransformerLM passes no length on: each layer would keep 2,048 positions, too many for a small picture and too
    few for one of 64 x 64, whose later tokens Trax would write over one another without a word.
    """
    if isinstance(layer, load_trax().layers.attention.DotProductCausalAttention):
        layer._max_len = length
    for part in layer.sublayers:
        _fit_memory(part, length)


def initialise(model: Any, rows: int, length: int) -> None:
    """Give a model the weights and states that Trax begins with, for `rows` sequences of `length` tokens."""
    with hushed(), predict_mode():
        model.init(load_trax().shapes.ShapeDtype((rows, length), np.int32), rng=jax.random.PRNGKey(0))


def tree_of(parameters: Parameters, config: ModelConfig, like: Any) -> Any:
    """Our parameters as the weights of a Trax model; `like` is that model's own tree."""
    arrays: Sequence[np.ndarray] = trax_from_parameters(parameters, config)
    return jax.tree.unflatten(jax.tree.structure(like), [jnp.asarray(array) for array in arrays])


def parameters_of(weights: Any, config: ModelConfig) -> Parameters:
    """The weights of a Trax model as our parameters."""
    return parameters_from_trax([np.asarray(leaf) for leaf in jax.tree.leaves(weights)], config)
