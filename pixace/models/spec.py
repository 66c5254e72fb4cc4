"""The weights of a model as JAX knows them: trees, initial values, shapes, names; all from `table.weight_table`.

Legend: as in `table.py`.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pixace.config import ModelConfig
from pixace.models.table import (
    MLP,
    Attention,
    Block,
    Norm,
    Parameters,
    Weight,
    count_parameters,
    weight_table,
)

__all__ = [
    "MLP",
    "Attention",
    "Block",
    "Norm",
    "Parameters",
    "Weight",
    "abstract_parameters",
    "count_parameters",
    "from_named",
    "init_parameters",
    "named",
    "pytree",
    "weight_table",
]

for _node in (Norm, Attention, MLP, Block, Parameters):
    jax.tree_util.register_dataclass(_node)


def pytree(cls: type) -> type:
    """A frozen dataclass whose fields are all children of a JAX pytree."""
    return jax.tree_util.register_dataclass(dataclass(frozen=True)(cls))


def init_parameters(config: ModelConfig, key: jax.Array) -> Parameters:
    """Initial float32 weights; each depends on the key and its own name alone."""
    table = named(weight_table(config))
    keys = {name: jax.random.fold_in(key, i) for i, name in enumerate(sorted(table))}
    return from_named(config, {name: _initial(w, keys[name]) for name, w in table.items()})


def _initial(weight: Weight, key: jax.Array) -> jax.Array:
    kind, amount = weight.initial
    if kind == "constant":
        return jnp.full(weight.shape, amount, jnp.float32)
    if kind == "normal":
        return amount * jax.random.normal(key, weight.shape, jnp.float32)
    if kind == "uniform":
        return jax.random.uniform(key, weight.shape, jnp.float32, -amount, amount)
    return jnp.asarray(sinusoids(*weight.shape))


def sinusoids(length: int, width: int) -> np.ndarray:
    """Positions as sines (even columns) and cosines (odd) of falling frequency; float32 (length, width)."""
    angle = np.arange(length)[:, None] * np.exp(np.arange(0, width, 2) * -(np.log(10000.0) / width))
    table = np.zeros((length, width), np.float32)
    table[:, 0::2], table[:, 1::2] = np.sin(angle), np.cos(angle)[:, : width // 2]
    return table


def abstract_parameters(config: ModelConfig) -> Parameters:
    """The tree of shapes and types, without arrays."""
    return jax.tree.map(lambda w: jax.ShapeDtypeStruct(w.shape, jnp.float32), weight_table(config))


def named(tree: Any) -> dict[str, Any]:
    """Leaves by dotted name, such as `blocks.attention.query`."""
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {".".join(entry.name for entry in path): leaf for path, leaf in leaves}


def from_named(config: ModelConfig, leaves: dict[str, Any]) -> Parameters:
    """The inverse of `named` for a model's parameters; every name of the table must be there."""
    paths, structure = jax.tree_util.tree_flatten_with_path(weight_table(config))
    return structure.unflatten(leaves[".".join(entry.name for entry in path)] for path, _ in paths)
