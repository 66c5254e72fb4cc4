"""One run of training: from what its folder holds to the last step, and what it writes on the way."""

import contextlib
import dataclasses
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

from pixace import devices as device_choice
from pixace.checkpoints import StateStore, save_config, save_weights, weights_step
from pixace.config import RunConfig
from pixace.dataset import batch_at
from pixace.errors import PixaceError
from pixace.exchange import find_model
from pixace.models.spec import Parameters, count_parameters
from pixace.ops.attention import choose_implementation
from pixace.planning.advice import warning
from pixace.planning.machine import host_memory
from pixace.progress import Bar, Progress, duration
from pixace.sharding import make_mesh, sharding
from pixace.sheets import save_picture
from pixace.tokenizer import Tokenizer
from pixace.tracking import Tracker, read_metrics
from pixace.training.pictures import load_pictures
from pixace.training.plan import Plan
from pixace.training.previews import draw_previews
from pixace.training.states import abstract_state, first_state
from pixace.training.step import METRICS, train_step
from pixace.training.validation import mean_figures
from pixace.training.watch import Diverged, LossWatch, StopSignals

VALIDATION_PICTURES = 256  # at most so many are looked at in a validation
Say = Callable[[str], None]


@dataclass
class Result:
    """How a run ended: its folder, steps done, the last validation loss (nats a token), and by what signal, if any."""

    folder: Path
    step: int
    val_loss: float | None
    signal: int | None = None


