"""Importing Trax: late, once, and without the noise that it and TensorFlow make."""

import contextlib
import importlib.util
import io
import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any
from unittest import mock

from pixace.errors import PixaceError

_INSTALL = "pip install '.[trax]' brings it (Trax 1.4.1 with TensorFlow, about 3 GB, on Python 3.11 or 3.12)"


@dataclass(frozen=True)
class Trax:
    """The modules of Trax that are used here."""

    layers: Any
    models: Any
    optimizers: Any
    shapes: Any
    training: Any
    backend: dict[str, Any]  # the functions of JAX by the names that Trax calls them by


def check_installed() -> None:
    """Raise `PixaceError` with the way to install it where Trax is missing; quick, imports nothing."""
    if importlib.util.find_spec("trax") is None:
        raise PixaceError(f"--engine=trax needs Trax, which is not installed; {_INSTALL}")


@cache
def load_trax() -> Trax:
    """Import Trax, about 20 seconds the first time, and say so on standard error.

    Raises:
        PixaceError: if it is not installed, or does not load with the libraries beside it.
    """
    check_installed()
    print("loading Trax (about 20 s)", file=sys.stderr, flush=True)
    try:
        with hushed(), _silent_stderr(), _interruptible():
            # JAX alone computes: TensorFlow, which only reads and writes files for Trax, must leave the GPU's memory.
            import_module("tensorflow").config.set_visible_devices([], "GPU")
            names = ("layers", "models", "optimizers", "shapes", "supervised.training")
            modules = [import_module(f"trax.{name}") for name in names]
            found = Trax(*modules, backend=import_module("trax.fastmath.ops").backend())
    except Exception as error:  # each of its many dependencies has its own way to fail
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise PixaceError(f"Trax is installed but does not load ({reason}); {_INSTALL}") from error
    return found


@contextlib.contextmanager
def _silent_stderr() -> Iterator[None]:
    """For the whole process, since TensorFlow's C++ libraries write to the descriptor itself, settings or not."""
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        with contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        os.dup2(kept, 2)
        os.close(nowhere)
        os.close(kept)


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Ctrl-C acts at the end: some of what is imported catches every exception, and it would be lost there."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    caught = []
    before = signal.signal(signal.SIGINT, lambda number, frame: caught.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before or signal.SIG_DFL)
    if caught:
        raise KeyboardInterrupt


@contextlib.contextmanager
def hushed() -> Iterator[None]:
    """Trax prints its progress on standard output and uses what NumPy and JAX warn of: neither is for our users."""
    absl = logging.getLogger("absl")
    level = absl.level
    absl.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        absl.setLevel(level)


def predict_mode() -> Any:
    """While this lasts, a Reformer can be used in predict mode, in which Trax leans on two habits that JAX has dropped.

    `cond` no longer takes its arguments by these names, and `stop_gradient` of a Python number is an array now,
    which cannot be the length of a range.
    """
    import jax

    def cond(pred: Any, true_operand: Any, true_fun: Any, false_operand: Any, false_fun: Any) -> Any:
        return jax.lax.cond(pred, lambda t, f: true_fun(t), lambda t, f: false_fun(f), true_operand, false_operand)

    def stop_gradient(x: Any) -> Any:
        return x if isinstance(x, int) else jax.lax.stop_gradient(x)

    return mock.patch.dict(load_trax().backend, cond=cond, stop_gradient=stop_gradient)
