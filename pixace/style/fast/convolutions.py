"""Convolutions of maps, written so that they are quick: fewer products, and never only a few output channels.

Legend: B pictures, h, w size of a map, I channels in, O channels out, k edge of a kernel.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

MODES = {"reflect": "reflect", "zero": "constant", "replicate": "edge"}  # of `jnp.pad`

# Which of the 3 taps of a kernel fall on each of 2 neighbours in the small map: (phase, neighbour, tap). Of each two
# rows that come of a small one, the first (phase 0) sees it and the one before, the second it and the one after.
PHASES = {
    "interpolate": np.array([[[1, 0, 0], [0, 1, 1]], [[1, 1, 0], [0, 0, 1]]], np.float32),
    "transpose": np.array([[[0, 0, 0], [0, 1, 0]], [[1, 0, 0], [0, 0, 1]]], np.float32),
}

_convolve = partial(lax.conv_general_dilated, dimension_numbers=("NHWC", "HWIO", "NHWC"), padding="VALID")


def convolve(values: jax.Array, kernel: jax.Array, padding_mode: str, stride: int = 1) -> jax.Array:
    """A convolution of values (B, h, w, I) with a kernel (k, k, I, O), k odd, that divides their size by `stride`."""
    return _convolve(_pad(values, kernel.shape[0] // 2, MODES[padding_mode]), kernel, (stride, stride))


def convolve_to_few(values: jax.Array, kernel: jax.Array, padding_mode: str) -> jax.Array:
    """The same with stride 1 for few output channels: those of the k columns are computed as k * O channels, and added.

    XLA's convolutions on a CPU take six times as long with 3 output channels as with 27.
    """
    edge, _, inputs, outputs = kernel.shape
    width = values.shape[2]
    columns = kernel.transpose(0, 2, 1, 3).reshape(edge, 1, inputs, edge * outputs)
    found = _convolve(_pad(values, edge // 2, MODES[padding_mode]), columns, (1, 1))
    return sum(
        (found[:, :, i : i + width, i * outputs : (i + 1) * outputs] for i in range(1, edge)),
        start=found[:, :, :width, :outputs],
    )


def convolve_to_double(values: jax.Array, kernel: jax.Array, upsample_type: str, padding_mode: str) -> jax.Array:
    """Values (B, h, w, I) at twice their size, convolved with a kernel (3, 3, I, O).

    `interpolate` repeats each value in a square of 2x2, then convolves; `transpose` is a transposed convolution of
    stride 2, padding 1 and output padding 1. Either is computed at the small size: a value of the result hangs on
    2x2 small ones, so that the four phases of the result are 4 * O channels of a 2x2 convolution.
    """
    batch, height, width, inputs = values.shape
    phases, outputs = jnp.asarray(PHASES[upsample_type], kernel.dtype), kernel.shape[3]
    small = jnp.einsum("pas,qbt,stio->abipqo", phases, phases, kernel, precision="highest")
    # What is beyond the edge of repeated values, reflected at it, is the outermost value again.
    beyond = "constant" if upsample_type == "transpose" or padding_mode == "zero" else "edge"
    found = _convolve(_pad(values, 1, beyond), small.reshape(2, 2, inputs, 4 * outputs), (1, 1))
    found = found.reshape(batch, height + 1, width + 1, 2, 2, outputs)
    rows = [jnp.stack([found[:, p : p + height, q : q + width, p, q] for q in (0, 1)], axis=3) for p in (0, 1)]
    return jnp.stack(rows, axis=2).reshape(batch, 2 * height, 2 * width, outputs)


def _pad(values: jax.Array, edge: int, mode: str) -> jax.Array:
    return jnp.pad(values, ((0, 0), (edge, edge), (edge, edge), (0, 0)), mode=mode)
