"""What every canvas can do, whatever its layers mean: be stepped by Optax, be shown, saved and loaded."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from pixace.canvas.colours import Picture, to_pil
from pixace.canvas.kinds import canvas_class
from pixace.canvas.sizes import LARGEST_EDGE, Size, whole_size
from pixace.errors import ConfigError, PixaceError
from pixace.fields import require
from pixace.folders import expanded, write_atomically
from pixace.sheets import save_picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FILE_KIND = "pixace."  # begins the kind of canvas in the metadata of a file


class Canvas:
    """A picture of H x W pixels as layers that gradient descent changes; a JAX pytree, whose leaves these are.

    Subclasses say what the layers mean, and take `init_image`, `out_size` and `seed` when they are made.

    Attributes:
        layers: float32 arrays; where there are several, from coarse to fine.
        size: (H, W) of the picture.

    >>> canvas = Pixels(init_image="cat.jpg", out_size=256)
    >>> gradient = jax.grad(lambda canvas: jnp.square(canvas() - 0.5).mean())(canvas)  # Pixels, too
    """

    KIND: ClassVar[str]  # as options and files name it
    NUMBERS: ClassVar[tuple[str, ...]] = ()  # further attributes that the picture depends on and nothing trains

    layers: tuple[jax.Array, ...]
    size: Size

    @classmethod
    def from_picture(cls, picture: Picture, size: int | Size | None = None, **options: Any) -> Self:
        """A canvas that gives this picture.

        Args:
            picture: a path, address, PIL image, or array, such as another canvas's picture.
            size: (H, W), or the longer edge, keeping the shape; None for the size that it has.
            options: of this kind of canvas.

        Raises:
            ConfigError: for a size or option that makes no sense.
            PixaceError: the picture cannot be read.
        """
        return cls(init_image=picture, out_size=size, **options)  # pyright: ignore[reportCallIssue]

    def __call__(self) -> jax.Array:
        """The picture, float32 (H, W, 3); what gradients are taken of. In [0, 1], at least once `projected`."""
        raise NotImplementedError

    def projected(self) -> Self:
        """The canvas nearby whose picture lies in [0, 1]: to be taken after each step of an optimiser."""
        return self

    @property
    def depth(self) -> int:
        """How many parts there are from coarse to fine, of which `preview` shows the first."""
        return len(self.layers)

    def preview(self, n_preview: int | None = None, size: int | Size = 224) -> jax.Array:
        """What the first parts alone give, float32 (h, w, 3).

        Args:
            n_preview: how many of `depth` parts; None for two, or the one there is.
            size: (h, w), or the longer edge, keeping the shape.

        Raises:
            ConfigError: if there are fewer parts, or none is wanted, or for a size that makes no sense.
        """
        wanted = min(2, self.depth) if n_preview is None else n_preview
        require(1 <= wanted <= self.depth, f"n_preview={wanted}: 1 to {self.depth} are possible")
        return self._coarse(wanted, whole_size(size, self.size, "size"))

    def to_pil(self) -> Image.Image:
        """The picture, its colours rounded to the nearest of 256."""
        return to_pil(self())

    def preview_pil(self, n_preview: int | None = None, size: int | Size = 224) -> Image.Image:
        """`preview` as a PIL image."""
        return to_pil(self.preview(n_preview, size))

    def layer_pictures(self) -> list[Image.Image]:
        """What each part says by itself, at its own size."""
        return [to_pil(part) for part in self._parts()]

    def plot_layers(self) -> "Figure":
        """A Matplotlib figure: a row of the `layer_pictures`, each with its size, width x height.

        It belongs to no window and no global state; `figure.savefig(path)` writes it.

        Raises:
            PixaceError: Matplotlib is not installed.
        """
        try:
            from matplotlib.figure import Figure
        except ImportError:
            raise PixaceError("plots need Matplotlib: pip install '.[plots]'") from None
        pictures = self.layer_pictures()
        figure = Figure(figsize=(3 * len(pictures), 3.3), layout="constrained")
        for axes, picture in zip(figure.subplots(1, len(pictures), squeeze=False)[0], pictures, strict=True):
            axes.imshow(np.asarray(picture), interpolation="nearest")
            axes.set_title(f"{picture.width} x {picture.height}")
            axes.set_axis_off()
        return figure

    def save(self, path: str | os.PathLike) -> Path:
        """Write the picture, in the format of the ending, or with `.safetensors` the canvas itself; returns the path.

        Raises:
            ConfigError: the ending is not known.
            PixaceError: the file cannot be written.
        """
        target = expanded(path)
        if target.suffix != ".safetensors":
            return save_picture(self.to_pil(), target)
        layers = {f"layer.{i}": np.asarray(layer) for i, layer in enumerate(self.layers)}
        facts = {"kind": FILE_KIND + self.KIND, "height": str(self.size[0]), "width": str(self.size[1])}
        facts |= {name: repr(getattr(self, name)) for name in self.NUMBERS}
        write_atomically(target, lambda file: save_file(layers, file, facts))
        return target

    @classmethod
    def load(cls, path: str | os.PathLike) -> Self:
        """A canvas that `save` wrote: `Canvas.load` takes any kind, a subclass its own alone.

        Raises:
            PixaceError: the file cannot be read, or holds no canvas, or one of another kind.
        """
        try:
            with safe_open(expanded(path), "numpy") as file:
                facts = file.metadata() or {}
                layers = [np.asarray(file.get_tensor(f"layer.{i}")) for i in range(len(file.keys()))]
            prefix, _, kind = facts.get("kind", "").rpartition(".")
            found = canvas_class(kind) if prefix + "." == FILE_KIND else None
            if found is None:
                raise PixaceError(f"{path} holds no canvas")
            if not issubclass(found, cls):
                raise PixaceError(f"{path} holds a canvas of kind {kind}, not of kind {cls.KIND}")
            size = int(facts["height"]), int(facts["width"])
            numbers = tuple(float(facts[name]) for name in found.NUMBERS)
            canvas = found.tree_unflatten((size, numbers), layers)
            if not (min(size) >= 1 and max(size) <= LARGEST_EDGE and layers and canvas._fits()):
                raise ValueError(f"its layers do not make a picture of {size[1]} x {size[0]} pixels")
        except (SafetensorError, OSError, KeyError, ValueError, TypeError, ConfigError) as error:
            raise PixaceError(f"{path} is not a canvas that can be read: {error}") from None
        return jax.tree.map(lambda layer: jnp.asarray(layer, jnp.float32), canvas)

    def _coarse(self, n_parts: int, size: Size) -> jax.Array:
        """The picture that the first parts give, at this size (h, w): (h, w, 3)."""
        raise NotImplementedError

    def _parts(self) -> Sequence[jax.Array]:
        """Each part by itself as colours (h, w, 3)."""
        raise NotImplementedError

    def _fits(self) -> bool:
        """Whether the layers, of which there are some, have shapes that belong to the size."""
        raise NotImplementedError

    def tree_flatten_with_keys(self) -> tuple[list[tuple[Any, jax.Array]], tuple[Size, tuple[float, ...]]]:
        """For JAX: the layers with their names, and all else."""
        keyed = [(jax.tree_util.SequenceKey(i), layer) for i, layer in enumerate(self.layers)]
        return keyed, (self.size, tuple(getattr(self, name) for name in self.NUMBERS))

    @classmethod
    def tree_unflatten(cls, rest: tuple[Size, tuple[float, ...]], layers: Sequence[Any]) -> Self:
        """For JAX: a canvas of these layers."""
        canvas = object.__new__(cls)
        canvas.layers, (canvas.size, numbers) = tuple(layers), rest
        for name, number in zip(cls.NUMBERS, numbers, strict=True):
            setattr(canvas, name, number)
        return canvas
