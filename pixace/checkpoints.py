"""What a model's folder holds: weights to share (safetensors + `config.json`) and states to go on from (Orbax)."""

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import jax
import numpy as np

from pixace.config import ModelConfig, RunConfig, from_json, to_json
from pixace.errors import PixaceError
from pixace.folders import write_atomically
from pixace.models.spec import Parameters, abstract_parameters, from_named, named

CONFIG, WEIGHTS, STATES = "config.json", "weights.safetensors", "checkpoints"


def library_versions() -> dict[str, str]:
    """Versions of the libraries that decide what a model computes."""
    found = {}
    for name in ("pixace", "jax", "jaxlib", "optax", "numpy", "pillow"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "unknown"
    return found


def save_config(folder: Path, config: RunConfig) -> None:
    """Write `config.json`."""
    write_atomically(folder / CONFIG, lambda path: path.write_text(to_json(config, library_versions())))


def load_config(folder: Path) -> RunConfig:
    """Read `config.json`; raises `ConfigError` naming what is wrong in it."""
    file = folder / CONFIG
    try:
        return from_json(file.read_text(encoding="utf8"), str(file))
    except (OSError, UnicodeDecodeError) as error:
        raise PixaceError(f"cannot read {file}: {error}") from None


def save_weights(folder: Path, parameters: Parameters, step: int) -> None:
    """Write `weights.safetensors`; the old file stands until the new one is whole."""
    from safetensors.numpy import save

    arrays = {name: np.ascontiguousarray(np.asarray(leaf)) for name, leaf in named(parameters).items()}
    data = save(arrays, metadata={"step": str(step), "format": "pixace"})
    write_atomically(folder / WEIGHTS, lambda path: path.write_bytes(data))


def load_weights(folder: Path, config: ModelConfig) -> Parameters:
    """Read `weights.safetensors` as float32 parameters of a model with this configuration.

    Raises:
        PixaceError: if the file is missing, damaged or of another model; names the first weight that differs.
    """
    from safetensors import SafetensorError, safe_open

    file = folder / WEIGHTS
    if not file.exists():
        hint = "; its training goes on with `pixace train`" if (folder / STATES).is_dir() else ""
        raise PixaceError(f"{file} is missing: the model has no weights yet, or its folder is not whole{hint}")
    try:
        with safe_open(file, framework="numpy") as opened:
            arrays = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError) as error:
        raise PixaceError(f"{file} is damaged ({error}); copy or train the model again") from None
    expected = named(abstract_parameters(config))
    for name in sorted(expected.keys() | arrays.keys()):
        found = arrays[name].shape if name in arrays else "nothing"
        needed = expected[name].shape if name in expected else "nothing"
        if found != needed:
            raise PixaceError(f"{file} holds another model than {CONFIG} says: {name} is {found}, not {needed}")
    return from_named(config, {name: jax.numpy.asarray(a, "float32") for name, a in arrays.items()})


def weights_step(folder: Path) -> int:
    """The training step that `weights.safetensors` was written at; 0 if it does not say."""
    from safetensors import safe_open

    with safe_open(folder / WEIGHTS, framework="numpy") as opened:
        return int((opened.metadata() or {}).get("step", 0))


class StateStore:
    """The training states of a run: saved in the background, each appearing whole or not at all."""

    def __init__(self, folder: Path, keep: int):
        import orbax.checkpoint as ocp

        self._ocp = ocp
        self.folder = (folder / STATES).resolve()
        options = ocp.CheckpointManagerOptions(max_to_keep=keep, create=True, cleanup_tmp_directories=True)
        try:
            self._manager = ocp.CheckpointManager(self.folder, options=options)
        except OSError as error:
            raise PixaceError(f"cannot write {self.folder}: {error.strerror or error}") from None

    def latest(self) -> int | None:
        """The step of the newest whole state, or None."""
        return self._manager.latest_step()

    def steps(self) -> list[int]:
        """All whole states, oldest first."""
        return sorted(self._manager.all_steps())

    def save(self, step: int, state: Any, facts: dict[str, float]) -> None:
        """Begin to save; returns when the device's arrays are copied and the write goes on beside the run.

        Raises:
            PixaceError: if this save, or the one before it, could not be written.
        """
        arguments = self._ocp.args.Composite(
            state=self._ocp.args.StandardSave(_leaves(state)), facts=self._ocp.args.JsonSave(facts)
        )
        self._guard(lambda: self._manager.save(step, args=arguments, force=True))

    def wait(self) -> None:
        """Until the save that was begun is on disk."""
        self._guard(self._manager.wait_until_finished)

    def _guard(self, action: Any) -> None:
        try:
            action()
        except Exception as error:  # Orbax, tensorstore and the system each have their own kinds
            text = str(error)
            reason = "the disk is full" if "No space left" in text else text.splitlines()[0][:300]
            last = self.latest()
            left = f"the last good one is step {last}" if last is not None else "there is none before it"
            raise PixaceError(f"cannot save the training state in {self.folder}: {reason}; {left}") from None

    def restore(self, step: int, like: Any) -> tuple[Any, dict[str, float]]:
        """The state of a step, placed as the abstract state `like` says, and the facts saved with it."""
        abstract = _leaves(like)
        arguments = self._ocp.args.Composite(
            state=self._ocp.args.StandardRestore(abstract), facts=self._ocp.args.JsonRestore()
        )
        try:
            found = self._manager.restore(step, args=arguments)
        except Exception as error:
            raise PixaceError(
                f"the training state in {self.folder / str(step)} cannot be read "
                f"({str(error).splitlines()[0][:300]}); remove that folder to go on from an earlier state"
            ) from None
        structure = jax.tree.structure(like)
        return structure.unflatten(found["state"][name] for name in abstract), dict(found["facts"])

    def close(self) -> None:
        """Wait and let go."""
        self.wait()
        self._manager.close()


def _leaves(tree: Any) -> dict[str, Any]:
    """Leaves by path, in tree order: plain names that outlive changes of our classes."""
    paths = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in paths}
