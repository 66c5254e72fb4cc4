"""The loop of a run of training: steps, figures, samples and checkpoints, until its end or a signal."""

import math
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np
from PIL import Image

from pixace.checkpoints import CONFIG, WEIGHTS, StateStore
from pixace.errors import PixaceError
from pixace.progress import Progress, duration
from pixace.sheets import save_picture
from pixace.tracking import Tracker
from pixace.training.watch import StopSignals

Say = Callable[[str], None]


class Length(Protocol):
    """What a loop asks of the configuration of its run."""

    @property
    def n_steps(self) -> int:
        """Steps in all."""
        ...

    @property
    def max_minutes(self) -> float | None:
        """Minutes in all, if that is sooner."""
        ...

    @property
    def batch_size(self) -> int:
        """Pictures a step."""
        ...

    @property
    def save_minutes(self) -> float:
        """Minutes between checkpoints."""
        ...

    @property
    def steps_per_sample(self) -> int:
        """Steps between sheets of samples."""
        ...


@dataclass(frozen=True)
class Result:
    """How a run ended: its folder, steps done, the last step's loss if there was one, and by what signal, if any."""

    folder: Path
    step: int
    loss: float | None
    signal: int | None = None


class Work(NamedTuple):
    """What is trained.

    Attributes:
        metrics: names of the figures of a step; `loss` is one of them.
        advance: the state after a step and its figures, from the state before and its batch.
        sheet: a sheet of samples of a state, or None.
        save: writes the weights of a state and a step for people.
    """

    metrics: tuple[str, ...]
    advance: Callable[[Any, Any], tuple[Any, jax.Array]]
    sheet: Callable[[Any], Image.Image | None]
    save: Callable[[Any, int], None]


class Loop:
    """One run, from the state that it has to its end."""

    def __init__(
        self,
        folder: Path,
        length: Length,
        work: Work,
        store: StateStore,
        state: Any,
        step: int,
        minutes: float,
        say: Say,
    ):
        """`state` is that after `step` steps, which took `minutes`."""
        self.folder, self.length, self.work, self.store, self.say = folder, length, work, store, say
        self.state, self.step, self.minutes_before = state, step, minutes
        self.started = self.clock = time.monotonic()
        self.pending: jax.Array | None = None  # the last step's figures, still on the device
        self.loss: float | None = None

    @property
    def minutes(self) -> float:
        """Minutes of training so far, those of earlier processes included."""
        return self.minutes_before + (time.monotonic() - self.started) / 60

    @property
    def is_over(self) -> bool:
        """Whether all steps or all minutes are used up."""
        most = self.length.max_minutes
        return self.step >= self.length.n_steps or (most is not None and self.minutes >= most)

    def finished(self) -> Result:
        """Say that there is nothing left to do; people get their weights if they lack them."""
        if not (self.folder / WEIGHTS).exists():
            self.work.save(self.state, self.step)
        self.say(
            f"{self.folder} is trained already: {self.step:,} steps in {duration(60 * self.minutes)}; "
            "give a larger --n_steps or --max_minutes to go on"
        )
        return Result(self.folder, self.step, None)

    def go(self, batches: Iterator[Any], tracker: Tracker, progress: Progress, signals: StopSignals) -> Result:
        """Train. A step's figures are taken while the next one runs already, so that no device waits."""
        self.tracker, self.progress = tracker, progress
        began = saved = self.step
        self.started = self.clock = last_save = time.monotonic()
        if began == 0:
            tracker.text(0, "config", (self.folder / CONFIG).read_text())
        while True:
            stopped = signals.caught if self.step < self.length.n_steps else None  # at its end a run simply ends
            over = self.is_over and self.step > began
            if stopped is None and self.step > began and (over or self.step % self.length.steps_per_sample == 0):
                self._take_figures()
                self._draw()
            ends = over or stopped is not None
            if (ends or time.monotonic() - last_save > 60 * self.length.save_minutes) and self.step > saved:
                self._take_figures()
                self._save()
                saved, last_save = self.step, time.monotonic()
            if ends:
                self.store.wait()
                return self._end(stopped)
            batch = next(batches)
            self.state, figures = self.work.advance(self.state, batch)
            self._take_figures()
            self.step, self.pending = self.step + 1, figures

    def _take_figures(self) -> None:
        """Write down the figures of the last step, unless that was done; waits for the device."""
        if self.pending is None:
            return
        values = dict(zip(self.work.metrics, map(float, np.asarray(self.pending)), strict=True))
        self.pending, now = None, time.monotonic()
        values["pictures_per_second"] = self.length.batch_size / max(now - self.clock, 1e-9)
        self.clock, self.loss = now, values["loss"]
        if not all(map(math.isfinite, values.values())):
            raise PixaceError(f"training stopped: the loss is {self.loss} at step {self.step}; {self._way_back()}")
        self.tracker.scalars(self.step, values)
        self.progress(self.step, self._total(), f"loss {self.loss:.4g}")

    def _total(self) -> int:
        """How many steps the run will have, as far as its pace tells."""
        most, minutes = self.length.n_steps, self.length.max_minutes
        return most if minutes is None else max(self.step, min(most, round(self.step * minutes / self.minutes)))

    def _way_back(self) -> str:
        self.store.wait()
        good = self.store.latest()
        kept = "nothing was saved yet" if good is None else f"the last good checkpoint is that of step {good}"
        return f"{kept}; begin another --model with a lower --lr"

    def _draw(self) -> None:
        """A sheet of samples."""
        try:
            picture = self.work.sheet(self.state)
        except Exception as error:  # out of memory, most likely: a sheet must not cost a run its checkpoint
            reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
            self.say(f"warning: no samples at step {self.step}: {reason}; --n_samples=0 leaves them out")
            return
        if picture is not None:
            self.tracker.picture(self.step, "samples", np.asarray(picture))
            save_picture(picture, self.folder / "samples" / f"{self.step:08d}.png")
        self.clock = time.monotonic()

    def _save(self) -> None:
        """Figures first, then weights, then the state: a state on disk means that all before it is there too."""
        self.tracker.flush()
        self.work.save(self.state, self.step)
        self.store.save(self.step, self.state, {"minutes": self.minutes})
        self.clock = time.monotonic()

    def _end(self, stopped: int | None) -> Result:
        if stopped is not None:
            saved = "saved" if self.step else "nothing to save yet"
            name = signal.Signals(stopped).name
            self.say(f"stopped by {name} after step {self.step}, {saved}; the same command goes on from there")
        else:
            spent = duration(60 * self.minutes)
            self.say(f"done: {self.step:,} steps in {spent}, loss {self.loss:.4g}; model in {self.folder}")
        return Result(self.folder, self.step, self.loss, stopped)


def first_state(store: StateStore, init: Callable[[], Any], device: Any) -> tuple[Any, dict[str, float], int]:
    """The state to go on from, on the device; what is known of it; and its step. `init` makes that of step 0."""
    last = store.latest()
    if last is None:
        # Put there, as batches and states that are restored are: else the second step would be compiled anew.
        return jax.device_put(init(), device), {}, 0
    place = jax.sharding.SingleDeviceSharding(device)
    like = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place), jax.eval_shape(init))
    return *store.restore(last, like), last
