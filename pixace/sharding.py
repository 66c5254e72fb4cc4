"""Many devices as one: logical axes of weights and batches laid onto a mesh.

One device is the default and goes the same way. Batches are split over the `data` axis; weights are
split over `model` where `RULES` says so and whole on every device otherwise.
"""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from pixace.config import ModelConfig
from pixace.errors import ConfigError
from pixace.models.spec import weight_table

RULES: dict[str, str | None] = {
    "batch": "data",
    "heads": "model",
    "mlp": "model",
    "vocab": None,
    "embed": None,
    "head": None,
    "position": None,
    "layers": None,
}


def make_mesh(devices: Sequence[Any], model_parallel: int = 1) -> Mesh:
    """A mesh (data, model) of these devices."""
    if len(devices) % model_parallel:
        raise ConfigError(f"{len(devices)} devices cannot be split into groups of {model_parallel}")
    grid = np.array(devices).reshape(-1, model_parallel)
    return Mesh(grid, ("data", "model"), axis_types=(AxisType.Auto, AxisType.Auto))


def sharding(mesh: Mesh, axes: Sequence[str | None]) -> NamedSharding:
    """How an array with these logical axes lies on the mesh; no mesh axis may be used twice."""
    placed = [RULES[axis] if axis else None for axis in axes]
    used = [axis for axis in placed if axis]
    if len(used) != len(set(used)):
        raise ConfigError(f"logical axes {tuple(axes)} use a mesh axis twice: {placed}")
    return NamedSharding(mesh, PartitionSpec(*placed))


def parameter_shardings(config: ModelConfig, mesh: Mesh) -> Any:
    """The tree of shardings of a model's weights."""
    return jax.tree.map(lambda weight: sharding(mesh, weight.axes), weight_table(config))


def replicated(mesh: Mesh) -> NamedSharding:
    """Whole on every device."""
    return NamedSharding(mesh, PartitionSpec())
