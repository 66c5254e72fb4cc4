"""Where a run is: the canvas, the optimiser and the epoch in one file, from which it goes on as if nothing had been."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from pixace.canvas.canvas import Canvas
from pixace.canvas.kinds import canvas_class
from pixace.errors import ConfigError, PixaceError
from pixace.folders import write_atomically

KIND = "pixace.guide.1"
ENDING = ".state.safetensors"


@dataclass(frozen=True)
class State:
    """A run between two epochs.

    Attributes:
        canvas: what is optimised.
        rule: the optimiser's own state.
        epoch: the one that comes next.
        scales: of each target what its features' similarities are multiplied by (F,), known from the first epoch on.
    """

    canvas: Canvas
    rule: Any
    epoch: int
    scales: list[np.ndarray]


def state_file(out: Path) -> Path:
    """Where the state of a run that writes this picture lies."""
    return out.with_name(out.stem + ENDING)


def save_state(path: Path, state: State, facts: dict[str, Any]) -> None:
    """Write a state, atomically, with facts that JSON can hold.

    Raises:
        PixaceError: it cannot be written.
    """
    canvas = state.canvas
    arrays = {f"canvas.{i}": leaf for i, leaf in enumerate(canvas.layers)}
    arrays |= {f"rule.{i}": leaf for i, leaf in enumerate(jax.tree.leaves(state.rule))}
    arrays |= {f"scale.{i}": scale for i, scale in enumerate(state.scales)}
    said = {
        "epoch": state.epoch,
        "canvas": canvas.KIND,
        "size": list(canvas.size),
        "numbers": [getattr(canvas, name) for name in canvas.NUMBERS],
        **facts,
    }
    kept = {name: np.asarray(array) for name, array in arrays.items()}
    write_atomically(path, lambda file: save_file(kept, file, {"kind": KIND, "state": json.dumps(said)}))


def read_facts(path: Path) -> dict[str, Any]:
    """The facts in a file of a state.

    Raises:
        PixaceError: there is no such file, or it holds something else.
    """
    try:
        with safe_open(path, "numpy") as file:
            said = file.metadata() or {}
        if said.get("kind") != KIND:
            raise PixaceError(f"{path} holds no state of `pixace guide`")
        facts = json.loads(said["state"])
        kinds = {"document": dict, "out": str, "record": str, "epoch": int}
        if not isinstance(facts, dict) or not all(isinstance(facts.get(name), kind) for name, kind in kinds.items()):
            raise ValueError("what it says of the run is not whole")
        return facts
    except FileNotFoundError:
        raise PixaceError(f"there is no {path}: a run leaves it until it has ended") from None
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise PixaceError(f"{path} cannot be read as the state of a run: {error}") from None


def load_state(path: Path, rule: Any) -> State:
    """The state in a file.

    Args:
        path: what `save_state` wrote.
        rule: the `optax.GradientTransformation` that the run uses.

    Raises:
        PixaceError: the file cannot be read, or is of another optimiser.
    """
    facts = read_facts(path)
    try:
        with safe_open(path, "numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no dictionary)
        height, width = facts["size"]
        layers = _numbered(arrays, "canvas")
        found = canvas_class(facts["canvas"])
        canvas = found.tree_unflatten(((height, width), tuple(facts["numbers"])), [jnp.asarray(a) for a in layers])
        wanted = rule.init(canvas)
        leaves, saved = jax.tree.leaves(wanted), _numbered(arrays, "rule")
        if [leaf.shape for leaf in leaves] != [leaf.shape for leaf in saved]:
            raise ValueError("it was written by another optimiser")
        restored = jax.tree.unflatten(jax.tree.structure(wanted), [jnp.asarray(leaf) for leaf in saved])
        return State(canvas, restored, int(facts["epoch"]), _numbered(arrays, "scale"))
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, ConfigError) as error:
        raise PixaceError(f"{path} cannot be read as the state of a run: {error}") from None


def _numbered(arrays: dict[str, np.ndarray], name: str) -> list[np.ndarray]:
    count = sum(key.startswith(name + ".") for key in arrays)
    return [arrays[f"{name}.{i}"] for i in range(count)]
