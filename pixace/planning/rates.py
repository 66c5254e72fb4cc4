"""How fast this machine multiplies matrices and moves numbers; without JAX."""

import dataclasses
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pixace.errors import PixaceError
from pixace.folders import cache_folder, write_atomically
from pixace.planning.machine import machine_identity, usable_cores

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
