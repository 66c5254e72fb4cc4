"""The state that a run begins with, and how it lies on the devices."""

from typing import Any

import jax
from jax.sharding import Mesh

from pixace.config import RunConfig, TrainConfig
from pixace.sharding import parameter_shardings, replicated
from pixace.training.step import TrainState, init_state


def first_state(config: RunConfig, mesh: Mesh, parameters: Any = None) -> Any:
    """The state before the first step: from the seed, or from given weights."""
    make = jax.jit(
        lambda given: init_state(config.model, _training(config), given), out_shardings=_placement(config, mesh)
    )
    return make(parameters)


def abstract_state(config: RunConfig, mesh: Mesh) -> Any:
    """Shapes, types and places of such a state, without arrays."""
    place = _placement(config, mesh)
    return jax.tree.map(lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), _shapes(config), place)


def _shapes(config: RunConfig) -> Any:
    return jax.eval_shape(lambda: init_state(config.model, _training(config)))


def _placement(config: RunConfig, mesh: Mesh) -> Any:
    """Weights and their average lie as the weight table says, all else is whole on every device."""
    whole = jax.tree.map(lambda _: replicated(mesh), _shapes(config))
    weights = parameter_shardings(config.model, mesh)
    return TrainState(whole.step, weights, whole.optimizer, None if whole.average is None else weights)


def _training(config: RunConfig) -> TrainConfig:
    assert config.training is not None
    return config.training
