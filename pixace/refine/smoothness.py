"""How rough a large picture of a drawing is: total variation that follows the edges of the drawing.

Plain total variation makes edges sharp, but of a slanted one a row of beads, each as large as a drawn pixel. So changes
along an edge count more than those across it. Where edges run is seen in the structure tensor of the drawing.
(Rudin, Osher and Fatemi 1992; Weickert, Anisotropic Diffusion in Image Processing, 1998; the rounded corner of the
norm after Huber.)

Legend: H, W the picture; S edge of the drawing in its pixels, the cells of the picture. Slopes are changes of colour a
cell, so that the same numbers fit every size.
"""

import jax
import jax.numpy as jnp
import numpy as np

from pixace.canvas.resizing import resize

FINER = 4  # positions a cell, along each edge, at which directions are looked at


def directions(
    drawing: np.ndarray, size: tuple[int, int], *, stress: float, reach: float, blur: float, contrast: float
) -> jax.Array:
    """How much slopes count in each direction: float32 (H, W, 3), the entries xx, xy, yy of I + stress c t t^T.

    t runs along the edge and c, from 0 to 1, says how much of an edge there is: (a - b) / (a + b + contrast^2) with
    the eigenvalues a >= b of the structure tensor.

    Args:
        drawing: (S, S, 3) in [0, 1].
        size: (H, W).
        stress: how much more slopes along an edge count.
        reach: standard deviation of the window in which an edge is looked for, in cells.
        blur: that of the smoothing before slopes are taken, in cells.
        contrast: slope, in colour a cell, below which an edge is none.
    """
    edge = FINER * len(drawing)
    fine = _smoothed(np.asarray(resize(drawing, (edge, edge), "bicubic"), np.float64), FINER * blur)
    down, across = (FINER * slope for slope in np.gradient(fine, axis=(0, 1)))
    products = [(one * other).sum(-1) for one, other in ((across, across), (across, down), (down, down))]
    xx, xy, yy = np.moveaxis(_smoothed(np.stack(products, -1), FINER * reach), -1, 0)
    difference = np.hypot(xx - yy, 2 * xy)
    likelihood = difference / (xx + yy + contrast**2)
    angle = np.arctan2(2 * xy, xx - yy) / 2 + np.pi / 2
    along, weight = (np.cos(angle), np.sin(angle)), stress * likelihood
    tensor = np.stack([1 + weight * along[0] ** 2, weight * along[0] * along[1], 1 + weight * along[1] ** 2], -1)
    return resize(tensor, size)


def roughness(picture: jax.Array, directions: jax.Array, n_cells: int, corner: float) -> jax.Array:
    """The mean over the picture (H, W, 3) of sqrt(g + corner^2) - corner, g being the slopes' weighted squares.

    The channels of a pixel are one vector, so that their edges coincide. `n_cells` is S.
    """
    height, width, _ = picture.shape
    across = jnp.pad(jnp.diff(picture, axis=1), ((0, 0), (0, 1), (0, 0))) * (width / n_cells)
    down = jnp.pad(jnp.diff(picture, axis=0), ((0, 1), (0, 0), (0, 0))) * (height / n_cells)
    xx, xy, yy = (directions[..., i] for i in range(3))
    squares = xx * (across**2).sum(-1) + 2 * xy * (across * down).sum(-1) + yy * (down**2).sum(-1)
    return (jnp.sqrt(jnp.maximum(squares, 0) + corner**2) - corner).mean()


def _smoothed(values: np.ndarray, deviation: float) -> np.ndarray:
    """Values (h, w, C) under a Gaussian of this standard deviation, in positions; edges repeated."""
    reach = int(np.ceil(3 * deviation))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / max(deviation, 1e-6)) ** 2)
    kernel /= kernel.sum()
    for axis in (0, 1):
        padded = np.pad(values, [(reach, reach) if i == axis else (0, 0) for i in range(3)], mode="edge")
        length = values.shape[axis]
        parts = [np.take(padded, range(i, i + length), axis) for i in range(len(kernel))]
        values = np.sum([weight * part for weight, part in zip(kernel, parts, strict=True)], axis=0)
    return values
