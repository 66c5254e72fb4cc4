"""A picture as a Laplacian pyramid: a small picture, and what each doubling of its size adds.

Burt and Adelson (1983); style transfer changes one in place of pixels in STROTSS (Kolkin, Salavon and Shakhnarovich,
2019), since a step moves shapes as well as texture. Legend: H, W size of the picture; h, w size of a level.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from pixace.canvas.canvas import Canvas
from pixace.canvas.colours import Picture, read_colours
from pixace.canvas.noise import generator
from pixace.canvas.resizing import resize
from pixace.canvas.sizes import Size, whole_size
from pixace.fields import require

MOST_LEVELS = 16
NOISE = 0.1  # standard deviation


@jax.tree_util.register_pytree_with_keys_class
class LaplacianPyramid(Canvas):
    """Levels (h, w, 3) in plain colours: the smallest picture, then differences, each of twice the size.

    Any picture comes back exactly: a difference is between a picture and the next smaller one, enlarged. The picture
    is given as it is, and not cut off at 0 and 1, where gradients would end.
    """

    KIND = "laplacian"

    def __init__(
        self,
        n_layers: int = 5,
        init_image: Picture | None = None,
        out_size: int | Size | None = 256,
        seed: int = 0,
    ):
        """A picture, or noise of all levels round grey.

        Args:
            n_layers: number of levels, the smallest picture among them.
            init_image: a path, address, PIL image or array; None for noise.
            out_size: (H, W), or the longer edge of the picture, whose shape is kept (noise is square); None for
                the size that it has.
            seed: of the noise.

        Raises:
            ConfigError: for a size or number that makes no sense.
            PixaceError: the picture cannot be read.
        """
        require(1 <= n_layers <= MOST_LEVELS, f"n_layers={n_layers}: 1 to {MOST_LEVELS} are possible")
        if init_image is None:
            self.size = whole_size(out_size, None)
            sizes, noise = _level_sizes(self.size, n_layers), generator(seed)
            levels = [jnp.asarray(NOISE * noise.standard_normal((*size, 3), np.float32)) for size in sizes]
            self.layers = (0.5 + levels[0], *levels[1:])
            self.layers = self.projected().layers
            return
        picture = jnp.asarray(read_colours(init_image, out_size))
        self.size = picture.shape[0], picture.shape[1]
        levels = []
        for size in reversed(_level_sizes(self.size, n_layers)[:-1]):
            smaller = resize(picture, size, "area")
            levels.append(picture - resize(smaller, picture.shape[:2]))
            picture = smaller
        self.layers = (picture, *reversed(levels))

    def __call__(self) -> jax.Array:
        return _compose(self.layers)

    def projected(self) -> "LaplacianPyramid":
        """The pyramid whose finest level takes back what is below 0 or above 1.

        Of all levels it alone can do so pixel by pixel; a picture in [0, 1] leaves it as it is.
        """
        picture = self()
        last = self.layers[-1] + (jnp.clip(picture, 0, 1) - picture)
        return type(self).tree_unflatten((self.size, ()), (*self.layers[:-1], last))

    def _coarse(self, n_parts: int, size: Size) -> jax.Array:
        return resize(_compose(self.layers[:n_parts]), size, "area")

    def _parts(self) -> Sequence[jax.Array]:
        return [self.layers[0], *(0.5 + level for level in self.layers[1:])]

    def _fits(self) -> bool:
        sizes = _level_sizes(self.size, len(self.layers))
        return [layer.shape for layer in self.layers] == [(*size, 3) for size in sizes]


def _compose(levels: Sequence[jax.Array]) -> jax.Array:
    """The picture of these levels, at the size of the last one."""
    picture = levels[0]
    for level in levels[1:]:
        picture = level + resize(picture, level.shape[:2])
    return picture


def _level_sizes(whole: Size, n_layers: int) -> list[Size]:
    """Halves of the whole size, rounded up, the smallest first."""
    sizes = [whole]
    for _ in range(n_layers - 1):
        sizes.append(((sizes[-1][0] + 1) // 2, (sizes[-1][1] + 1) // 2))
    return sizes[::-1]
