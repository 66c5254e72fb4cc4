"""The kinds of canvas by name. The classes, and JAX with them, are imported when one is needed."""

from importlib import import_module
from math import ceil, log2
from typing import TYPE_CHECKING, Any

from pixace.fields import require

if TYPE_CHECKING:
    from pixace.canvas.canvas import Canvas
    from pixace.canvas.colours import Picture

_CLASSES = {"pixels": "Pixels", "imstack": "ImStack", "fourier": "Fourier", "laplacian": "LaplacianPyramid"}
KINDS = tuple(_CLASSES)

COARSEST = 32  # pixels: longer edge of the first layer of a stack


def canvas_class(kind: str) -> "type[Canvas]":
    """The class of a kind of canvas; raises `ConfigError` if there is none of this name."""
    require(kind in KINDS, f"canvas={kind!r} is not known; choose one of {', '.join(KINDS)}")
    return getattr(import_module(f"pixace.canvas.{kind}"), _CLASSES[kind])


def make_canvas(
    kind: str, picture: "Picture | None", size: int | tuple[int, int] | None = None, **options: Any
) -> "Canvas":
    """A canvas of this kind that gives the picture.

    Args:
        kind: one of `KINDS`.
        picture: a path, address, PIL image, or array, such as another canvas's picture; None for noise.
        size: (H, W), or the longer edge, keeping the shape (noise is square); None for the size that it has.
        options: of this kind, such as `n_layers`. A stack has, unless they say otherwise, layers of which each is
            twice as large as the one before, from `COARSEST` pixels to all.

    Raises:
        ConfigError: for a kind, size or option that makes no sense.
        PixaceError: the picture cannot be read.
    """
    from pixace.canvas.colours import read_colours
    from pixace.canvas.sizes import whole_size

    made = canvas_class(kind)
    colours = None if picture is None else read_colours(picture, size)
    height, width = whole_size(size, None) if colours is None else colours.shape[:2]
    if kind == "imstack" and not options.keys() & {"n_layers", "base_size", "scale"}:
        doublings = max(0, ceil(log2(max(height, width) / COARSEST)))
        options |= {"n_layers": doublings + 1, "base_size": COARSEST, "scale": 2}
    return made(init_image=colours, out_size=(height, width), **options)  # pyright: ignore[reportCallIssue]
