"""`draw`: a picture from a guide, epoch after epoch.

An epoch is: the picture's size and the rate, effects of post-processing, views, what CLIPs and constraints say of
them, one step of the optimiser.
"""

import math
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from pixace.canvas.canvas import Canvas
from pixace.canvas.colours import to_pil
from pixace.canvas.pixels import Pixels
from pixace.clip.model import Clip
from pixace.errors import PixaceError
from pixace.guide.beginning import canvas_of, feature_pictures, first_picture, resized
from pixace.guide.compat import with_clamps
from pixace.guide.cutouts import cutout_effects
from pixace.guide.descent import make_rule, resampled
from pixace.guide.domains import working_sizes
from pixace.guide.features import feature_scales, feature_vectors
from pixace.guide.schedule import Moment, Schedule
from pixace.guide.settings import Guide, Target
from pixace.guide.state import State, load_state
from pixace.guide.step import Part, Seen, Tower, effect_steps, make_postprocess, make_step
from pixace.progress import Bar, Progress, silent
from pixace.training.watch import StopSignals

PLAIN_VIEW = 224  # pixels: edge of views where no CLIP looks at them
_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "linear": Image.Resampling.BILINEAR,
    "cubic": Image.Resampling.BICUBIC,
}


@dataclass(frozen=True)
class Epoch:
    """An epoch that is done.

    Attributes:
        number, last: its number, and that of the last one.
        size: (H, W).
        learnrate: of its step.
        loss: before its step.
        seen: for each part that worked, the place of its target and what its views were like.
        state: after it; the next epoch uses its arrays up.
    """

    number: int
    last: int
    size: tuple[int, int]
    learnrate: float
    loss: float
    seen: list[tuple[int, Seen]]
    state: State

    def picture(self) -> np.ndarray:
        """The picture after its step, uint8 (H, W, 3)."""
        return np.asarray(to_pil(self.state.canvas()))


@dataclass(frozen=True)
class Drawn:
    """What a run has made.

    Attributes:
        picture: float32 (H, W, 3) in [0, 1].
        state: where it ended.
        signal: what ended it early, if anything did.
        seconds: what it took, compiling included.
    """

    picture: np.ndarray
    state: State
    signal: int | None
    seconds: float

    def to_pil(self) -> Image.Image:
        """The picture, its colours rounded to the nearest of 256."""
        return to_pil(jnp.asarray(self.picture))


