"""The numbers of a guide at each epoch: everything that does not hang on what a CLIP sees, computed beforehand."""

import random as chance
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from pixace.errors import ConfigError
from pixace.guide.descent import base_rate
from pixace.guide.expressions import Expression
from pixace.guide.settings import Effect, FrameTime, Guide, Number, Target, Vector
from pixace.guide.trying import number as sensible
from pixace.guide.variables import SIMILARITY, learnrate_values, resolution_values, time_values

LARGEST_EDGE = 8192  # pixels


@dataclass(frozen=True)
class Moment:
    """An epoch.

    Attributes:
        epoch: its number.
        time: from 0 in the first to 1 in the last.
        resolution: (width, height) of the picture.
        learnrate: that of the optimiser, base rate included.
        variables: what expressions may use, by name; similarities are not among them.
    """

    epoch: int
    time: float
    resolution: tuple[int, int]
    learnrate: float
    variables: Mapping[str, Any]


class Schedule:
    """The moments of a guide, and the numbers in them."""

    def __init__(self, guide: Guide):
        self.guide = guide

    @lru_cache(maxsize=64)  # noqa: B019 (a schedule lives as long as its run)
    def moment(self, epoch: int) -> Moment:
        """What holds in an epoch.

        Raises:
            ConfigError: an expression cannot be computed, or gives no sensible size.
        """
        guide = self.guide
        time = epoch / max(1, guide.epochs - 1)
        known: dict[str, Any] = {**guide.vars, **time_values(epoch, guide.epochs)}
        width, height = (
            self._size(self._number(number, known, f"{epoch} resolution {axis}"), f"resolution in epoch {epoch}")
            for axis, number in enumerate(guide.resolution)
        )
        known |= resolution_values(width, height)
        scale = self._number(guide.learnrate_scale, known, f"{epoch} learnrate_scale")
        rate = (
            base_rate(guide.optimizer, guide.canvas)
            * scale
            * self._number(guide.learnrate, known, f"{epoch} learnrate")
        )
        return Moment(epoch, time, (width, height), rate, {**known, **learnrate_values(rate, scale)})

    def now(self, moment: Moment, start: FrameTime, end: FrameTime) -> bool:
        """Whether a time between two, both inclusive, has come: whole numbers are epochs, others shares of the time."""
        after = moment.epoch >= start if isinstance(start, int) else moment.time >= start
        return after and (moment.epoch <= end if isinstance(end, int) else moment.time <= end)

    def vector(self, moment: Moment, numbers: Vector, place: str) -> np.ndarray:
        """Float32 (n,); 0 where a number hangs on a similarity. `place` tells its random numbers from others'."""
        found = [
            self._number(number, moment.variables, f"{moment.epoch} {place} {i}") for i, number in enumerate(numbers)
        ]
        with np.errstate(over="ignore"):  # what is too large is infinite, and the loss tells of it
            return np.array(found, np.float32)

    def views(self, moment: Moment, numbers: Vector, place: str, views: int) -> np.ndarray:
        """Float32 (views, n): the same for all views but where random numbers are drawn."""
        if any(isinstance(number, Expression) and number.draws for number in numbers):
            return np.stack([self.vector(moment, numbers, f"{place} {view}") for view in range(views)])
        return np.broadcast_to(self.vector(moment, numbers, place), (views, len(numbers)))

    def effect(self, moment: Moment, effect: Effect, views: int) -> dict[str, np.ndarray]:
        """The numbers of an effect by member, float32 (views, n); `active` is one of them if it has a window.

        While it does not work they are ones, as there may be none: `1/t` at the beginning.
        """
        now = self.now(moment, effect.start, effect.end)
        found = {
            name: self.views(moment, numbers if now else (1.0,) * len(numbers), f"{effect.path} {name}", views)
            for name, numbers in effect.values.items()
        }
        if (effect.start, effect.end) != (0.0, 1.0):
            found["active"] = np.full((views, 1), now, np.float32)
        return found

    def probes(self, moment: Moment, target: Target, effect: Effect, most: int = 33) -> dict[str, np.ndarray]:
        """The numbers of an effect by member, float32 (epochs, n), in this epoch and others with a picture of its size.

        Epochs in which its target does not work are left out.
        """
        first, last = self.guide.start_epoch, max(self.guide.start_epoch, self.guide.epochs - 1)
        epochs = sorted({moment.epoch, *(round(first + (last - first) * share) for share in np.linspace(0, 1, most))})
        probed = [
            self.effect(at, effect, 1)
            for at in map(self.moment, epochs)
            if at.resolution == moment.resolution and self.now(at, target.start, target.end)
        ]
        return {name: np.concatenate([each[name] for each in probed]) for name in probed[0]}

    def active(self, moment: Moment) -> list[tuple[int, Target]]:
        """The targets whose time it is, with their places."""
        return [
            (place, target)
            for place, target in enumerate(self.guide.targets)
            if target.active and self.now(moment, target.start, target.end)
        ]

    def _number(self, number: Number, known: Mapping[str, Any], place: str) -> float:
        if not isinstance(number, Expression):
            return float(number)
        if needs_similarity(number):
            return 0.0
        try:
            return float(sensible(number(known, chance.Random(f"{self.guide.seed} {place}"))))
        except ConfigError as error:
            epoch, where = place.split(" ", 1)
            raise ConfigError(f"{where} in epoch {epoch}: {error}") from None

    def _size(self, value: float, place: str) -> int:
        if not 1 <= value <= LARGEST_EDGE:
            raise ConfigError(f"{place}: an edge of {value:g} pixels; 1 to {LARGEST_EDGE} are possible")
        return int(value)


def needs_similarity(number: Number) -> bool:
    """Whether a number hangs on how much a view is like a feature."""
    return isinstance(number, Expression) and bool(number.names & SIMILARITY)
