"""The ceilings of a machine: how fast it multiplies matrices, and how fast it moves memory.

    python benchmarks/roofline.py [--device=cpu] [--small]

Each figure is the best of several tries, since a ceiling is what the machine can do, not what it does on average.
Arithmetic is that of square products (2 n^3) in float32 as JAX computes it by default (TF32 on recent NVIDIA GPUs),
on a GPU also in true float32 and in bfloat16. Bandwidth is that of a triad (a + 2 b: two read, one written) and of
reading alone (a matrix times a vector), on arrays far larger than a GPU's cache and, for NumPy, of one thread copying.

The other benchmarks measure their own ceilings with these functions, right before their rounds.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from machine import report

TRIES = 5
NUMPY_BYTES = 2**28


def best_seconds(work: Callable[[], Any], tries: int = TRIES) -> float:
    """The shortest of several runs of `work`, one uncounted first."""
    seconds = []
    for _ in range(1 + tries):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return min(seconds[1:])


def numpy_bandwidth() -> float:
    """Bytes a second, read and written, of one thread copying an array."""
    source = np.ones(NUMPY_BYTES, np.uint8)
    target = np.zeros_like(source)
    return 2 * NUMPY_BYTES / best_seconds(lambda: np.copyto(target, source))


def device_roofline(small: bool = False) -> dict[str, float]:
    """Ceilings of JAX's first device.

    Returns:
        `float32` and, on a GPU, `float32_highest` and `bfloat16`: operations a second; `triad` and `read`: bytes
        a second. `small` takes little time and memory, for rehearsals; its figures are too low.
    """
    import jax

    gpu = jax.devices()[0].platform != "cpu"
    edge = 512 if small else 8192 if gpu else 2048
    rates = {"float32": _matmul(edge, "float32", "default")}
    if gpu:
        rates["float32_highest"] = _matmul(edge, "float32", "highest")
        rates["bfloat16"] = _matmul(edge, "bfloat16", "default")
    return {**rates, **_bandwidth(2**20 if small else 2**28 if gpu else 2**27)}


def _matmul(edge: int, dtype: str, precision: str) -> float:
    import jax
    import jax.numpy as jnp

    x = jax.random.normal(jax.random.key(0), (edge, edge), jnp.float32).astype(dtype)
    product = jax.jit(lambda a, b: jnp.matmul(a, b, precision=precision))
    repeats = 8  # dispatched together, so that the host's part of one does not count

    def work() -> None:
        jax.block_until_ready([product(x, x) for _ in range(repeats)])

    return repeats * 2 * edge**3 / best_seconds(work)


def _bandwidth(count: int) -> dict[str, float]:
    import jax
    import jax.numpy as jnp

    triad = jax.jit(lambda a, b: a + 2 * b, donate_argnums=0)
    b, state = jnp.full(count, 2.0, jnp.float32), [jnp.ones(count, jnp.float32)]

    def step() -> None:
        state[0] = jax.block_until_ready(triad(state[0], b))

    return {"triad": 3 * b.nbytes / best_seconds(step), "read": read_bandwidth(b.nbytes)}


def read_bandwidth(n_bytes: int) -> float:
    """Bytes a second of a float32 matrix times a vector, for a matrix of about so many bytes."""
    import jax
    import jax.numpy as jnp

    width = 1024
    matrix, vector = jnp.ones((max(n_bytes // (4 * width), 1), width), jnp.float32), jnp.ones(width, jnp.float32)
    product = jax.jit(lambda m, v: m @ v)
    repeats = 8  # dispatched together, so that the host's part of one does not count

    def work() -> None:
        jax.block_until_ready([product(matrix, vector) for _ in range(repeats)])

    return repeats * matrix.nbytes / best_seconds(work)


def describe(roof: dict[str, float]) -> str:
    """The ceilings in one line for people."""
    units = {"triad": "GB/s", "read": "GB/s", "numpy_copy": "GB/s"}
    parts = [f"{name} {rate / 1e9:,.1f} {units.get(name, 'GFLOP/s')}" for name, rate in roof.items()]
    return "ceilings: " + ", ".join(parts)


def giga(roof: dict[str, float]) -> dict[str, float]:
    """The ceilings for a result, in GFLOP/s and GB/s."""
    return {name: round(rate / 1e9, 2) for name, rate in roof.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=("auto", "cpu", "gpu"), default="auto")
    parser.add_argument("--small", action="store_true", help="a rehearsal: small arrays, figures of no worth")
    arguments = parser.parse_args()
    from pixace import devices

    devices.prepare(arguments.device)
    print(devices.describe(devices.find_devices(arguments.device)))
    roof = {**device_roofline(arguments.small), "numpy_copy": numpy_bandwidth()}
    print(describe(roof))
    report("roofline", {"giga_per_second": giga(roof), "small": arguments.small})


if __name__ == "__main__":
    main()
