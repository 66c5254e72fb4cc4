"""From a start to the picture that descent finds, through all scales: what every search for a picture shares.

Each scale starts from what the one before has found, made larger, and adam's moments go with it.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NoReturn

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from pixace.canvas.canvas import Canvas
from pixace.canvas.colours import to_pil
from pixace.canvas.kinds import make_canvas
from pixace.canvas.resizing import resize
from pixace.canvas.sizes import Size
from pixace.errors import PixaceError
from pixace.progress import Progress
from pixace.style.descent import Descent, DescentState, begin, carried, result, step
from pixace.style.material import Material, Scene
from pixace.style.options import DEFAULT_LR, StyleOptions

# Of a picture (H, W, 3): its figures, the loss first, and the gradient of the loss.
Loss = Callable[[jax.Array], tuple[jax.Array, jax.Array]]


@dataclass(frozen=True)
class Step:
    """A step that is done.

    Attributes:
        number, total: of all steps at all scales, from 1.
        size: (H, W) of this scale.
        figures: by name, the loss first, and what it is made of.
        picture: makes uint8 (H, W, 3), what has been found so far.
    """

    number: int
    total: int
    size: Size
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


class Diverged(PixaceError):
    """The loss became no number. `best` is the picture of the lowest loss until then, and the steps before."""

    def __init__(self, line: str, best: Stylized):
        super().__init__(line)
        self.best = best


class Descending:
    """A descent through all scales."""

    def __init__(
        self,
        material: Material,
        figures: tuple[str, ...],
        loss_at: Callable[[Scene, Size], Loss],
        stop: Callable[[], bool],
        on_step: Callable[[Step], None] | None,
        progress: Progress,
    ):
        """What is to be done.

        Args:
            material: the pictures, and the options.
            figures: names of what a loss tells, itself first.
            loss_at: the loss at a scale, from its pictures and its size.
            stop: is asked before every step whether to end here.
            on_step: is told of every step.
            progress: takes the number of steps that are done.
        """
        self.material, self.figures, self.loss_at = material, figures, loss_at
        self.stop, self.on_step, self.progress = stop, on_step, progress
        self.descent = _descent(material.options)
        self.steps: list[dict[str, float]] = []
        self.state: DescentState | None = None

    def go(self, began: float) -> Stylized:
        """Descend; `began` is when the work did, by `time.monotonic`, and the signal is left to whoever asks.

        Raises:
            Diverged: the loss became no number.
            PixaceError: the same, at the first step.
        """
        self.began = began
        plan = scales_of(self.material)
        self.total = sum(count for _, count in plan)
        for size, count in plan:
            self._scale(size, count)
            if self.stop():
                break
        return self._made(np.asarray(self._found()))

    def _scale(self, size: Size, count: int) -> None:
        scene = self.material.scene(size)
        slope = partial(_slope, self.loss_at(scene, size))
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
        if not _is_finite(result(self.descent, self.state)()):  # the last gradient, whose loss nobody has seen
            self._fail(f"the picture is no number after step {len(self.steps)}")

    def _found(self) -> jax.Array:
        """What has been found so far, (H, W, 3); never what is no number."""
        assert self.state is not None
        found = result(self.descent, self.state)()
        return found if _is_finite(found) else self.state.best()

    def _report(self, waiting: jax.Array, size: Size) -> None:
        """Tell of a step that is done."""
        figures: dict[str, float] = dict(zip(self.figures, map(float, np.asarray(waiting)), strict=True))
        number = len(self.steps) + 1
        if not math.isfinite(figures["loss"]):
            self._fail(f"the loss is {figures['loss']} at step {number}")
        self.steps.append({"step": number, "size": max(size), **figures})
        text = "  ".join(f"{name} {value:.4g}" for name, value in figures.items())
        self.progress(number, self.total, f"{size[1]}x{size[0]}  {text}")
        if self.on_step is not None:
            picture = partial(_eight_bits, self._found)
            self.on_step(Step(number, self.total, size, figures, picture))

    def _fail(self, what: str) -> NoReturn:
        """End a descent whose numbers are none any more; there is a best picture after at least one good step."""
        assert self.state is not None
        line = f"{what} of {self.total}; try a lower --lr or lower weights"
        line += "" if self.material.options.dtype == "float32" else ", or --dtype=float32"
        best = np.asarray(self.state.best())
        if not self.steps or not _is_finite(best):
            raise PixaceError(line)
        raise Diverged(line, self._made(best))

    def _made(self, picture: np.ndarray) -> Stylized:
        return Stylized(self.material.finish(picture), self.steps, None, time.monotonic() - self.began)


def scales_of(material: Material) -> list[tuple[Size, int]]:
    """(H, W) of each scale and its steps, from the first on."""
    sizes, count = material.sizes, material.options.steps
    return [(size, 2 * count if i == 0 and len(sizes) > 1 else count) for i, size in enumerate(sizes)]


def _descent(options: StyleOptions) -> Descent:
    lr = options.lr or (DEFAULT_LR[options.canvas] if options.optimizer == "adam" else None)
    return Descent(options.optimizer, lr, options.average, options.weight_decay)


def _is_finite(picture: jax.Array | np.ndarray) -> bool:
    return bool(np.isfinite(np.asarray(picture)).all())


def _eight_bits(found: Callable[[], jax.Array]) -> np.ndarray:
    return np.asarray(to_pil(found()))


def _slope(loss: Loss, canvas: Canvas) -> tuple[jax.Array, Canvas]:
    """The figures of a canvas, and the gradient of its loss."""
    figures, gradient = loss(_shown(canvas))
    return figures, _pulled(canvas, gradient)


@jax.jit
def _shown(canvas: Canvas) -> jax.Array:
    return canvas()


@jax.jit
def _pulled(canvas: Canvas, gradient: jax.Array) -> Canvas:
    return jax.vjp(lambda canvas: canvas(), canvas)[1](gradient)[0]
