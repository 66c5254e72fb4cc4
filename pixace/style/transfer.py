"""`pixace.stylize`: a picture with the content of one and the style of others, found by descent.

After Gatys, Ecker and Bethge (2016), from coarse to fine as in Crowson's style-transfer-pytorch: each scale starts
from what the one before has found, made larger, and adam's moments go with it.
"""

import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from pixace.canvas.canvas import Canvas
from pixace.canvas.colours import to_pil
from pixace.canvas.kinds import make_canvas
from pixace.canvas.resizing import resize
from pixace.errors import PixaceError
from pixace.fields import require
from pixace.opening import PictureSource
from pixace.progress import Bar, Progress
from pixace.style.descent import Descent, DescentState, begin, carried, result, step
from pixace.style.layers import Weighted, ordered
from pixace.style.material import Material, Scene
from pixace.style.objective import Objective, Terms, measure
from pixace.style.options import DEFAULT_LR, StyleOptions, make_options
from pixace.style.vgg import Network
from pixace.style.vgg_weights import load_network
from pixace.training.watch import StopSignals

TILE = 1024  # pixels: longest edge that is looked at in one piece, unless the options say otherwise

Pictures = PictureSource | Sequence[PictureSource]


@dataclass(frozen=True)
class Step:
    """A step that is done.

    Attributes:
        number, total: of all steps at all scales, from 1.
        size: (H, W) of this scale.
        figures: loss, content, style, tv and, where they are kept, faces, by name.
        picture: makes uint8 (H, W, 3), what has been found so far.
    """

    number: int
    total: int
    size: tuple[int, int]
    figures: dict[str, float]
    picture: Callable[[], np.ndarray]


@dataclass(frozen=True)
class Stylized:
    """What a style transfer has made.

    Attributes:
        picture: float32 (H, W, 3) in [0, 1].
        steps: the figures of every step, with its number (`step`) and the longer edge of its scale (`size`).
        signal: what ended it early, if anything did.
        seconds: what it took, compiling included.
    """

    picture: np.ndarray
    steps: list[dict[str, float]]
    signal: int | None
    seconds: float

    def to_pil(self) -> Image.Image:
        """The picture, its colours rounded to the nearest of 256."""
        return to_pil(jnp.asarray(self.picture))


