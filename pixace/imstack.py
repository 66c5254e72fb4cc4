"""An image as a stack of layers from coarse to fine: what gradient descent changes instead of pixels.

The picture is sigmoid(sum of the layers, each enlarged), so the layers are logits of colours. What a coarse layer
says no fine one has to, and descent finds shapes before texture. After the idea of ImStack (Jonathan Whitaker).

Legend: H, W size of the picture; h, w size of a layer. Arrays are float32 with channels last.
"""

import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from pixace.errors import ConfigError, PixaceError
from pixace.folders import expanded, write_atomically
from pixace.images import open_picture
from pixace.opening import PictureSource
from pixace.sheets import save_picture

DARKEST = 0.001  # colours are kept this far from black and white, whose logits are infinite
ANALYSES = ("area", "bilinear")
LARGEST_EDGE, MOST_LAYERS = 16384, 32  # pixels
KIND = "pixace.imstack"


@jax.tree_util.register_pytree_with_keys_class
class ImStack:
    """A picture of H x W pixels as layers of logits, coarse to fine; a pytree whose leaves are the layers.

    Attributes:
        layers: float32 (h, w, 3) each, of growing size.
        size: (H, W) of the picture.

    >>> stack = ImStack(init_image="cat.jpg", out_size=256)
    >>> gradient = jax.grad(lambda stack: jnp.square(stack() - 0.5).mean())(stack)  # an ImStack, too
    """

    layers: tuple[jax.Array, ...]
    size: tuple[int, int]

    def __init__(
        self,
        n_layers: int = 4,
        base_size: int = 32,
        scale: float = 2,
        init_image: PictureSource | None = None,
        out_size: int | tuple[int, int] | None = 256,
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
                has, the last one gets it.

        Raises:
            ConfigError: for a size, number or name that makes no sense.
            PixaceError: the picture cannot be read.
        """
        _check(1 <= n_layers <= MOST_LAYERS, f"n_layers={n_layers}: 1 to {MOST_LAYERS} are possible")
        _check(base_size >= 1, f"base_size={base_size}: at least 1 pixel is needed")
        _check(1 <= scale <= LARGEST_EDGE, f"scale={scale:g}: 1 to {LARGEST_EDGE} are possible")
        _check(analysis in ANALYSES, f"analysis={analysis!r} is not known; choose one of {', '.join(ANALYSES)}")
        picture = None if init_image is None else open_picture(init_image)
        _check(picture is not None or out_size is not None, "out_size=None needs a picture whose size it stands for")
        self.size = _whole_size(out_size, picture)
        _check(max(self.size) <= LARGEST_EDGE, f"out_size={out_size}: at most {LARGEST_EDGE} pixels are possible")
        sizes = _layer_sizes(self.size, n_layers, base_size, scale, exact)
        if picture is None:
            keys = jax.random.split(jax.random.key(seed), n_layers)
            noise = [jax.random.normal(key, (*size, 3)) for key, size in zip(keys, sizes, strict=True)]
            self.layers = tuple(decay**i * layer for i, layer in enumerate(noise))
            return
        height, width = self.size
        colours = np.asarray(picture.resize((width, height), Image.Resampling.BICUBIC), np.float32) / 255
        self.layers = tuple(_analyse(logit(colours), sizes, analysis))

    def __call__(self) -> jax.Array:
        """The picture, float32 (H, W, 3) in (0, 1); what gradients are taken of."""
        return jax.nn.sigmoid(_compose(self.layers, self.size))

    def preview(self, n_preview: int = 2, size: int | tuple[int, int] = 224) -> jax.Array:
        """What the first layers alone give, float32 in (0, 1), at `size`: (h, w), or the longer edge.

        Raises:
            ConfigError: if there are fewer layers, or none is wanted.
        """
        _check(1 <= n_preview <= len(self.layers), f"n_preview={n_preview}: 1 to {len(self.layers)} are possible")
        smaller = _fitted(size, self.size) if isinstance(size, int) else size
        return jax.nn.sigmoid(_compose(self.layers[:n_preview], smaller))

    def to_pil(self) -> Image.Image:
        """The picture, its colours rounded to the nearest of 256."""
        return to_pil(self())

    def preview_pil(self, n_preview: int = 2, size: int | tuple[int, int] = 224) -> Image.Image:
        """`preview` as a PIL image."""
        return to_pil(self.preview(n_preview, size))

    def layer_pictures(self) -> list[Image.Image]:
        """What each layer says by itself, at its own size."""
        return [to_pil(jax.nn.sigmoid(layer)) for layer in self.layers]

    def save(self, path: str | os.PathLike) -> Path:
        """Write the picture, in the format of the ending, or with `.safetensors` the stack itself; returns the path.

        Raises:
            ConfigError: the ending is not known.
            PixaceError: the file cannot be written.
        """
        target = expanded(path)
        if target.suffix != ".safetensors":
            return save_picture(self.to_pil(), target)
        layers = {f"layer.{i}": np.asarray(layer) for i, layer in enumerate(self.layers)}
        facts = {"kind": KIND, "height": str(self.size[0]), "width": str(self.size[1])}
        write_atomically(target, lambda file: save_file(layers, file, facts))
        return target

    @classmethod
    def load(cls, path: str | os.PathLike) -> "ImStack":
        """A stack that `save` wrote; raises `PixaceError` if the file is none."""
        try:
            with safe_open(expanded(path), "numpy") as file:
                facts = file.metadata() or {}
                if facts.get("kind") != KIND:
                    raise PixaceError(f"{path} holds no stack of layers")
                layers = [jnp.asarray(file.get_tensor(f"layer.{i}")) for i in range(len(file.keys()))]
                size = int(facts["height"]), int(facts["width"])
        except (SafetensorError, OSError, KeyError, ValueError) as error:
            raise PixaceError(f"{path} is not a stack of layers that can be read: {error}") from None
        return cls.tree_unflatten(size, layers)

    def tree_flatten_with_keys(self) -> tuple[list[tuple[Any, jax.Array]], tuple[int, int]]:
        """For JAX: the layers with their names, and the size."""
        return [(jax.tree_util.SequenceKey(i), layer) for i, layer in enumerate(self.layers)], self.size

    @classmethod
    def tree_unflatten(cls, size: tuple[int, int], layers: Sequence[Any]) -> "ImStack":
        """For JAX: a stack of these layers."""
        stack = object.__new__(cls)
        stack.layers, stack.size = tuple(layers), size
        return stack


def logit(colours: np.ndarray) -> np.ndarray:
    """Logits of colours in [0, 1], float64; those nearer to 0 or 1 than `DARKEST` are taken for it."""
    kept = np.clip(np.asarray(colours, np.float64), DARKEST, 1 - DARKEST)
    return np.log(kept / (1 - kept))


def to_pil(colours: jax.Array) -> Image.Image:
    """Colours (h, w, 3) in [0, 1] as a PIL image."""
    return Image.fromarray(np.asarray(jnp.round(255 * jnp.clip(colours, 0, 1))).astype(np.uint8))


def resize(values: Any, size: tuple[int, int], method: str = "bilinear") -> jax.Array:
    """Values (h, w, C) at another size (h', w'): half-pixel centres, edges repeated.

    `bilinear` looks at two points an edge, also where it makes smaller; `area` then averages all.
    """
    rows, columns = (_resize_matrix(values.shape[axis], size[axis], method) for axis in (0, 1))
    return jnp.einsum("yh,hwc,xw->yxc", rows, values, columns, precision="highest")


@lru_cache(maxsize=256)
def _resize_matrix(old: int, new: int, method: str) -> np.ndarray:
    """What resizes one edge, float32 (new, old); rows add up to 1."""
    if method == "area" and new < old:
        edges, cells = np.linspace(0, old, new + 1), np.arange(old)
        overlap = np.minimum(edges[1:, None], cells + 1) - np.maximum(edges[:-1, None], cells)
        return (np.maximum(overlap, 0) * new / old).astype(np.float32)
    centres = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)
    low = np.floor(centres).astype(int)
    matrix, rows = np.zeros((new, old)), np.arange(new)
    np.add.at(matrix, (rows, low), 1 - (centres - low))
    np.add.at(matrix, (rows, np.minimum(low + 1, old - 1)), centres - low)
    return matrix.astype(np.float32)


def _compose(layers: Sequence[jax.Array], size: tuple[int, int]) -> jax.Array:
    """The sum of the layers at `size`, in logits (H, W, 3)."""
    return sum((resize(layer, size) for layer in layers), start=jnp.zeros((*size, 3)))


def _analyse(target: np.ndarray, sizes: Sequence[tuple[int, int]], method: str) -> list[jax.Array]:
    """Layers of these sizes for the logits (H, W, 3): each gets what those before it leave, made small."""
    layers, rest = [], np.array(target)
    for size in sizes:
        layers.append(resize(rest.astype(np.float32), size, method))
        rest -= np.asarray(resize(layers[-1], target.shape[:2]), np.float64)
    return layers


def _whole_size(out_size: int | tuple[int, int] | None, picture: Image.Image | None) -> tuple[int, int]:
    own = (1, 1) if picture is None else (picture.height, picture.width)
    size = own if out_size is None else _fitted(out_size, own) if isinstance(out_size, int) else tuple(out_size)
    _check(len(size) == 2 and min(size) >= 1, f"out_size={out_size}: at least 1 pixel an edge is needed")
    return size[0], size[1]


def _fitted(longer: int, shape: tuple[int, int]) -> tuple[int, int]:
    """The size of this shape whose longer edge is given."""
    height, width = (max(1, round(longer * edge / max(shape))) if longer > 0 else 0 for edge in shape)
    return height, width


def _layer_sizes(
    whole: tuple[int, int], n_layers: int, base_size: int, scale: float, exact: bool
) -> list[tuple[int, int]]:
    edges = [base_size * scale**i for i in range(n_layers)]
    if exact and max(whole) not in map(round, edges):
        edges[-1] = max(whole)
    _check(
        max(edges) <= LARGEST_EDGE, f"a layer would have an edge of {max(edges):.0f} pixels: lower n_layers or scale"
    )
    return [_fitted(round(edge), whole) for edge in edges]


def _check(good: bool, message: str) -> None:
    if not good:
        raise ConfigError(message)
