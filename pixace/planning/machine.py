"""What this machine can do: its memory, and how fast it multiplies matrices and moves numbers; without JAX."""

import dataclasses
import json
import os
import platform
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pixace.errors import PixaceError
from pixace.folders import cache_folder, write_atomically

RATES_FILE = "machine.json"  # in the cache folder
QUICK_SECONDS, LONG_SECONDS = 0.5, 2.0  # of a probe, about
EDGE = 1024  # of the matrices multiplied
TRIAD_FLOATS = 2**22  # 16 MiB an array: more than most caches hold


@dataclass(frozen=True)
class Rates:
    """Speed of a machine: float32 operations a second of a matrix product, bytes a second read and written.

    Attributes:
        machine: what it was measured on; another processor or number of cores makes it worthless.
        measured: the day, as 2026-01-31.
        products: operations a second of square products, all cores.
        bandwidth: bytes a second of a + 2 b, one thread.
    """

    machine: str
    measured: str
    products: float
    bandwidth: float


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


def known_rates() -> Rates | None:
    """The rates kept in the cache folder, if they are this machine's."""
    try:
        found = Rates(**json.loads((cache_folder() / RATES_FILE).read_text()))
    except (OSError, ValueError, TypeError):
        return None
    positive = isinstance(found.products, float) and isinstance(found.bandwidth, float)
    return found if positive and found.machine == machine_identity() else None


def measure_rates(seconds: float = QUICK_SECONDS) -> Rates:
    """Measure the rates with NumPy, and keep the best ever seen of this machine in the cache folder.

    Args:
        seconds: about what it takes. A machine that is busy meanwhile shows less than it can do.
    """
    left, right = (np.full((EDGE, EDGE), value, np.float32) for value in (1.0, 0.5))
    product = np.empty_like(left)
    a, b = (np.full(TRIAD_FLOATS, value, np.float32) for value in (1.0, 0.5))
    total = np.empty_like(a)

    def triad() -> None:
        np.multiply(b, 2.0, out=total)
        np.add(a, total, out=total)

    rates = Rates(
        machine_identity(),
        time.strftime("%Y-%m-%d"),
        2 * EDGE**3 / _best(lambda: np.matmul(left, right, out=product), seconds / 2),
        5 * a.nbytes / _best(triad, seconds / 2),
    )
    best = rates
    if (known := known_rates()) is not None:
        products, bandwidth = max(rates.products, known.products), max(rates.bandwidth, known.bandwidth)
        best = dataclasses.replace(rates, products=products, bandwidth=bandwidth)
    try:
        text = json.dumps(dataclasses.asdict(best), indent=1)
        write_atomically(cache_folder() / RATES_FILE, lambda path: path.write_text(text))
    except PixaceError:
        pass  # the next plan measures again
    return rates


def _best(work: Callable[[], object], seconds: float) -> float:
    """The shortest run of `work`, three at least; the first does not count."""
    work()
    best, count, ends = float("inf"), 0, time.perf_counter() + seconds
    while count < 3 or time.perf_counter() < ends:
        started = time.perf_counter()
        work()
        best, count = min(best, time.perf_counter() - started), count + 1
    return best


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
    limit, used = (
        _container("memory.max", "memory.limit_in_bytes"),
        _container("memory.current", "memory.usage_in_bytes"),
    )
    if limit is not None and limit < total:
        return MemoryFound("memory that this container may use", limit, max(0, min(free, limit - (used or 0))))
    return MemoryFound("memory of this computer", total, free)


def _container(new: str, old: str) -> int | None:
    for path in (Path("/sys/fs/cgroup") / new, Path("/sys/fs/cgroup/memory") / old):
        try:
            return int(path.read_text())
        except (OSError, ValueError):  # also where the text is "max"
            continue
    return None


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


def known_peak() -> float | None:
    """Most float32 operations a second that the cores' vector units allow at the clock shown; None if unknown.

    Two fused multiply-adds a cycle are assumed: 64 operations with AVX-512, 32 with AVX2.
    """
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return None
    words = next((line.split() for line in lines if line.startswith("flags")), [])
    clocks = [float(line.partition(":")[2]) for line in lines if line.startswith("cpu MHz")]
    a_cycle = 64 if "avx512f" in words else 32 if "fma" in words else None
    return None if a_cycle is None or not clocks else usable_cores() * max(clocks) * 1e6 * a_cycle
