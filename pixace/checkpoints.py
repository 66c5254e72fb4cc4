"""What a model's folder holds: weights to share (safetensors + `config.json`) and states to go on from (Orbax)."""

import contextlib
import errno
import gc
import json
import logging
import shutil
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np

from pixace.config import ModelConfig, RunConfig
from pixace.config_file import from_json, to_json
from pixace.errors import PixaceError
from pixace.folders import write_atomically
from pixace.models.spec import Parameters, abstract_parameters, from_named, named

CONFIG, WEIGHTS, STATES = "config.json", "weights.safetensors", "checkpoints"
Config = TypeVar("Config")
PORTABLE = "pixace"  # entry of a safetensors file's metadata that makes it a whole model


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
    return read_config(folder, from_json)


def read_config(folder: Path, parse: Callable[[str, str], Config]) -> Config:
    """What `parse` makes of the text and the name of `config.json`; raises `PixaceError` if it cannot be read."""
    file = folder / CONFIG
    try:
        return parse(file.read_text(encoding="utf8"), str(file))
    except (OSError, UnicodeDecodeError) as error:
        raise PixaceError(f"cannot read {file}: {error}") from None


def save_weights(folder: Path, parameters: Parameters, step: int) -> None:
    """Write `weights.safetensors`; the old file stands until the new one is whole."""
    _save(folder / WEIGHTS, parameters, {"step": str(step)})


def save_portable(file: Path, config: RunConfig, parameters: Parameters, step: int) -> None:
    """Write a model into one safetensors file: the text of `config.json` lies in its metadata."""
    content = {"step": step, "config": to_json(config, library_versions())}
    _save(file, parameters, {PORTABLE: json.dumps(content)})


def _save(file: Path, parameters: Parameters, metadata: dict[str, str]) -> None:
    from safetensors.numpy import save

    arrays = {name: np.ascontiguousarray(np.asarray(leaf)) for name, leaf in named(parameters).items()}
    data = save(arrays, metadata=metadata)  # one entry: several come in any order
    write_atomically(file, lambda path: path.write_bytes(data))


def load_weights(folder: Path, config: ModelConfig) -> Parameters:
    """Read `weights.safetensors` as float32 parameters of a model with this configuration.

    Raises:
        PixaceError: if the file is missing, damaged or of another model; names the first weight that differs.
    """
    return load_weights_file(folder / WEIGHTS, config)


def load_weights_file(file: Path, config: ModelConfig, told_by: str = CONFIG) -> Parameters:
    """The weights in a safetensors file, as `load_weights`; `told_by` names where the configuration stands."""
    with _opened(file) as opened:
        arrays = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 (not a dict)
    expected = named(abstract_parameters(config))
    for name in sorted(expected.keys() | arrays.keys()):
        found = arrays[name].shape if name in arrays else "nothing"
        needed = expected[name].shape if name in expected else "nothing"
        if found != needed:
            raise PixaceError(f"{file} is of another model than {told_by}: {name} is {found}, not {needed}")
    return from_named(config, {name: jax.numpy.asarray(a, "float32") for name, a in arrays.items()})


def weights_step(folder: Path) -> int:
    """The training step that `weights.safetensors` was written at; 0 if it does not say.

    Raises:
        PixaceError: if the file is missing or damaged.
    """
    with _opened(folder / WEIGHTS) as opened:
        return int((opened.metadata() or {}).get("step", 0))


def portable_config(file: Path) -> tuple[RunConfig, int]:
    """The configuration and the step of a model in one file, as `save_portable` writes it.

    Raises:
        PixaceError: if the file is missing, damaged, or holds weights alone.
    """
    with _opened(file) as opened:
        text = (opened.metadata() or {}).get(PORTABLE)
    if text is None:
        raise PixaceError(f"{file} holds weights without their configuration; put {CONFIG} beside it, as {WEIGHTS}")
    try:
        content = json.loads(text)
        step, config = content["step"], str(content["config"])
        if type(step) is not int or not 0 <= step < 2**31:
            raise ValueError("its step is no number of steps")
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise PixaceError(f"{file} is damaged: its configuration cannot be read ({error})") from None
    return from_json(config, str(file)), step


@contextlib.contextmanager
def _opened(file: Path) -> Iterator[Any]:
    from safetensors import SafetensorError, safe_open

    if not file.exists():
        hint = "; its training goes on with `pixace train`" if (file.parent / STATES).is_dir() else ""
        raise PixaceError(f"{file} is missing: the model has no weights yet, or its folder is not whole{hint}")
    try:
        with safe_open(file, framework="numpy") as opened:
            yield opened
    except (SafetensorError, OSError) as error:
        raise PixaceError(f"{file} is damaged ({error}); copy or train the model again") from None


