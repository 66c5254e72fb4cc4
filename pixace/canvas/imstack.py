"""A picture as a stack of layers from coarse to fine, in logits of colours.

The picture is sigmoid(sum of the layers, each enlarged). What a coarse layer says no fine one has to, and descent
finds shapes before texture. After the idea of ImStack (Jonathan Whitaker).

Legend: H, W size of the picture; h, w size of a layer. Arrays are float32 with channels last.
"""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from pixace.canvas.canvas import Canvas
from pixace.canvas.colours import Picture, logit, read_colours
from pixace.canvas.noise import generator
from pixace.canvas.resizing import resize
from pixace.canvas.sizes import LARGEST_EDGE, Size, fitted, whole_size
from pixace.fields import require

ANALYSES = ("area", "bilinear")
MOST_LAYERS = 32


@jax.tree_util.register_pytree_with_keys_class
class ImStack(Canvas):
    """A picture of H x W pixels as layers of logits (h, w, 3) of growing size; all its colours are in (0, 1).

    >>> stack = ImStack(init_image="cat.jpg", out_size=256)
    >>> gradient = jax.grad(lambda stack: jnp.square(stack() - 0.5).mean())(stack)  # an ImStack, too
    """

    KIND = "imstack"

    def __init__(
        self,
        n_layers: int = 4,
        base_size: int = 32,
        scale: float = 2,
        init_image: Picture | None = None,
        out_size: int | Size | None = 256,
        decay: float = 0.7,
        seed: int = 0,
        *,
        analysis: str = "area",
        exact: bool = True,
    ):
        """A stack of noise, or one that gives a picture.

        Args:
            n_layers: number of layers.
            base_size: longer edge of the first layer, in pixels.
            scale: ratio of the edges of neighbours.
            init_image: a path, address, PIL image or array; None for noise.
            out_size: (H, W), or the longer edge of the picture, whose shape is kept (noise is square); None for
                the size that it has.
            decay: layer i of noise has the standard deviation decay ** i.
            seed: of the noise.
            analysis: how a picture is made small for a layer: `area` averages all pixels, `bilinear` looks at two
                an edge, as the source project does.
            exact: see to it that one layer has the size of the picture, so that the stack can give any: if none
                has, one of them gets it in place of the largest. Layers that are larger than the picture come after it,
                and of a given picture have nothing left to say: they are 0.

        Raises:
            ConfigError: for a size, number or name that makes no sense.
            PixaceError: the picture cannot be read.
        """
        require(1 <= n_layers <= MOST_LAYERS, f"n_layers={n_layers}: 1 to {MOST_LAYERS} are possible")
        require(base_size >= 1, f"base_size={base_size}: at least 1 pixel is needed")
        require(1 <= scale <= LARGEST_EDGE, f"scale={scale:g}: 1 to {LARGEST_EDGE} are possible")
        require(math.isfinite(decay), f"decay={decay}: a finite number is needed")
        require(analysis in ANALYSES, f"analysis={analysis!r} is not known; choose one of {', '.join(ANALYSES)}")
        colours = None if init_image is None else read_colours(init_image, out_size)
        self.size = whole_size(out_size, None if colours is None else (colours.shape[0], colours.shape[1]))
        sizes = sorted(
            _layer_sizes(self.size, n_layers, base_size, scale, exact)
        )  # the exact one may not be the finest
        if colours is None:
            noise = generator(seed)
            layers = [decay**i * noise.standard_normal((*size, 3), np.float32) for i, size in enumerate(sizes)]
            self.layers = tuple(map(jnp.asarray, layers))
        else:
            self.layers = tuple(_analyse(logit(colours), sizes, analysis))

    def __call__(self) -> jax.Array:
        return self._coarse(len(self.layers), self.size)

    def _coarse(self, n_parts: int, size: Size) -> jax.Array:
        return jax.nn.sigmoid(_compose(self.layers[:n_parts], size))

    def _parts(self) -> Sequence[jax.Array]:
        return [jax.nn.sigmoid(layer) for layer in self.layers]

    def _fits(self) -> bool:
        return all(layer.ndim == 3 and layer.shape[2] == 3 and layer.size for layer in self.layers)


def _compose(layers: Sequence[jax.Array], size: Size) -> jax.Array:
    """The sum of the layers at `size`, in logits (H, W, 3)."""
    return sum((resize(layer, size) for layer in layers), start=jnp.zeros((*size, 3)))


def _analyse(target: np.ndarray, sizes: Sequence[Size], method: str) -> list[jax.Array]:
    """Layers of these sizes for the logits (H, W, 3): each gets what those before it leave, made small."""
    layers, rest = [], np.array(target)
    for size in sizes:
        layers.append(resize(rest.astype(np.float32), size, method))
        rest -= np.asarray(resize(layers[-1], target.shape[:2]), np.float64)
    return layers


def _layer_sizes(whole: Size, n_layers: int, base_size: int, scale: float, exact: bool) -> list[Size]:
    edges = [base_size * scale**i for i in range(n_layers)]
    if exact and max(whole) not in map(round, edges):
        edges[-1] = max(whole)
    require(
        max(edges) <= LARGEST_EDGE, f"a layer would have an edge of {max(edges):.0f} pixels: lower n_layers or scale"
    )
    return [fitted(round(edge), whole) for edge in edges]
