"""Which device does the work: chosen once, said aloud, never silently another one."""

import ctypes
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pixace.errors import PixaceError
from pixace.folders import cache_folder

DEVICES = ("auto", "cpu", "gpu", "tpu")
_DETERMINISTIC = "--xla_gpu_deterministic_ops=true"
_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8  # glibc's malloc.h
_LOOK_FOR_DRIVER = "is there a driver (nvidia-smi), and was a container started with --gpus all?"


def prepare(device: str = "auto", deterministic: bool = False) -> None:
    """Settings that must stand before JAX starts: platform, determinism, the compilation cache.

    Compiled programs are kept in the cache folder, so that a command starts quicker the second time.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if deterministic and _DETERMINISTIC not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} {_DETERMINISTIC}".strip()
    import jax

    if device == "cpu":
        jax.config.update("jax_platforms", "cpu")
    if jax.config.values.get("jax_compilation_cache_dir"):
        return
    folder = cache_folder() / "compiled"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return  # works as well, only slower to start
    if os.access(folder, os.W_OK):
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


def keep_freed_memory() -> None:
    """Have glibc give memory that was freed to the next who asks, not to the system; elsewhere nothing happens.

    XLA asks for its room on the CPU anew at every step. Room of more than 32 MB glibc would get from the system each
    time, which hands it out in pages of 4 kB, each cleared as it is first touched: a tenth of the time of large steps.
    Threads then share one arena, which makes those that read many pictures a little slower; so this is for work whose
    steps are large.
    """
    try:
        adjust = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):  # not Linux, or not glibc
        return
    for setting, value in ((_ARENA_MAX, 1), (_MMAP_MAX, 0), (_TRIM_THRESHOLD, 2**31 - 1)):
        adjust(setting, value)


def find_devices(device: str = "auto") -> Sequence[Any]:
    """The devices to use; a warning says why GPU support that is installed did not start.

    Raises:
        PixaceError: if the kind that was asked for is not there.
    """
    import jax

    with _failed_plugins() as failures:
        try:
            found = jax.local_devices() if device == "auto" else jax.local_devices(backend=device)
        except (RuntimeError, AssertionError) as error:  # the latter where the only platform allowed is not installed
            raise PixaceError(_why_none(device, str(error), failures)) from None
    for failure in failures if device == "auto" else ():
        print(f"warning: JAX's GPU support did not start ({failure}); {_LOOK_FOR_DRIVER}", file=sys.stderr)
    return found[:1] if found[0].platform == "cpu" else found  # a CPU's cores work as one device


@contextmanager
def _failed_plugins() -> Iterator[list[str]]:
    """Why plugins of JAX, such as that for CUDA, did not start, one line each; JAX logs tracebacks instead."""
    failures: list[str] = []

    def note(record: logging.LogRecord) -> bool:
        if record.exc_info and record.exc_info[1]:
            failures.append(_first_line(str(record.exc_info[1])))
        return not record.exc_info

    logger = logging.getLogger("jax._src.xla_bridge")
    logger.addFilter(note)
    try:
        yield failures
    finally:
        logger.removeFilter(note)


def _first_line(text: str) -> str:
    return text.partition("\n")[0][:200]


def _why_none(device: str, reason: str, failures: Sequence[str]) -> str:
    reason = _first_line(failures[0] if failures and device != "tpu" else reason)
    if not reason or reason.startswith("Unknown backend"):
        reason = "it was not found, or JAX has no support for it installed"
    allowed = os.environ.get("JAX_PLATFORMS")
    where = f" while JAX_PLATFORMS={allowed} is set" if allowed else ""
    hint = ""
    if device == "gpu" and not allowed:
        hint = f"; {_LOOK_FOR_DRIVER}" if failures else "; pip install '.[cuda]' brings GPU support"
    kind = "device" if device == "auto" else device
    return f"--device={device}: there is no {kind} that JAX can use{where} ({reason}){hint}; --device=cpu always works"


def describe(devices: Sequence[Any]) -> str:
    """One line for people, such as `device: NVIDIA H200 (gpu)`."""
    first = devices[0]
    if first.platform == "cpu":
        return f"device: CPU, {os.cpu_count()} cores"
    several = f"{len(devices)} x " if len(devices) > 1 else ""
    return f"device: {several}{first.device_kind} ({first.platform})"


def warn_of_idle_gpu(devices: Sequence[Any]) -> None:
    """Say so if this machine has an NVIDIA GPU that JAX does not use."""
    if devices[0].platform == "cpu" and Path("/proc/driver/nvidia/version").exists():
        print(
            "warning: this machine has an NVIDIA GPU, but JAX runs on the CPU; "
            "pip install '.[cuda]' brings GPU support, --device=gpu insists on it",
            file=sys.stderr,
        )
