"""A picture as its pixels: what most style transfer changes."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from pixace.canvas.canvas import Canvas
from pixace.canvas.colours import Picture, read_colours
from pixace.canvas.noise import generator
from pixace.canvas.resizing import resize
from pixace.canvas.sizes import Size, whole_size


@jax.tree_util.register_pytree_with_keys_class
class Pixels(Canvas):
    """The colours themselves, float32 (H, W, 3), as the only layer.

    The picture is given as it is, and not cut off at 0 and 1, where gradients would end; `projected` cuts it off.
    """

    KIND = "pixels"

    def __init__(self, init_image: Picture | None = None, out_size: int | Size | None = 256, seed: int = 0):
        """A picture, or noise that is uniform in [0, 1].

        Args:
            init_image: a path, address, PIL image or array; None for noise.
            out_size: (H, W), or the longer edge of the picture, whose shape is kept (noise is square); None for
                the size that it has.
            seed: of the noise.

        Raises:
            ConfigError: for a size that makes no sense.
            PixaceError: the picture cannot be read.
        """
        if init_image is None:
            colours = generator(seed).random((*whole_size(out_size, None), 3), np.float32)
        else:
            colours = read_colours(init_image, out_size)
        self.layers, self.size = (jnp.asarray(colours),), (colours.shape[0], colours.shape[1])

    def __call__(self) -> jax.Array:
        return self.layers[0]

    def projected(self) -> "Pixels":
        """The pixels cut off at 0 and 1."""
        return jax.tree.map(lambda colours: jnp.clip(colours, 0, 1), self)

    def _coarse(self, n_parts: int, size: Size) -> jax.Array:
        return resize(self.layers[0], size, "area")

    def _parts(self) -> Sequence[jax.Array]:
        return self.layers

    def _fits(self) -> bool:
        return [layer.shape for layer in self.layers] == [(*self.size, 3)]
