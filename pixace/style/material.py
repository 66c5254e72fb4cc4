"""The pictures of a style transfer: opened once, and made as large as each scale needs them.

Legend: H, W the result; h, w a style picture. Arrays are float32, channels last, in [0, 1].
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from PIL import Image, ImageOps

from pixace.canvas.resizing import resize
from pixace.errors import PixaceError
from pixace.fields import require
from pixace.opening import PictureSource, open_picture
from pixace.style.colour import grey_pair, keep_luminance, match_colours
from pixace.style.faces import LONGEST, Box, face_mask, find_faces
from pixace.style.layers import deepest, stride
from pixace.style.options import StyleOptions
from pixace.style.scales import scale_sizes, size_at
from pixace.style.tiles import GRID

STARTS = ("content", "noise", "grey", "style")
EARLIER = "or layers of earlier blocks would do"


@dataclass(frozen=True)
class Scene:
    """The pictures at one scale.

    Attributes:
        content: (H, W, 3) or None.
        styles: (h, w, 3) each.
        masks: (H, W) each, one for each style; or None.
        style_masks: (h, w) each, one for each style; or None.
        faces: (H, W), where the content's faces are kept; or None.
    """

    content: np.ndarray | None
    styles: list[np.ndarray]
    masks: list[np.ndarray] | None
    style_masks: list[np.ndarray] | None
    faces: np.ndarray | None


class Material:
    """Content, styles and masks, and what the options make of them.

    Attributes:
        size: (H, W) of the result.
        weights: of the styles.
        names: what to call the content and each style.
    """

    def __init__(
        self,
        content: PictureSource | None,
        styles: Sequence[PictureSource],
        masks: Sequence[PictureSource],
        style_masks: Sequence[PictureSource],
        options: StyleOptions,
        tile: int,
    ):
        """Open everything.

        Raises:
            ConfigError: the options and the pictures do not go together.
            PixaceError: a picture cannot be read.
        """
        require(content is not None or bool(styles), "what is to be made? give a content picture, a style, or both")
        self.options, self.tile = options, tile
        self.weights = options.weights_of_styles(len(styles))
        for name, given in (("mask", masks), ("style_mask", style_masks)):
            require(not given or len(given) == len(styles), f"{len(given)} of --{name} for {len(styles)} styles")
        require(content is not None or not options.keep_faces, "--keep_faces needs a content picture")
        require(content is not None or options.color == "style", f"--color={options.color} needs a content picture")
        require(not masks or not options.views, "--mask says where styles are to be, which views do not: --views=0")
        self.names = _named(content, "the content"), [_named(style, f"style {i}") for i, style in enumerate(styles, 1)]
        self.content = None if content is None else open_picture(content)
        self.styles = [open_picture(style) for style in styles]
        self.masks = [open_picture(mask).convert("L") for mask in masks]
        self.style_masks = [open_picture(mask).convert("L") for mask in style_masks]
        init = options.init or ("noise" if self.content is None else "content")
        require(init != "content" or self.content is not None, "--init=content needs a content picture")
        require(init != "style" or bool(self.styles), "--init=style needs a style picture")
        self.init = init if init in STARTS else open_picture(init)
        edges = options.edges
        shape = (1, 1) if self.content is None else (self.content.height, self.content.width)
        self.size = size_at(edges, shape) if isinstance(edges, int) else edges

    def check_edges(self, layers: Sequence[str]) -> None:
        """See to it that no picture is too small for the layers at any scale.

        Raises:
            PixaceError: names the one that is.
        """
        last, smallest = deepest(layers), self.sizes[0]
        least = stride(last)
        if min(smallest) < least:
            at = f"{smallest[1]}x{smallest[0]} pixels" + (" at its first scale" if len(self.sizes) > 1 else "")
            own = self.content
            shape = "" if own is None else f", in the shape of {self.names[0]} ({own.width}x{own.height})"
            ways = f"a larger --size, or WIDTHxHEIGHT, a larger --min_size, {EARLIER}"
            raise PixaceError(f"the result has {at}{shape}: {last} needs {least} an edge; {ways}")
        for name, style in zip(self.names[1], self.styles, strict=True):
            height, width = self._size_of_style(style, self._longest_style(smallest))
            if min(height, width) < least:
                raise PixaceError(
                    f"{name} ({style.width}x{style.height}) is looked at in {width}x{height} pixels: {last} needs "
                    f"{least} an edge; a larger picture or --style_scale, {EARLIER}"
                )

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """(H, W) of each scale, the last one that of the result; multiples of 16 where windows are needed."""
        largest, smallest = max(self.size), self.options.min_size
        sizes = [self.size] if smallest is None or smallest >= largest else scale_sizes(self.size, smallest)
        return [self._cuttable(size) for size in sizes]

    def scene(self, size: tuple[int, int]) -> Scene:
        """The pictures for a scale of this size."""
        content = None if self.content is None else _array(self._fitted(self.content, size))
        longest = self._longest_style(size)
        styles = [_array(_resized(style, self._size_of_style(style, longest))) for style in self.styles]
        if content is not None and self.options.color == "match":
            styles = [match_colours(style, content, self.options.match) for style in styles]
        if content is not None and self.options.color == "grey":
            styles = [grey_pair(content, style)[1] for style in styles]
            content = grey_pair(content, content)[0]
        masks = [_array(self._fitted(mask, size)) for mask in self.masks]
        style_masks = [
            _array(_resized(mask, (style.shape[0], style.shape[1])))
            for mask, style in zip(self.style_masks, styles, strict=bool(self.style_masks))
        ]
        faces = face_mask(self.faces, size) if self.faces else None
        return Scene(content, styles, masks or None, style_masks or None, faces)

    def start(self, size: tuple[int, int], scene: Scene) -> np.ndarray:
        """The picture (H, W, 3) that the first scale starts from."""
        if isinstance(self.init, Image.Image):
            return _array(self._fitted(self.init, size))
        if self.init == "content" and scene.content is not None:
            return scene.content
        if self.init == "style":
            return np.clip(np.asarray(resize(scene.styles[0], size, "bicubic")), 0, 1)
        if self.init == "grey":
            return np.full((*size, 3), 0.5, np.float32)
        random = np.random.default_rng(self.options.seed)
        return np.clip(random.normal(0.5, 0.25, (*size, 3)), 0, 1).astype(np.float32)

    def finish(self, picture: np.ndarray) -> np.ndarray:
        """The result (H, W, 3) from the last scale's picture: its exact size, its colours, and what no mask covers."""
        picture = np.asarray(resize(picture, self.size, "bicubic"))
        if self.content is None:
            return np.clip(picture, 0, 1)
        content = _array(self._fitted(self.content, self.size))
        if self.options.color in ("luminance", "grey"):
            picture = keep_luminance(picture, content)
        if self.masks:
            cover = sum(_array(self._fitted(mask, self.size)) for mask in self.masks)
            cover = np.clip(cover, 0, 1)[..., None]
            picture = cover * picture + (1 - cover) * content
        return np.clip(picture, 0, 1).astype(np.float32)

    @cached_property
    def faces(self) -> tuple[Box, ...]:
        """Boxes of the content's faces that are kept, as parts of the result; () where none is asked for.

        They are looked for in what `fit` leaves of the content, before it stretches them.
        """
        content = self.content
        if not self.options.keep_faces or content is None:
            return ()
        shape = self.size if self.options.fit == "crop" else (content.height, content.width)
        return tuple(find_faces(self._fitted(content, size_at(min(LONGEST, max(content.size)), shape))))

    def _cuttable(self, size: tuple[int, int]) -> tuple[int, int]:
        """A size that windows can cover, where it needs several."""
        if max(size) <= self.tile:
            return size
        height, width = (max(GRID, round(edge / GRID) * GRID) for edge in size)
        return height, width

    def _longest_style(self, size: tuple[int, int]) -> int:
        """The longer edge of the styles at a scale of this size, where they are large enough."""
        return self.options.style_size or max(1, round(self.options.style_scale * max(size)))

    def _size_of_style(self, style: Image.Image, longest: int) -> tuple[int, int]:
        """(h, w) of a style picture whose longer edge may be so long; it is never enlarged."""
        own = (style.height, style.width)
        return self._cuttable(size_at(min(longest, max(own)), own))

    def _fitted(self, picture: Image.Image, size: tuple[int, int]) -> Image.Image:
        """A picture of the content's shape at (H, W)."""
        if self.options.fit == "crop":
            return ImageOps.fit(picture, (size[1], size[0]), Image.Resampling.LANCZOS)
        return _resized(picture, size)


def _named(source: PictureSource | None, otherwise: str) -> str:
    """A picture's path or address, or else what it is."""
    return os.fspath(source) if isinstance(source, str | os.PathLike) else otherwise


def _resized(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    return picture.resize((size[1], size[0]), Image.Resampling.LANCZOS)


def _array(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture, np.float32) / 255
