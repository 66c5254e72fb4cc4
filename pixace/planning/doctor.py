"""What `pixace doctor` finds out: each part by itself, so that what is broken is told and hides nothing else."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pixace.config import ModelOptions, TokenizerConfig
from pixace.folders import cache_folder
from pixace.planning.device_speed import Speed, device_speed
from pixace.planning.gpu import count_nvidia_gpus, why_no_gpu
from pixace.planning.installation import installed_versions, missing_by_extra, missing_of_base
from pixace.planning.machine import host_memory
from pixace.planning.rates import LONG_SECONDS, known_peak, measure_rates
from pixace.progress import Progress


@dataclass(frozen=True)
class Broken:
    """A part that could not be examined, and why, in one line."""

    error: str


@dataclass(frozen=True)
class Caches:
    """The folder of the caches, whether files can be made there, and bytes by what is in it."""

    folder: str
    writable: bool
    sizes: dict[str, int]


@dataclass(frozen=True)
class Devices:
    """JAX's devices: how many, of which platform; bytes of the first one's memory where it tells them.

    `gpus_not_used` counts NVIDIA GPUs that JAX leaves alone, `why` tells why.
    """

    platform: str
    says: str
    count: int
    memory_total: int | None
    memory_used: int | None
    gpus_not_used: int
    why: str


@dataclass(frozen=True)
class Attention:
    """What computes full attention in either number format, and why."""

    float32: str
    bfloat16: str
    why: str


def examine(progress: Progress) -> dict[str, Any]:
    """All parts by name: dataclasses, or lists and dicts of names; `Broken` for a part that failed."""
    parts: dict[str, Callable[[], Any]] = {
        "versions": installed_versions,
        "missing": missing_of_base,
        "extras": missing_by_extra,
        "memory": host_memory,
        "caches": _caches,
        "devices": _devices,
        "attention": _attention,
        "speed": _speed,
    }
    found: dict[str, Any] = {}
    for number, (name, part) in enumerate(parts.items()):
        progress(number, len(parts), name)
        try:
            found[name] = part()
        except Exception as error:  # whatever is wrong with this part: to tell it is what this is for
            text = (str(error).splitlines() or [""])[0][:300]
            found[name] = Broken(f"{type(error).__name__}: {text}")
    progress(len(parts), len(parts))
    return found


def _caches() -> Caches:
    root = cache_folder()
    sizes = {entry.name: _size(entry) for entry in sorted(root.iterdir())} if root.is_dir() else {}
    writable = True
    try:
        tempfile.TemporaryFile(dir=next(path for path in (root, *root.parents) if path.exists())).close()
    except OSError:
        writable = False
    return Caches(str(root), writable, sizes)


def _size(path: Path) -> int:
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file() and not p.is_symlink()]
    return sum(file.stat().st_size for file in files)


def _devices() -> Devices:
    from pixace import devices

    devices.prepare()
    found = devices.find_devices()
    first = found[0]
    statistics = first.memory_stats() or {}
    unused = count_nvidia_gpus() if first.platform == "cpu" else 0
    return Devices(
        platform=first.platform,
        says=devices.describe(found),
        count=len(found),
        memory_total=statistics.get("bytes_limit"),
        memory_used=statistics.get("bytes_in_use"),
        gpus_not_used=unused,
        why=why_no_gpu(_answer_of_jax()) if unused else "",
    )


def _answer_of_jax() -> str:
    """What JAX says when it is asked for a GPU."""
    import jax

    try:
        jax.devices("cuda")
    except (RuntimeError, AssertionError) as error:
        return str(error)
    return ""


def _attention() -> Attention:
    from pixace import devices
    from pixace.ops.attention import choose_implementation

    platform = devices.find_devices()[0].platform
    model = ModelOptions().build(TokenizerConfig())
    chosen = {
        dtype: choose_implementation(platform, dtype, model.d_head, model.d_value) for dtype in ("float32", "bfloat16")
    }
    if platform != "gpu":
        why = f"the fused kernel (cudnn) is for NVIDIA GPUs, and this is a {platform.upper()}"
    elif chosen["bfloat16"] == "cudnn":
        why = "the fused kernel works here; it takes --dtype=bfloat16 alone"
    else:
        why = "the fused kernel was tried and failed; --dtype=bfloat16 goes by blocks as well"
    return Attention(**chosen, why=why)


def _speed() -> list[Speed]:
    """Of the host, then of JAX's device if that is another one."""
    from pixace import devices

    rates = measure_rates(LONG_SECONDS)
    peak = known_peak()
    share = None if peak is None else rates.products / peak
    host = Speed(rates.machine, rates.products / 1e9, rates.bandwidth / 1e9, share, None)
    on_host = devices.find_devices()[0].platform == "cpu"
    return [host] if on_host else [host, device_speed()]
