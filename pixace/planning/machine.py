"""What this machine is: its processor, its cores, its memory; without JAX."""

import os
import platform
import subprocess
from dataclasses import dataclass
from pathlib import Path

# Where a container's limit, use and cached files stand: of cgroups, version 2 and 1.
CONTAINERS = (
    (Path("/sys/fs/cgroup"), "memory.max", "memory.current", "inactive_file"),
    (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def machine_identity() -> str:
    """The processor and the number of cores that this process may use."""
    return f"{processor()}, {usable_cores()} cores"


def processor() -> str:
    """The processor's name, as far as the system tells."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def usable_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class MemoryFound:
    """Bytes of memory: all there is, and what is free now; `kind` says whose."""

    kind: str
    total: int
    free: int


def host_memory() -> MemoryFound | None:
    """The memory of this computer, or what its container is allowed; None where the system does not tell."""
    try:
        entries = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
        total, free = (int(entries[name].split()[0]) * 1024 for name in ("MemTotal", "MemAvailable"))
    except (OSError, KeyError, ValueError):
        try:
            total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        except (ValueError, OSError, AttributeError):
            return None
        free = total
    for folder, most, current, cached in CONTAINERS:
        try:
            limit, used = (int((folder / name).read_text()) for name in (most, current))
            counts = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        except (OSError, ValueError):  # also where the limit is "max"
            continue
        if limit < total:
            used -= int(counts.get(cached, 0))  # files that were read: the system gives that memory back at once
            return MemoryFound("memory that this container may use", limit, max(0, min(free, limit - used)))
    return MemoryFound("memory of this computer", total, free)


def nvidia_memory() -> MemoryFound | None:
    """What JAX may use of the first NVIDIA GPU's memory, as its driver tells; None where there is none.

    JAX takes three quarters of it, unless XLA_PYTHON_CLIENT_MEM_FRACTION says otherwise.
    """
    if not Path("/proc/driver/nvidia/version").exists():
        return None
    command = ["nvidia-smi", "--query-gpu=name,memory.total,memory.free", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)
        name, total, free = (part.strip() for part in done.stdout.splitlines()[0].rsplit(",", 2))
        share = float(os.environ.get("XLA_PYTHON_CLIENT_MEM_FRACTION") or 0.75)
        free_bytes = min(int(free) * 2**20, int(share * int(total) * 2**20))
        return MemoryFound(f"{share:.0%} of the memory of the {name}", int(total) * 2**20, free_bytes)
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None