class Run:
    """One run; the methods follow the order of what happens.

    What takes the steps is behind `state`, `_abstract_state`, `_new_state`, `_advance`, `_parameters` and `_shared`:
    another engine (`pixace.trax_engine`) has its own.
    """

    figure_names = METRICS
    state: Any  # what a checkpoint holds

    def __init__(self, folder: Path, config: RunConfig, devices: Any, say: Say):
        assert config.training is not None
        self.folder, self.config, self.say = folder, config, say
        self.model, self.training = config.model, config.training
        self.part_size = self.training.batch_size // self.training.accumulate
        usable = max(n for n in range(1, len(devices) + 1) if self.part_size % n == 0)
        say(device_choice.describe(devices[:usable]))
        if usable < len(devices):
            say(f"warning: {self.part_size} pictures a step do not divide over {len(devices)} devices; {usable} used")
        device_choice.warn_of_idle_gpu(devices)
        self.mesh = make_mesh(devices[:usable])
        model = self.model
        self.implementation = choose_implementation(devices[0].platform, model.dtype, model.d_head, model.d_value)
        self._warn_of_memory(devices[0], usable)

    def _warn_of_memory(self, device: Any, devices: int) -> None:
        """Say so if a step will hardly fit into the device's memory; the run goes on all the same."""
        if self.training.engine != "jax":
            return  # the formula is that of our own step
        statistics = (device.memory_stats() if device.platform != "cpu" else None) or {}
        if "bytes_limit" in statistics:
            free, where = statistics["bytes_limit"] - statistics.get("bytes_in_use", 0), "the device's memory"
        elif device.platform == "cpu" and (host := host_memory()):
            free, where = host.free, host.kind
        else:
            return
        on_one = dataclasses.replace(self.training, batch_size=self.training.batch_size // devices)
        if line := warning(self.model, on_one, free, where):
            self.say(line)

    def go(self, weights_dir: Path, progress: Progress | None) -> Result:
        """Train to the end, or to a signal."""
        for left_over in self.folder.glob(".pixace-*"):  # of a process that was killed while it wrote
            left_over.unlink(missing_ok=True)
        with contextlib.closing(StateStore(self.folder, self.training.keep)) as self.store:
            last, facts = self.store.latest(), {}
            if last is not None:
                self.state, facts = self.store.restore(last, self._abstract_state())
            self.plan = Plan(self.training, facts)
            if last is not None and self.plan.finished(last):
                return self._finished(last)
            log = self.folder / "skipped.txt"
            self.train_set, self.val_set = load_pictures(self.training, self.config.tokenizer, log, self.say)
            save_config(self.folder, self.config)
            if last is None:
                self.state = self._first_state(weights_dir)
            self.step = last or 0
            to_go = (
                f"{self.plan.total - self.step:,} steps"
                if self.training.max_minutes is None
                else f"{self.plan.minutes_left:.1f} minutes"
            )
            self.say(
                f"{self.model.model_type} of {count_parameters(self.model):,} weights, "
                f"{len(self.train_set):,} pictures, {self._attention}; "
                f"{f'going on from step {last}' if last else 'starting'}, {to_go} to go"
            )
            with (
                contextlib.closing(Tracker(self.folder, self.step)) as self.tracker,
                Bar("training") as bar,
                StopSignals() as signals,
            ):
                self.progress = progress or bar
                try:
                    return self._steps(signals)
                except Diverged as error:
                    raise PixaceError(f"training stopped: {error}; {self._way_back()}") from None

    @property
    def _attention(self) -> str:
        """What a pixel sees, for people."""
        model = self.model
        if model.attention == "full":
            return f"full attention by {self.implementation}"
        rounds = f" in {model.n_hashes} rounds" if model.n_hashes else ""
        return f"{model.attention} attention to {model.window} pixels{rounds}"

    def _finished(self, last: int) -> Result:
        try:
            whole = weights_step(self.folder) >= last
        except PixaceError:
            whole = False
        if not whole:
            self._save_weights(last)
            self.say(f"the weights in {self.folder} were missing or damaged; they are written anew")
        self.say(
            f"{self.folder} is trained already: {last:,} steps in {duration(60 * self.plan.minutes)}; "
            f"give a larger {self.plan.way_on} to go on"
        )
        return Result(self.folder, last, None)

    def _first_state(self, weights_dir: Path) -> Any:
        if not self.training.checkpoint:
            return self._new_state()
        facts = {name: getattr(self.model, name) for name in ("model_type", "n_heads")}
        facts |= {name: getattr(self.config.tokenizer, name) for name in ("image_size", "bitdepth")}
        source = find_model(
            self.training.checkpoint,
            weights_dir,
            facts,
            any_size=True,
            say=lambda line: None,  # guesses were told
        )
        self.say(f"starting from the weights of {source.path}")
        return self._new_state(source.load()[0])

    def _abstract_state(self) -> Any:
        return abstract_state(self.config, self.mesh)

    def _new_state(self, parameters: Any = None) -> Any:
        return first_state(self.config, self.mesh, parameters)

    def _way_back(self) -> str:
        self.store.wait()
        good = self.store.latest()
        if good is None:
            return "nothing was saved yet; begin again with a lower --lr"
        return (
            f"the last good checkpoint is {self.store.folder / str(good)}; "
            f"begin another --model_name with a lower --lr and --checkpoint={self.folder}"
        )

    # ---- the steps

    def _steps(self, signals: StopSignals) -> Result:
        """The loop. A step's figures are taken while the next one runs already, so that no device waits."""
        t = self.training
        self.plan.begin()
        self.watch = LossWatch(math.log(self.model.vocab_size))
        for line in read_metrics(self.folder):
            self.watch.see(int(line["step"]), line["loss"], line["gradient_norm"])
        if self.step == 0:
            self.tracker.text(0, "config", (self.folder / "config.json").read_text())
        self.pending: jax.Array | None = None  # the last step's figures, still on the device
        self.val_loss: float | None = None
        began = saved = self.step
        last_save = self.clock = time.monotonic()
        self.step_seconds = 0.0
        owed = False  # a checkpoint is due
        while True:
            stopped = signals.caught if self.step < self.plan.total else None  # at its end a run simply ends
            ends = (
                self.step >= self.plan.total
                or (self.plan.minutes_left <= 0 and self.step > began)
                or stopped is not None
            )
            if ends and stopped is None:
                self.plan.end(self.step)
            epoch_ends = self.step > began and self.step % t.steps_per_epoch == 0
            if stopped is None and self.step > began and (ends or self.step % t.eval_every == 0):
                self._take_figures(self.step, validate=True)
            if stopped is None and (ends or epoch_ends) and t.n_samples and self.step > began:
                self._take_figures(self.step)
                self._draw()
            owed |= ends or epoch_ends or time.monotonic() - last_save > 60 * t.save_minutes
            if owed and self.step > saved:
                self._take_figures(self.step)
                if self._calm() or ends:
                    self._save()
                    saved, owed = self.step, False
                    last_save = self.clock = time.monotonic()
            if ends:
                self.store.wait()
                return self._end(stopped)
            figures = self._advance()
            self._take_figures(self.step)
            self.step, self.pending = self.step + 1, figures

    def _advance(self) -> jax.Array:
        """Begin the next step; the figures of `figure_names`, which may still be computed."""
        total = jnp.int32(self.plan.total)
        self.state, figures = train_step(
            self.model, self.training, self.implementation, self.state, self._batch(), total
        )
        return figures

    def _batch(self) -> jax.Array:
        t, tokens = self.training, self.train_set.tokens
        rows = batch_at(tokens, self.step, batch_size=t.batch_size, seed=t.seed, flip=t.flip, width=self.model.width)
        return jax.device_put(rows, sharding(self.mesh, ("batch", None)))

    def _take_figures(self, step: int, validate: bool = False) -> None:
        """Look at and write down the figures of the last step, unless that was done; waits for the device."""
        if self.pending is None:
            return
        values = dict(zip(self.figure_names, map(float, np.asarray(self.pending)), strict=True))
        self.pending = None
        seconds = time.monotonic() - self.clock
        if seconds < self.step_seconds / 2:  # it ran while the one before was waited for, or that one had to compile
            seconds = (seconds + self.step_seconds) / 2
        self.step_seconds = seconds
        rate = self.training.batch_size / max(seconds, 1e-9)
        values |= {"bits_per_pixel": values["loss"] / math.log(2), "pictures_per_second": rate}
        text = f"loss {values['loss']:.3f}  {values['bits_per_pixel']:.2f} bits/pixel  {rate:.1f} pictures/s"
        if step == 1:
            ln_vocab = math.log(self.model.vocab_size)
            self.say(f"loss at step 0: {values['loss']:.3f} nats a token (ln V = {ln_vocab:.3f})")
        self.watch.see(step, values["loss"], values["gradient_norm"])
        self.plan.see(step)
        if validate:
            values |= self._validate()
            text += f"  validation {self.val_loss:.3f}"
        self.tracker.scalars(step, values)
        self.progress(step, self.plan.total, text)
        self.clock = time.monotonic()

    @property
    def _parameters(self) -> Parameters:
        return self.state.parameters

    @property
    def _shared(self) -> Parameters:
        """The weights that people get: the average, unless --noema."""
        return self.state.parameters if self.state.average is None else self.state.average

    def _validate(self) -> dict[str, float]:
        tokens = self.val_set.tokens[:VALIDATION_PICTURES]
        loss, accuracy, whole = mean_figures(
            self._shared, self.model, self.implementation, self.mesh, tokens, self.part_size
        )
        self.val_loss = loss
        return {
            "val_loss": loss,
            "val_bits_per_pixel": loss / math.log(2),
            "val_accuracy": accuracy,
            "val_picture_accuracy": whole,
        }

    def _calm(self) -> bool:
        """Whether the state is fit to be saved: a step's loss is that of the weights before it, so try these."""
        tokens = np.asarray(self._batch())[: self.part_size]
        loss = mean_figures(self._parameters, self.model, self.implementation, self.mesh, tokens, self.part_size)[0]
        return self.watch.calm(self.step, loss)

    # ---- what is written

    def _draw(self) -> None:
        tokenizer, count = Tokenizer(self.config.tokenizer), self.training.n_samples
        try:
            with Bar("drawing samples") as bar:
                sheets = draw_previews(self._shared, self.model, tokenizer, self.val_set.tokens, count, bar)
        except Exception as error:  # out of memory, most likely: a sheet must not cost a run its checkpoint
            reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
            self.say(f"warning: no sample sheets at step {self.step}: {reason}; --n_samples=0 leaves them out")
            return
        for name, sheet in sheets.items():
            self.tracker.picture(self.step, name, np.asarray(sheet))
            save_picture(sheet, self.folder / "samples" / f"{name}-{self.step:08d}.png")

    def _save_weights(self, step: int) -> None:
        save_weights(self.folder, self._shared, step)

    def _save(self) -> None:
        """Figures first, then weights, then the state: a state on disk means that all before it is there too."""
        self.tracker.flush()
        self._save_weights(self.step)
        self.store.save(self.step, self.state, self.plan.facts())

    def _end(self, stopped: int | None) -> Result:
        if stopped is not None:
            saved = "saved" if self.step else "nothing to save yet"
            name = signal.Signals(stopped).name
            self.say(f"stopped by {name} after step {self.step}, {saved}; the same command goes on from there")
        else:
            said = f", validation loss {self.val_loss:.3f} nats a token" if self.val_loss is not None else ""
            spent = duration(60 * self.plan.minutes)
            self.say(f"done: {self.step:,} steps in {spent}{said}; model in {self.folder}")
        return Result(self.folder, self.step, self.val_loss, stopped)