def stylize(
    content: PictureSource | None = None,
    style: Pictures = (),
    *,
    mask: Pictures = (),
    style_mask: Pictures = (),
    loaded: Network | None = None,
    on_step: Callable[[Step], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
    progress: Progress | None = None,
    say: Callable[[str], None] | None = None,
    **given: Any,
) -> Stylized:
    """Make a picture with the content of one and the style of others.

    Without styles the content is found again from what its maps say (feature inversion), without content the
    style's texture alone. Ctrl-C and SIGTERM end it early; the result is then what has been found so far.

    Args:
        content: a path, address, PIL image or array.
        style: one or several of them.
        mask: for each style a picture of the content's shape, white where in the result the style is to be; where
            none is, the content stays. Without masks the styles are mixed.
        style_mask: for each style a picture of its shape, white where it is looked at.
        loaded: a network that is loaded already, instead of the one that `given` names.
        on_step: is told of every step.
        stop: is asked before every step whether to end here, as Ctrl-C does: for calls from other threads.
        progress: takes the progress of the steps (default: a bar or lines on standard error).
        say: takes a line about what was found in the content (default: to standard error).
        given: fields of `StyleOptions`.

    Raises:
        ConfigError: for options that make no sense, or no picture at all.
        PixaceError: a picture or the network cannot be read, or the loss is no number any more.
    """
    began = time.monotonic()
    options = make_options(given)
    tile = options.tile or TILE
    material = Material(content, _listed(style), _listed(mask), _listed(style_mask), options, tile)
    content_layers, style_layers = _layers(options, material)
    keep_faces = options.keep_faces if material.faces else 0.0  # before the network: that takes longer to load
    network = loaded or network_of(options, [name for name, _ in (*content_layers, *style_layers)])
    terms = Terms(
        network.config,
        content_layers,
        style_layers,
        options.content_weight,
        options.style_weight,
        options.tv_weight,
        options.content_distance,
        options.statistic,
        options.tv,
        keep_faces,
    )
    if options.keep_faces:
        (say or partial(print, file=sys.stderr, flush=True))(_told(len(material.faces)))
    lr = options.lr or (DEFAULT_LR[options.canvas] if options.optimizer == "adam" else None)
    descent = Descent(options.optimizer, lr, options.average)
    with StopSignals() as signals, Bar("stylizing") as bar:
        run = _Run(
            material,
            network,
            terms,
            descent,
            tile,
            lambda: signals.caught is not None or stop(),
            on_step,
            progress or bar,
        )
        found = material.finish(run.go())
    return Stylized(found, run.steps, signals.caught, time.monotonic() - began)


def network_of(options: StyleOptions, layers: Sequence[str] = (), classifier: bool = False) -> Network:
    """The network that the options name, with these layers, or all it has; errors as `load_network`."""
    return load_network(
        options.network,
        layers=ordered(layers),
        classifier=classifier,
        pooling=options.pooling,
        rescale=options.rescale,
        padding=options.padding,
        preprocessing=options.preprocessing,
        dtype=options.dtype,
    )


def scales_of(material: Material) -> list[tuple[tuple[int, int], int]]:
    """(H, W) of each scale and its steps, from the first on."""
    sizes, count = material.sizes, material.options.steps
    return [(size, 2 * count if i == 0 and len(sizes) > 1 else count) for i, size in enumerate(sizes)]


def _told(count: int) -> str:
    if not count:
        return "no face found in the content, so --keep_faces keeps nothing"
    return "1 face kept" if count == 1 else f"{count} faces kept"


def _listed(pictures: Pictures) -> list[PictureSource]:
    return list(pictures) if isinstance(pictures, list | tuple) else [pictures]  # type: ignore[list-item]


def _layers(options: StyleOptions, material: Material) -> tuple[Weighted, Weighted]:
    """The layers that count, of content and style: those of terms with a picture and a weight."""
    content, style = options.layers_with_weights
    content = content if material.content is not None and options.content_weight else ()
    style = style if material.styles and options.style_weight else ()
    require(bool(content or style), "nothing is left to be met: both weights are 0, or there are no layers")
    return content, style


class _Run:
    """The descent through all scales; `steps` are the figures of what is done."""

    def __init__(
        self,
        material: Material,
        network: Network,
        terms: Terms,
        descent: Descent,
        tile: int,
        stop: Callable[[], bool],
        on_step: Callable[[Step], None] | None,
        progress: Progress,
    ):
        self.material, self.network, self.terms, self.descent, self.tile = material, network, terms, descent, tile
        self.stop, self.on_step, self.progress = stop, on_step, progress
        self.steps: list[dict[str, float]] = []
        self.state: DescentState | None = None

    def go(self) -> np.ndarray:
        """Descend; returns what was found, (H, W, 3)."""
        plan = scales_of(self.material)
        self.total = sum(count for _, count in plan)
        for size, count in plan:
            self._scale(size, count)
            if self.stop():
                break
        return np.asarray(self._found())

    def _scale(self, size: tuple[int, int], count: int) -> None:
        scene = self.material.scene(size)
        slope = partial(_slope, self._objective(scene, size))
        if self.state is None:
            start = self.material.start(size, scene)
        else:
            start = np.asarray(jnp.clip(resize(self._found(), size, "bicubic"), 0, 1))
        begun = begin(self.descent, make_canvas(self.material.options.canvas, start), slope)
        self.state = begun if self.state is None else carried(self.state, begun)
        waiting: jax.Array | None = None
        for _ in range(count):
            if self.stop():
                break
            self.state, figures = step(self.descent, self.state, slope)
            if waiting is not None:  # a step's figures are read while the next one runs, so that no device waits
                self._report(waiting, size)
            waiting = figures
        if waiting is not None:
            self._report(waiting, size)

    def _objective(self, scene: Scene, size: tuple[int, int]) -> Objective:
        terms, network, tile = self.terms, self.network, self.tile
        masks = scene.style_masks or [None] * len(scene.styles)
        styles = [
            measure(terms, network, jnp.asarray(style), tile, mask)
            for style, mask in zip(scene.styles, masks, strict=True)
            if terms.style
        ]
        content = None if scene.content is None else jnp.asarray(scene.content)
        return Objective(terms, network, size, tile, content, styles, self.material.weights, scene.masks, scene.faces)

    def _found(self) -> jax.Array:
        """What has been found so far, (H, W, 3)."""
        assert self.state is not None
        return result(self.descent, self.state)()

    def _report(self, waiting: jax.Array, size: tuple[int, int]) -> None:
        """Tell of a step that is done; raises `PixaceError` where its loss is no number."""
        figures: dict[str, float] = dict(zip(self.terms.figures, map(float, np.asarray(waiting)), strict=True))
        number = len(self.steps) + 1
        if not math.isfinite(figures["loss"]):
            raise PixaceError(f"the loss is {figures['loss']} at step {number}; try a lower --lr or lower weights")
        self.steps.append({"step": number, "size": max(size), **figures})
        text = "  ".join(f"{name} {value:.4g}" for name, value in figures.items())
        self.progress(number, self.total, f"{size[1]}x{size[0]}  {text}")
        if self.on_step is not None:
            picture = partial(_eight_bits, self._found)
            self.on_step(Step(number, self.total, size, figures, picture))


def _eight_bits(found: Callable[[], jax.Array]) -> np.ndarray:
    return np.asarray(to_pil(found()))


def _slope(objective: Objective, canvas: Canvas) -> tuple[jax.Array, Canvas]:
    """The figures of a canvas, and the gradient of its loss."""
    figures, gradient = objective(_shown(canvas))
    return figures, _pulled(canvas, gradient)


@jax.jit
def _shown(canvas: Canvas) -> jax.Array:
    return canvas()


@jax.jit
def _pulled(canvas: Canvas, gradient: jax.Array) -> Canvas:
    return jax.vjp(lambda canvas: canvas(), canvas)[1](gradient)[0]
