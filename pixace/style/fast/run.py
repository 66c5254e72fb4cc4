"""One run of training: from what its folder holds to the last step, and what it writes on the way."""

import contextlib
import itertools
import math
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from pixace.checkpoints import WEIGHTS, StateStore
from pixace.errors import PixaceError
from pixace.folders import write_atomically
from pixace.opening import open_picture
from pixace.progress import Bar, Progress, duration
from pixace.sheets import save_picture, sheet
from pixace.style.fast.config import FastConfig
from pixace.style.fast.model import save_config, save_weights
from pixace.style.fast.network import Weights, count_weights, transform
from pixace.style.fast.step import METRICS, init_state, style_targets, train_step
from pixace.style.layers import ordered
from pixace.style.objective import Terms
from pixace.style.pictures import PictureSet, load_pictures
from pixace.style.vgg_weights import load_network
from pixace.threads import in_threads
from pixace.tracking import Tracker
from pixace.training.watch import StopSignals

STYLES_SHOWN = 4  # on a sheet of samples
Say = Callable[[str], None]


@dataclass(frozen=True)
class FastResult:
    """How a run ended: its folder, steps done, the last step's loss if there was one, and by what signal, if any."""

    folder: Path
    step: int
    loss: float | None
    signal: int | None = None


class FastRun:
    """One run; the methods follow the order of what happens."""

    def __init__(self, folder: Path, config: FastConfig, device: Any, say: Say):
        self.folder, self.config, self.device, self.say = folder, config, device, say
        self.network, self.training = config.network, config.training

    def go(self, progress: Progress | None) -> FastResult:
        """Train to the end, or to a signal."""
        for left_over in self.folder.glob(".pixace-*"):  # of a process that was killed while it wrote
            left_over.unlink(missing_ok=True)
        with contextlib.closing(StateStore(self.folder, self.training.keep)) as self.store:
            self.state, facts, last = self._first_state()
            self.step, self.minutes_before = last, facts.get("minutes", 0.0)
            self.started = time.monotonic()  # of training; set again when it begins
            if last >= self.training.n_steps or self.minutes_left <= 0:
                return self._finished()
            self._look()
            pictures = self._load_pictures()
            save_config(self.folder, self.config)
            self.say(
                f"network of {count_weights(self.network):,} weights for {self.network.n_styles} style"
                f"{'s' if self.network.n_styles > 1 else ''}, {len(pictures):,} pictures of "
                f"{self.training.image_size} pixels; {f'going on from step {last:,}' if last else 'starting'}"
            )
            with (
                contextlib.closing(Tracker(self.folder, last)) as self.tracker,
                Bar("training") as bar,
                StopSignals() as signals,
                contextlib.closing(in_threads(self._batch(pictures), itertools.count(last), 1)) as batches,
            ):
                self.progress = progress or bar
                return self._steps(signals, batches)

    # ---- before the steps

    def _first_state(self) -> tuple[Any, dict[str, float], int]:
        """The state to go on from, what is known of it, and its step."""
        last = self.store.latest()
        if last is None:
            return init_state(self.network, self.training), {}, 0
        like = jax.eval_shape(lambda: init_state(self.network, self.training))
        place = jax.sharding.SingleDeviceSharding(self.device)
        like = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place), like)
        return *self.store.restore(last, like), last

    def _finished(self) -> FastResult:
        if not (self.folder / WEIGHTS).exists():
            save_weights(self.folder, self._shared, self.step)
        self.say(
            f"{self.folder} is trained already: {self.step:,} steps in {duration(60 * self.minutes)}; "
            "give a larger --n_steps or --max_minutes to go on"
        )
        return FastResult(self.folder, self.step, None)

    def _look(self) -> None:
        """Load what looks at pictures, and have it look at the styles."""
        t = self.training
        content, style = t.layers_of("vgg16" if t.network == "vgg16" else "vgg19")
        layers = ordered(name for name, _ in content + style)
        vgg = load_network(t.network, layers=layers, pooling=t.pooling, dtype=self.network.dtype, say=self.say)
        content, style = t.layers_of(vgg.config.name)
        self.vgg = vgg.weights
        self.terms = Terms(
            vgg.config, content, style, t.content_weight, t.style_weight, t.tv_weight, "mse", t.statistic, t.tv
        )
        targets = [style_targets(self.terms, self.vgg, self._style_picture(i)) for i in range(len(self.config.styles))]
        self.targets = jax.tree.map(lambda *leaves: jnp.stack(leaves), *targets)

    def _style_picture(self, index: int) -> jax.Array:
        """A style picture, float32 (H, W, 3); it is kept in the folder, so that a run can go on without its file."""
        kept = self.folder / "styles" / f"{index}.png"
        if not kept.exists():
            picture = open_picture(self.config.styles[index])
            factor = (self.training.style_size or self.training.image_size) / max(picture.size)
            width, height = (max(1, round(factor * edge)) for edge in picture.size)
            save_picture(picture.resize((width, height), Image.Resampling.LANCZOS), kept)
        return jnp.asarray(np.asarray(open_picture(kept)), jnp.float32) / 255

    def _load_pictures(self) -> PictureSet:
        t = self.training
        with Bar("reading pictures") as bar:
            found = load_pictures(str(t.images), t.image_size, resize=t.resize, most=t.max_samples, progress=bar)
        if found.skipped:
            log = self.folder / "skipped.txt"
            text = "".join(f"{name}: {why}\n" for name, why in found.skipped)
            write_atomically(log, lambda path: path.write_text(text, "utf8", "backslashreplace"))  # any bytes
            self.say(f"warning: pictures that cannot be read and are left out: {len(found.skipped)}, listed in {log}")
        rows = np.linspace(0, len(found) - 1, min(t.n_samples, len(found))).astype(int)
        self.samples = np.array(found.rgb[rows])
        return found

    def _batch(self, pictures: PictureSet) -> Callable[[int], jax.Array]:
        t = self.training
        return lambda step: jax.device_put(pictures.batch(step, t.batch_size, t.seed), self.device)

    # ---- the steps

    @property
    def minutes(self) -> float:
        """Minutes of training so far, those of earlier processes included."""
        return self.minutes_before + (time.monotonic() - self.started) / 60

    @property
    def minutes_left(self) -> float:
        """Minutes until `--max_minutes` are over; infinite without it."""
        return math.inf if self.training.max_minutes is None else self.training.max_minutes - self.minutes

    def _steps(self, signals: StopSignals, batches: Any) -> FastResult:
        """The loop. A step's figures are taken while the next one runs already, so that no device waits."""
        t = self.training
        self.pending: jax.Array | None = None  # the last step's figures, still on the device
        self.loss: float | None = None
        began = saved = self.step
        self.started = self.clock = last_save = time.monotonic()
        if self.step == 0:
            self.tracker.text(0, "config", (self.folder / "config.json").read_text())
        while True:
            stopped = signals.caught if self.step < t.n_steps else None  # at its end a run simply ends
            over = self.step >= t.n_steps or (self.minutes_left <= 0 and self.step > began)
            if stopped is None and self.step > began and (over or self.step % t.steps_per_sample == 0):
                self._take_figures(self.step)
                self._draw()
            ends = over or stopped is not None
            if (ends or time.monotonic() - last_save > 60 * t.save_minutes) and self.step > saved:
                self._take_figures(self.step)
                self._save()
                saved, last_save = self.step, time.monotonic()
            if ends:
                self.store.wait()
                return self._end(stopped)
            batch = next(batches)
            self.state, figures = train_step(self.network, t, self.terms, self.vgg, self.targets, self.state, batch)
            self._take_figures(self.step)
            self.step, self.pending = self.step + 1, figures

    def _take_figures(self, step: int) -> None:
        """Write down the figures of the last step, unless that was done; waits for the device."""
        if self.pending is None:
            return
        values = dict(zip(METRICS, map(float, np.asarray(self.pending)), strict=True))
        self.pending, now = None, time.monotonic()
        values["pictures_per_second"] = self.training.batch_size / max(now - self.clock, 1e-9)
        self.clock, self.loss = now, values["loss"]
        if not all(map(math.isfinite, values.values())):
            raise PixaceError(f"training stopped: the loss is {self.loss} at step {step}; {self._way_back()}")
        self.tracker.scalars(step, values)
        self.progress(step, self._total(step), f"loss {self.loss:.4g}")

    def _total(self, step: int) -> int:
        """How many steps the run will have, as far as its pace tells."""
        most, minutes = self.training.n_steps, self.training.max_minutes
        return most if minutes is None else max(step, min(most, round(step * minutes / self.minutes)))

    def _way_back(self) -> str:
        self.store.wait()
        good = self.store.latest()
        kept = "nothing was saved yet" if good is None else f"the last good checkpoint is that of step {good}"
        return f"{kept}; begin another --model with a lower --lr"

    # ---- what is written

    @property
    def _shared(self) -> Weights:
        """The weights that people get: the average, unless --noema."""
        return self.state.weights if self.state.average is None else self.state.average

    def _draw(self) -> None:
        """A sheet of samples: a training picture a row, and what each style makes of it."""
        if not self.training.n_samples:
            return
        shown, styles = self.samples.astype(np.float32) / 255, self.network.n_styles
        columns = [self.samples]
        try:
            for style in range(min(styles, STYLES_SHOWN)):
                mixture = np.tile(np.eye(styles, dtype=np.float32)[style], (len(shown), 1))
                drawn = np.asarray(transform(self._shared, self.network, shown, mixture))
                columns.append(np.rint(255 * np.clip(drawn, 0, 1)).astype(np.uint8))
        except Exception as error:  # out of memory, most likely: a sheet must not cost a run its checkpoint
            reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
            self.say(f"warning: no samples at step {self.step}: {reason}; --n_samples=0 leaves them out")
            return
        picture = sheet([list(row) for row in zip(*columns, strict=True)], scale=self.training.image_size + 2)
        self.tracker.picture(self.step, "samples", np.asarray(picture))
        save_picture(picture, self.folder / "samples" / f"{self.step:08d}.png")
        self.clock = time.monotonic()

    def _save(self) -> None:
        """Figures first, then weights, then the state: a state on disk means that all before it is there too."""
        self.tracker.flush()
        save_weights(self.folder, self._shared, self.step)
        self.store.save(self.step, self.state, {"minutes": self.minutes})
        self.clock = time.monotonic()

    def _end(self, stopped: int | None) -> FastResult:
        if stopped is not None:
            saved = "saved" if self.step else "nothing to save yet"
            name = signal.Signals(stopped).name
            self.say(f"stopped by {name} after step {self.step}, {saved}; the same command goes on from there")
        else:
            spent = duration(60 * self.minutes)
            self.say(f"done: {self.step:,} steps in {spent}, loss {self.loss:.4g}; model in {self.folder}")
        return FastResult(self.folder, self.step, self.loss, stopped)
