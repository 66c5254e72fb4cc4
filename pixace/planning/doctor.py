"""What `pixace doctor` finds out: each part by itself, so that what is broken is told and hides nothing else."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pixace.config import ModelOptions, TokenizerConfig
from pixace.folders import cache_folder
from pixace.planning.device_speed import device_speed
from pixace.planning.gpu import count_nvidia_gpus, why_no_gpu
from pixace.planning.installation import library_versions, missing_by_extra, missing_of_base
from pixace.planning.machine import LONG_SECONDS, host_memory, known_peak, measure_rates
from pixace.progress import Progress

Part = Callable[[], Any]


def examine(progress: Progress) -> dict[str, Any]:
    """All parts by name; the value of a part that failed is {"error": one line}."""
    parts: dict[str, Part] = {
        "versions": library_versions,
        "missing": missing_of_base,
        "extras": missing_by_extra,
        "memory": _memory,
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
            found[name] = {"error": f"{type(error).__name__}: {text}"}
    progress(len(parts), len(parts))
    return found


def _memory() -> dict[str, Any]:
    host = host_memory()
    return {} if host is None else {"of": host.kind, "total": host.total, "free": host.free}


def _caches() -> dict[str, Any]:
    root = cache_folder()
    sizes = {entry.name: _size(entry) for entry in sorted(root.iterdir())} if root.is_dir() else {}
    writable = True
    try:
        tempfile.TemporaryFile(dir=next(path for path in (root, *root.parents) if path.exists())).close()
    except OSError:
        writable = False
    return {"folder": str(root), "writable": writable, "bytes": sizes}


def _size(path: Path) -> int:
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file() and not p.is_symlink()]
    return sum(file.stat().st_size for file in files)


def _devices() -> dict[str, Any]:
    from pixace import devices

    devices.prepare()
    found = devices.find_devices()
    first = found[0]
    statistics = first.memory_stats() or {}
    result: dict[str, Any] = {"platform": first.platform, "says": devices.describe(found), "count": len(found)}
    if "bytes_limit" in statistics:
        result["memory"] = {"total": statistics["bytes_limit"], "used": statistics.get("bytes_in_use", 0)}
    unused = count_nvidia_gpus() if first.platform == "cpu" else 0
    if unused:
        result["gpu_not_used"] = {"count": unused, "why": why_no_gpu(_answer_of_jax())}
    return result


def _answer_of_jax() -> str:
    """What JAX says when it is asked for a GPU."""
    import jax

    try:
        jax.devices("cuda")
    except (RuntimeError, AssertionError) as error:
        return str(error)
    return ""


def _attention() -> dict[str, str]:
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
    return chosen | {"why": why}


def _speed() -> dict[str, Any]:
    from pixace import devices

    rates = measure_rates(LONG_SECONDS)
    peak = known_peak()
    host = {
        "machine": rates.machine,
        "gflops": rates.products / 1e9,
        "share_of_peak": None if peak is None else rates.products / peak,
        "bandwidth_gb": rates.bandwidth / 1e9,
        "share_of_bandwidth": None,
    }
    on_host = devices.find_devices()[0].platform == "cpu"
    return {"host": host} if on_host else {"host": host, "device": device_speed()}
