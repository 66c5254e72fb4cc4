"""Gaussian blur whose strength may change from step to step without compiling anew.

Each edge is blurred by a product with a matrix (n, n), which reflects at the ends, so that a kernel may be as large
as the picture, and gradients are products, too.
"""

import jax
import jax.numpy as jnp

from pixace.guide.domains import whole

LEAST_SIGMA = 1e-4


def gaussian_blur(
    picture: jax.Array,
    kernel_size: jax.Array,
    sigma: jax.Array | None = None,
    scale: tuple[jax.Array | float, jax.Array | float] = (1.0, 1.0),
) -> jax.Array:
    """A picture (H, W, C) blurred; beyond its ends it is reflected about the centres of its outermost pixels.

    Args:
        picture: float32.
        kernel_size: (2,) taps in x and y, whole; even ones get one more. No less than 1, which leaves the picture as
            it is; what is more than twice the picture is as much.
        sigma: (2,) in x and y; None for 0.15 k + 0.35 with k taps.
        scale: (x, y): how many pixels there are for one that kernel_size and sigma mean.
    """
    size = jnp.maximum(whole(kernel_size, jnp), 1)
    size = size + (size % 2 == 0)
    sigma = 0.15 * size + 0.35 if sigma is None else sigma
    across, down = (
        _matrix(picture.shape[1 - axis], (size[axis] - 1) / 2 * scale[axis], sigma[axis] * scale[axis])
        for axis in range(2)
    )
    picture = jnp.einsum("ih,hwc->iwc", down, picture, precision="highest")
    return jnp.einsum("jw,iwc->ijc", across, picture, precision="highest")


def _matrix(n: int, radius: jax.Array, sigma: jax.Array) -> jax.Array:
    """(n, n): row i has the kernel around i, its parts beyond the ends folded back."""
    radius = jnp.minimum(radius, n - 1)
    i, j = jnp.arange(n)[:, None], jnp.arange(n)

    def kernel(distance: jax.Array) -> jax.Array:
        return jnp.where(
            distance <= radius + 1e-3, jnp.exp(-0.5 * (distance / jnp.maximum(sigma, LEAST_SIGMA)) ** 2), 0
        )

    weights = kernel(jnp.abs(i - j))
    # The mirror images of pixel j lie at -j and 2 (n - 1) - j; pixels 0 and n - 1 are their own.
    weights += jnp.where(j > 0, kernel(i + j), 0)
    weights += jnp.where(j < n - 1, kernel(2 * (n - 1) - i - j), 0)
    return weights / weights.sum(1, keepdims=True)