def draw(
    guide: Guide,
    clips: Sequence[Clip] = (),
    *,
    resume: Path | None = None,
    allow_local: bool = False,
    on_epoch: Callable[[Epoch], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
    progress: Progress | None = None,
) -> Drawn:
    """Draw what a guide asks for. Ctrl-C and SIGTERM end it early; the result is then what there is so far.

    Args:
        guide: what `reading.read_guides` makes of files.
        clips: one for each of its models; none are needed where no target has features.
        resume: a file of a state, from which to go on.
        allow_local: addresses of this computer and private networks may be opened.
        on_epoch: is told of every epoch.
        stop: is asked before every epoch whether to end here.
        progress: takes the progress (default: a bar or lines on standard error, none with `verbose: 0`).

    Raises:
        ConfigError: an expression cannot be computed.
        PixaceError: a picture or state cannot be read, or the loss is no number any more.
    """
    began = time.monotonic()
    run = _Run(guide, clips, feature_pictures(guide, allow_local=allow_local))
    state = run.resumed(resume) if resume else run.begin(allow_local)
    if guide.start_epoch >= guide.epochs and not resume:
        raise PixaceError(f"start_epoch {guide.start_epoch} is not below epochs {guide.epochs}: nothing would be drawn")
    shown: Any = Bar("drawing") if guide.verbose else nullcontext(silent)
    with StopSignals() as signals, shown as bar:
        tell = progress or bar
        while state.epoch < guide.epochs and signals.caught is None and not stop():
            state, loss, moment, seen = run.epoch(state)
            # Reading the loss waits for the step. On a GPU the next one could be prepared meanwhile, but numbers are
            # few, and whoever looks at pictures and figures wants those of this epoch.
            done = Epoch(moment.epoch, guide.epochs - 1, state.canvas.size, moment.learnrate, float(loss), seen, state)
            if not math.isfinite(done.loss):
                raise PixaceError(
                    f"the loss is no number in epoch {moment.epoch}: lower learnrate ({moment.learnrate:g}), or "
                    "look for a weight or transform that gets very large"
                )
            if on_epoch is not None:
                on_epoch(done)
            tell(done.number + 1, guide.epochs, f"loss {done.loss:.4g}")
    picture = run.finished(state)
    return Drawn(picture, state, signals.caught, time.monotonic() - began)


class _Run:
    """A guide with what it needs, and the programs that were compiled for it."""

    def __init__(self, guide: Guide, clips: Sequence[Clip], pictures: dict[str, Image.Image]):
        self.compat = guide.compat is not None
        self.guide = guide = with_clamps(guide) if self.compat else guide
        self.clips, self.schedule = clips, Schedule(guide)
        self.rule = make_rule(guide.optimizer)
        self.shares = [model.weight for model in guide.models]
        self.wanted = feature_vectors(clips, guide, pictures)
        self.weights = [clip.weights["image"] for clip in clips]
        self.towers = [
            Tower(clip.config, clip.dtype, clip.image_size, share)
            for clip, share in zip(clips, self.shares, strict=bool(clips))
        ]
        self.view = max((clip.image_size for clip in clips), default=PLAIN_VIEW)
        self.compiled: dict[Any, Any] = {}

    def begin(self, allow_local: bool) -> State:
        """The state before the first epoch."""
        moment = self.schedule.moment(self.guide.start_epoch)
        picture = first_picture(self.guide, moment.resolution, allow_local=allow_local)
        canvas = canvas_of(self.guide.canvas, picture)
        scales = feature_scales(self.clips, self.shares, self.guide, self.wanted, jnp.asarray(picture))
        return State(canvas, self.rule.init(canvas), self.guide.start_epoch, scales)  # type: ignore[arg-type]

    def resumed(self, file: Path) -> State:
        """The state in a file, which must be of a run of such a guide."""
        state = load_state(file, self.rule)
        if self.guide.canvas != state.canvas.KIND:
            raise PixaceError(f"{file} has a canvas {state.canvas.KIND}, which {self.guide.canvas} cannot go on with")
        if [len(scale) for scale in state.scales] != [len(target.features) for target in self.guide.targets]:
            raise PixaceError(f"{file} is of a run with other targets or features; begin anew with these")
        return state

    def epoch(self, state: State) -> tuple[State, jax.Array, Moment, list[tuple[int, Seen]]]:
        """The state after another epoch, its loss, its moment, and what was seen."""
        moment = self.schedule.moment(state.epoch)
        state = self._sized(state, moment)
        canvas = self._processed(state.canvas, moment, moment.epoch)
        parts, places, step = self._program(moment)
        numbers = self._numbers(moment, parts, places, state.scales)
        wanted = [self.wanted[place] for place in places]
        key = jax.random.fold_in(jax.random.key(self.guide.seed), moment.epoch)
        canvas, rule, loss, seen = step(canvas, state.rule, self.weights, wanted, numbers, key)
        new = replace(state, canvas=canvas, rule=rule, epoch=state.epoch + 1)
        return new, loss, moment, list(zip(places, seen, strict=True))

    def finished(self, state: State) -> np.ndarray:
        """The picture of a state, with the effects that the last step has not had yet."""
        canvas = state.canvas
        if state.epoch and not self.compat:
            moment = self.schedule.moment(state.epoch - 1)
            canvas = self._processed(canvas, moment, state.epoch)
        return np.clip(np.asarray(canvas()), 0, 1)

    def _sized(self, state: State, moment: Moment) -> State:
        """The state with the picture at the size of an epoch, the optimiser's moments with it."""
        width, height = moment.resolution
        if state.canvas.size == (height, width):
            return state
        picture = np.asarray(state.canvas())
        canvas = canvas_of(self.guide.canvas, resized(picture, moment.resolution, _FILTERS[self.guide.interpolation]))
        return replace(state, canvas=canvas, rule=resampled(state.rule, canvas))

    def _processed(self, canvas: Canvas, moment: Moment, draw: int) -> Canvas:
        """The canvas after the effects on the picture itself; `draw` tells their random numbers from others'."""
        now = [e for e in self.guide.postproc if self.schedule.now(moment, e.start, e.end)]
        if not now:
            return canvas
        name = "postproc", canvas.size, tuple(effect.path for effect in now)
        if name not in self.compiled:
            self.compiled[name] = make_postprocess(effect_steps(now), canvas.size, nearest=self.compat)
        values = [{k: v[0] for k, v in self.schedule.effect(moment, effect, 1).items()} for effect in now]
        key = jax.random.fold_in(jax.random.key(self.guide.seed + 1), draw)
        picture = self.compiled[name](canvas(), values, key)
        if isinstance(canvas, Pixels):
            new = jax.tree.unflatten(jax.tree.structure(canvas), [picture])
            return new if self.compat else new.projected()
        return canvas_of(canvas.KIND, np.clip(np.asarray(picture), 0, 1))

    def _program(self, moment: Moment) -> tuple[list[Part], list[int], Callable[..., Any]]:
        """The parts of an epoch, the places of their targets, and the compiled step."""
        active = self.schedule.active(moment)
        name = moment.resolution, tuple(place for place, _ in active)
        if name not in self.compiled:
            found = [(place, part) for place, target in active for part in self._parts(moment, target)]
            parts = [part for _, part in found]
            step = make_step(
                parts, self.towers, self.rule, self.view, mean=self.guide.reduction == "mean", compat=self.compat
            )
            self.compiled[name] = parts, [place for place, _ in found], step
        return self.compiled[name]

    def _parts(self, moment: Moment, target: Target) -> list[Part]:
        kinds = [(target.transforms, target.batch_size)]
        if self.guide.cutouts and target.features:
            kinds.append((cutout_effects(self.view), self.guide.cutouts))
        width, height = moment.resolution
        parts = []
        for effects, views in kinds:
            steps = effect_steps(effects)
            probes = [self.schedule.probes(moment, target, effect) for effect in effects]
            sizes = working_sizes(steps, probes, (height, width))
            parts.append(Part(target, tuple(effects), steps, sizes, views))
        return parts

    def _numbers(self, moment: Moment, parts: Sequence[Part], places: Sequence[int], scales: Sequence[Any]) -> Any:
        """All numbers of an epoch's step, as `make_step` takes them."""
        schedule = self.schedule
        variables = {name: value for name, value in moment.variables.items() if not callable(value)}
        return {
            "lr": np.float32(moment.learnrate),
            "tv": schedule.vector(moment, (self.guide.total_variation,), "total_variation")[0],
            "variables": variables,
            "parts": [self._of_part(moment, part, scales[place]) for part, place in zip(parts, places, strict=True)],
        }

    def _of_part(self, moment: Moment, part: Part, scale: Any) -> Any:
        schedule, target = self.schedule, part.target
        now = partial(schedule.now, moment)
        features = target.features
        enabled = [now(feature.start, feature.end) for feature in features]
        weights = tuple(f.weight if on else 0.0 for f, on in zip(features, enabled, strict=True))
        return {
            "scale": scale,
            "weight": schedule.vector(moment, (target.weight,), target.path + " weight")[0],
            "feature_weight": schedule.vector(moment, weights, target.path + ".features weight"),
            "feature_scale": schedule.vector(moment, tuple(f.scale for f in features), target.path + ".features scale"),
            "enabled": np.array(enabled, np.float32),
            "constraint_on": np.array([now(c.start, c.end) for c in target.constraints], np.float32),
            "transforms": [schedule.effect(moment, effect, part.views) for effect in part.effects],
            "constraints": [schedule.effect(moment, constraint, part.views) for constraint in target.constraints],
        }
