"""3x3 convolutions that on a CPU take a quarter of the multiplications: Winograd's F(4x4, 3x3).

Lavin and Gray, https://arxiv.org/abs/1509.09308: six values determine four sums of three products each, in either
direction, so a tile of 4x4 results takes 36 products a pair of channels in place of 144. The products are those of
matrices. All tiles are made at once: in strips they would stay in a core's cache, but within a loop XLA uses one core.
Results differ from the plain ones by about 1e-5 of the largest. GPUs keep their own convolutions.

Legend: B pictures, h, w size of a map, n, m its tiles down and across, C channels in, K channels out.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

TILE, SEEN = 4, 6  # edge of a tile of results, and of the values that it takes
LEAST_CHANNELS, LEAST_TILES = 64, 256  # with fewer, making the tiles takes longer than the products save

# What makes six values of four of the data, of the kernel's three, and four results of six products.
DATA = (
    (4, 0, -5, 0, 1, 0),
    (0, -4, -4, 1, 1, 0),
    (0, 4, -4, -1, 1, 0),
    (0, -2, -1, 2, 1, 0),
    (0, 2, -1, -2, 1, 0),
    (0, 4, 0, -5, 0, 1),
)
KERNEL = (
    (1 / 4, 0, 0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0, 0, 1),
)
RESULT = ((1, 1, 1, 1, 1, 0), (0, 1, -1, 2, -2, 0), (0, 1, 1, 4, 4, 0), (0, 1, -1, 8, -8, 1))


@jax.custom_vjp
def convolve(values: jax.Array, kernel: jax.Array) -> jax.Array:
    """The convolution of values (B, h, w, C) with a kernel (3, 3, C, K), zeros beyond the edges: (B, h, w, K).

    Tiles are for descents, that is, under a gradient: what is computed once would wait longer for its compilation.
    """
    return plain(values, kernel)


def _quickest(values: jax.Array, kernel: jax.Array) -> jax.Array:
    if not _pays(values, kernel):
        return plain(values, kernel)
    return lax.platform_dependent(values, kernel, cpu=in_tiles, default=plain)


def _forward(values: jax.Array, kernel: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return _quickest(values, kernel), (values, kernel)


def _backward(kept: tuple[jax.Array, jax.Array], slope: jax.Array) -> tuple[jax.Array, jax.Array]:
    values, kernel = kept
    of_kernel = jax.linear_transpose(lambda changed: plain(values, changed), kernel)(slope)[0]  # unused: not computed
    return _quickest(slope, jnp.flip(kernel, (0, 1)).swapaxes(2, 3)), of_kernel


convolve.defvjp(_forward, _backward)


def plain(values: jax.Array, kernel: jax.Array) -> jax.Array:
    """`convolve`, as XLA does it."""
    return lax.conv_general_dilated(values, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def in_tiles(values: jax.Array, kernel: jax.Array) -> jax.Array:
    """`convolve`, by Winograd's tiles."""
    count, height, width, depth = values.shape
    down, across = -(-height // TILE), -(-width // TILE)
    beyond = (1, TILE * down - height + 1), (1, TILE * across - width + 1)
    padded = jnp.pad(values, ((0, 0), *beyond, (0, 0)))
    rows = jnp.stack([padded[:, i : i + TILE * (down - 1) + 1 : TILE] for i in range(SEEN)])
    rows = _mix(rows, DATA, 0)  # (6, B, n, 4m + 2, C)
    tiles = jnp.stack([rows[:, :, :, i : i + TILE * (across - 1) + 1 : TILE] for i in range(SEEN)])
    tiles = _mix(tiles, DATA, 0).reshape(SEEN**2, count * down * across, depth)  # columns before rows
    mixed = _mix(_mix(kernel, KERNEL, 1), KERNEL, 0).swapaxes(0, 1).reshape(SEEN**2, depth, -1)
    products = jnp.einsum("ptc,pck->ptk", tiles, mixed).reshape(SEEN, SEEN, count, down, across, -1)
    found = _mix(_mix(products, RESULT, 0), RESULT, 1)  # (4 across, 4 down, B, n, m, K)
    found = found.transpose(2, 3, 1, 4, 0, 5).reshape(count, TILE * down, TILE * across, -1)
    return lax.optimization_barrier(found[:, :height, :width])  # what comes after would compute it twice


def _mix(values: jax.Array, matrix: tuple[tuple[float, ...], ...], axis: int) -> jax.Array:
    """A small matrix times values along an axis, as sums: quicker than a product of so thin a matrix."""
    parts = [lax.index_in_dim(values, i, axis, keepdims=False) for i in range(len(matrix[0]))]

    def mixed(shares: tuple[float, ...]) -> jax.Array:
        terms = (part * np.float32(share) for share, part in zip(shares, parts, strict=True) if share)
        return sum(terms, start=jnp.zeros((), values.dtype))

    return jnp.stack([mixed(shares) for shares in matrix], axis)


def _pays(values: jax.Array, kernel: jax.Array) -> bool:
    count, height, width, _ = values.shape
    tiles = count * -(-height // TILE) * -(-width // TILE)
    return values.dtype == jnp.float32 and tiles >= LEAST_TILES and min(kernel.shape[2:]) >= LEAST_CHANNELS
