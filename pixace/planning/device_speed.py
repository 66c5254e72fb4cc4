"""How fast JAX's device multiplies and moves numbers, beside its data sheet where that is known.

Not checked on a GPU yet.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

TRIES = 5
# Per data sheet: bfloat16 operations a second without sparsity, bytes a second; by a word of the device's name.
DATA_SHEETS = {
    "H200": (989e12, 4.8e12),
    "H100": (989e12, 3.35e12),
    "A100": (312e12, 2.0e12),
    "L4": (121e12, 0.3e12),
}


@dataclass(frozen=True)
class Speed:
    """Speed of one machine: 10^9 operations a second of a matrix product, 10^9 bytes a second read and written.

    The shares are those of what is possible at most, where that is known.
    """

    machine: str
    gflops: float
    bandwidth_gb: float
    share_of_peak: float | None
    share_of_bandwidth: float | None


def device_speed(edge: int = 8192, count: int = 2**27) -> Speed:
    """Operations a second of bfloat16 products (edge x edge) and bytes a second of a + 2 b on JAX's first device."""
    import jax
    import jax.numpy as jnp

    x = jnp.ones((edge, edge), jnp.bfloat16)
    a, b = jnp.ones(count, jnp.float32), jnp.ones(count, jnp.float32)
    product, triad = jax.jit(lambda x: x @ x), jax.jit(lambda a, b: a + 2 * b)
    products = 2 * edge**3 / _best(lambda: jax.block_until_ready(product(x)))
    bandwidth = 3 * a.nbytes / _best(lambda: jax.block_until_ready(triad(a, b)))
    kind = jax.devices()[0].device_kind
    sheet = next((DATA_SHEETS[word] for word in kind.replace("-", " ").split() if word in DATA_SHEETS), None)
    shares = (None, None) if sheet is None else (products / sheet[0], bandwidth / sheet[1])
    return Speed(kind, products / 1e9, bandwidth / 1e9, *shares)


def _best(work: Callable[[], object]) -> float:
    seconds = []
    for _ in range(1 + TRIES):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return min(seconds[1:])
