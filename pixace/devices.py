"""Which device does the work: chosen once, said aloud, never silently another one."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pixace.errors import PixaceError
from pixace.folders import cache_folder

DEVICES = ("auto", "cpu", "gpu", "tpu")
_DETERMINISTIC = "--xla_gpu_deterministic_ops=true"


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
    if not jax.config.values.get("jax_compilation_cache_dir"):
        jax.config.update("jax_compilation_cache_dir", str(cache_folder() / "compiled"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)


def find_devices(device: str = "auto") -> Sequence[Any]:
    """The devices to use.

    Raises:
        PixaceError: if the kind that was asked for is not there.
    """
    import jax

    try:
        found = jax.local_devices() if device == "auto" else jax.local_devices(backend=device)
        return found[:1] if found[0].platform == "cpu" else found  # a CPU's cores work as one device
    except RuntimeError as error:
        here = ", ".join(sorted({d.platform for d in jax.local_devices(backend="cpu")}))
        hint = "; pip install '.[cuda]' brings JAX's GPU support" if device == "gpu" else ""
        reason = str(error).splitlines()[0]
        raise PixaceError(
            f"--device={device}: there is no {device} that JAX can use ({reason}; here: {here}){hint}"
        ) from None


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