class StateStore:
    """The training states of a run: saved in the background, each appearing whole or not at all."""

    def __init__(self, folder: Path, keep: int):
        import orbax.checkpoint as ocp

        self._ocp = ocp
        self.folder = (folder / STATES).resolve()
        logging.getLogger("absl").addFilter(_not_of_orbax)
        options = ocp.CheckpointManagerOptions(max_to_keep=keep, create=True, cleanup_tmp_directories=True)
        try:
            self.folder.mkdir(exist_ok=True)
            self._manager = ocp.CheckpointManager(self.folder, options=options)
        except OSError as error:
            raise PixaceError(f"cannot write {self.folder}: {error.strerror or error}") from None
        self._failed = False
        self._hook, sys.unraisablehook = sys.unraisablehook, self._unraisable

    def latest(self) -> int | None:
        """The step of the newest whole state, or None."""
        return max(self.steps(), default=None)

    def steps(self) -> list[int]:
        """All whole states, oldest first, as they are on disk; one that is being saved is not among them."""
        return sorted(int(entry.name) for entry in self.folder.iterdir() if entry.name.isdigit())

    def save(self, step: int, state: Any, facts: Mapping[str, float | None]) -> None:
        """Begin to save; returns when the device's arrays are copied and the write goes on beside the run.

        Raises:
            PixaceError: if this save, or the one before it, could not be written.
        """
        leaves = _leaves(state)
        arguments = self._ocp.args.Composite(
            state=self._ocp.args.StandardSave(leaves), facts=self._ocp.args.JsonSave(facts)
        )

        def begin() -> None:
            self._manager.wait_until_finished()
            needed, free = sum(leaf.nbytes for leaf in leaves.values()), shutil.disk_usage(self.folder).free
            if free < needed + 2**17:  # noticed here, no half of it is written
                raise OSError(errno.ENOSPC, f"No space left: {free:,} of {needed:,} bytes")
            self._manager.save(step, args=arguments, force=True)

        self._guard(begin)

    def wait(self) -> None:
        """Until the save that was begun is on disk; raises `PixaceError` if it could not be written."""
        self._guard(self._manager.wait_until_finished)

    def restore(self, step: int, like: Any) -> tuple[Any, dict[str, float]]:
        """The state of a step, placed as the abstract state `like` says, and the facts saved with it.

        Raises:
            PixaceError: if it is damaged; says how to go on.
        """
        abstract = _leaves(like)
        arguments = self._ocp.args.Composite(
            state=self._ocp.args.StandardRestore(abstract), facts=self._ocp.args.JsonRestore()
        )

        def read() -> tuple[list[Any], dict[str, float]]:
            found = self._manager.restore(step, args=arguments)
            return [found["state"][name] for name in abstract], dict(found["facts"])

        result, problem = self._try(read)
        if problem is not None:
            earlier = [other for other in self.steps() if other < step]
            then = f"go on from step {earlier[-1]}" if earlier else "begin anew"
            raise PixaceError(
                f"the training state in {self.folder / str(step)} cannot be read ({problem}); "
                f"remove that folder to {then}"
            )
        return jax.tree.structure(like).unflatten(result[0]), result[1]

    def close(self) -> None:
        """Wait and let go; raises `PixaceError` if the last save could not be written, unless that was said."""
        said = self._failed
        problem = self._try(self._manager.close)[1]
        del self._manager
        if self._failed:
            gc.collect()
        sys.unraisablehook = self._hook
        if problem is not None and not said:
            raise self._cannot_save(problem)

    def _guard(self, action: Callable[[], Any]) -> None:
        problem = self._try(action)[1]
        if problem is not None:
            raise self._cannot_save(problem)

    def _cannot_save(self, problem: str) -> PixaceError:
        reason = "the disk is full" if "No space left" in problem else problem[:200]
        last = self.latest()
        left = f"the last good one is step {last}" if last is not None else "there is none before it"
        return PixaceError(f"cannot save the training state in {self.folder}: {reason}; {left}")

    def _try(self, action: Callable[[], Any]) -> tuple[Any, str | None]:
        """What `action` returns, or why it failed.

        Orbax leaves the reads and writes beside a failed one unfinished; they complain on standard error, then
        and when they are thrown away. What they have to say is in the error already, so they are not heard.
        """
        try:
            return action(), None
        except Exception as error:  # Orbax, tensorstore and the system each have their own kinds
            self._failed = True
            logging.getLogger("asyncio").addFilter(_not_left_over)
            warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)
            problem = (str(error) or repr(error)).splitlines()[0]
        time.sleep(0.3)  # until those that run have ended
        gc.collect()
        return None, problem

    def _unraisable(self, problem: Any) -> None:
        if not self._failed and "Event loop is closed" not in str(problem.exc_value):
            self._hook(problem)


def _not_left_over(record: logging.LogRecord) -> bool:
    return "exception was never retrieved" not in record.getMessage()


def _not_of_orbax(record: logging.LogRecord) -> bool:
    """Whether a log record is another library's: what matters in Orbax's comes back as errors, said in a line."""
    return "orbax" not in Path(record.pathname).parts


def _leaves(tree: Any) -> dict[str, Any]:
    """Leaves by path, in tree order: plain names that outlive changes of our classes."""
    paths = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in paths}
