"""The training loop: from a configuration and a folder of pictures to a model's folder."""

import math
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pixace import devices as device_choice
from pixace.checkpoints import StateStore, load_weights, save_config, save_weights
from pixace.config import RunConfig, TrainConfig
from pixace.dataset import TokenSet, batch_at, load_folder, split
from pixace.errors import ConfigError, PixaceError
from pixace.folders import model_folder
from pixace.models.spec import count_parameters
from pixace.ops.attention import choose_implementation
from pixace.progress import Bar, Progress, duration
from pixace.sharding import make_mesh, parameter_shardings, replicated, sharding
from pixace.sheets import save_picture
from pixace.tokenizer import Tokenizer
from pixace.tracking import Tracker, read_metrics
from pixace.training.previews import draw_previews
from pixace.training.settings import resolve
from pixace.training.step import METRICS, TrainState, eval_step, init_state, train_step
from pixace.training.watch import Diverged, FolderLock, LossWatch, StopSignals

VALIDATION_PICTURES = 256  # at most so many are looked at in a validation
TIMED_STEPS = 3  # steps tried out to plan a run of --max_minutes
Say = Callable[[str], None]


@dataclass
class Result:
    """How a run ended: its folder, steps done, the last validation loss (nats a token), and by what signal, if any."""

    folder: Path
    step: int
    val_loss: float | None
    signal: int | None = None


def train(
    model_name: str,
    weights_dir: str | os.PathLike = "model-weights",
    *,
    device: str = "auto",
    deterministic: bool = False,
    say: Say | None = None,
    progress: Progress | None = None,
    **given: Any,
) -> Result:
    """Train a model, or go on with its training; see `TrainConfig`, `ModelOptions`, `TokenizerConfig` for `given`.

    Args:
        model_name: folder under `weights_dir`.
        device: auto, cpu, gpu or tpu.
        deterministic: the same bits in every run on a GPU, at a cost in speed; a CPU gives them anyway.
        say: takes lines of text for people (default: printed on standard error).
        progress: takes the progress of the steps (default: a bar or lines on standard error).

    Raises:
        ConfigError, PixaceError: with a line for people; what was saved before stays.
    """
    if Path(model_name).name != model_name or model_name in ("", ".", ".."):
        raise ConfigError(f"--model_name={model_name!r} must be a plain name; its folder lies in --weights_dir")
    folder = Path(weights_dir) / model_name
    existed = folder.exists()
    config, _ = resolve(folder, given, Path(weights_dir))
    lock = FolderLock(folder)
    try:
        # A second process may have begun the run between the two.
        config, continued = resolve(folder, given, Path(weights_dir))
        device_choice.prepare(device, deterministic)
        say = say or partial(print, file=sys.stderr, flush=True)
        run = _Run(folder, config, device_choice.find_devices(device), say, Path(weights_dir))
        with StopSignals() as signals:
            return run.go(continued, signals, progress)
    except BaseException:
        if not existed and not any(p.name != ".lock" for p in folder.iterdir()):
            (folder / ".lock").unlink()
            folder.rmdir()
        raise
    finally:
        lock.release()


class _Run:
    """One run of training; the methods follow the order of what happens."""

    def __init__(self, folder: Path, config: RunConfig, devices: Any, say: Say, weights_dir: Path):
        assert config.training is not None
        self.folder, self.config, self.say, self.weights_dir = folder, config, say, weights_dir
        self.training: TrainConfig = config.training
        per_part = self.training.batch_size // self.training.accumulate
        usable = max(n for n in range(1, len(devices) + 1) if per_part % n == 0)
        say(device_choice.describe(devices[:usable]))
        if usable < len(devices):
            say(f"warning: {per_part} pictures a step do not divide over {len(devices)} devices; {usable} are used")
        device_choice.warn_of_idle_gpu(devices)
        self.mesh = make_mesh(devices[:usable])
        model = config.model
        self.implementation = choose_implementation(devices[0].platform, model.dtype, model.d_head, model.d_value)
        self.ln_vocab = math.log(model.vocab_size)
        self.minutes_before = 0.0
        self.started = time.monotonic()

    def go(self, continued: bool, signals: StopSignals, progress: Progress | None) -> Result:
        """Train to the end, or to a signal."""
        store = StateStore(self.folder, self.training.keep)
        last = store.latest()
        facts = {}
        if last is not None:
            abstract = self._abstract_state()
            state, facts = store.restore(last, abstract)
            if self._finished(last, facts):
                store.close()
                self.say(
                    f"{self.folder} is trained already: {last} steps in {duration(60 * facts['minutes'])}; "
                    "give a larger --n_steps, --n_epochs or --max_minutes to go on"
                )
                return Result(self.folder, last, None)
            self.minutes_before = facts["minutes"]
        train_set, val_set = self._load_pictures()
        save_config(self.folder, self.config)
        if last is None:
            state = self._first_state()
        total = self._plan(state, train_set, facts)
        step = last or 0
        model = self.config.model
        self.say(
            f"{model.model_type} of {count_parameters(model):,} weights, {len(train_set):,} pictures, "
            f"{self.implementation} attention; "
            + (f"going on from step {step}" if step else "starting")
            + f", {total - step:,} steps to go"
        )
        tracker = Tracker(self.folder, step)
        watch = LossWatch(self.ln_vocab)
        for line in read_metrics(self.folder):
            watch.see(int(line["step"]), line["loss"], line["gradient_norm"])
        if step == 0:
            tracker.text(0, "config", (self.folder / "config.json").read_text())
        try:
            with Bar("training") as bar:
                return self._steps(
                    state, step, total, train_set, val_set, store, tracker, watch, signals, progress or bar
                )
        except Diverged as error:
            store.wait()
            good = store.latest()
            named = (
                f"the last good checkpoint is {store.folder / str(good)}"
                if good is not None
                else "nothing was saved yet"
            )
            raise PixaceError(
                f"training stopped: {error}; {named}. Begin another --model_name with a lower --lr"
                + (f" and --checkpoint={self.folder}" if good is not None else "")
            ) from None
        finally:
            tracker.close()
            store.close()

    # ---- before the first step

    def _load_pictures(self) -> tuple[TokenSet, TokenSet]:
        t, tokenizer = self.training, self.config.tokenizer
        with Bar("reading pictures") as bar:
            train_set = load_folder(str(t.images), tokenizer, progress=bar)
        self._report_skipped(str(t.images), train_set)
        if t.val_images:
            with Bar("reading validation pictures") as bar:
                val_set = load_folder(t.val_images, tokenizer, progress=bar)
            self._report_skipped(t.val_images, val_set)
        elif t.val_fraction > 0:
            train_set, val_set = split(train_set, t.val_fraction)
        else:
            val_set = train_set
        return train_set, val_set

    def _report_skipped(self, folder: str, pictures: TokenSet) -> None:
        if not pictures.skipped:
            return
        self.say(f"warning: {len(pictures.skipped)} files of {folder} cannot be read and are left out:")
        for name, why in pictures.skipped[:5]:
            self.say(f"  {name}: {why}")
        if len(pictures.skipped) > 5:
            log = self.folder / "skipped.txt"
            log.write_text("".join(f"{name}\t{why}\n" for name, why in pictures.skipped))
            self.say(f"  and {len(pictures.skipped) - 5} more, all listed in {log}")

    def _make_state(self) -> TrainState:
        return init_state(self.config.model, self.training)

    def _placement(self, state: Any) -> Any:
        """Where the state lies: weights, and the optimiser's copies of them, as the table says."""
        shardings = parameter_shardings(self.config.model, self.mesh)
        whole = jax.tree.map(lambda _: replicated(self.mesh), state)
        placed = {"parameters": shardings} | ({"average": shardings} if state.average is not None else {})
        return TrainState(whole.step, placed["parameters"], whole.optimizer, placed.get("average"))

    def _abstract_state(self) -> Any:
        shapes = jax.eval_shape(self._make_state)
        place = self._placement(shapes)
        return jax.tree.map(lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), shapes, place)

    def _first_state(self) -> TrainState:
        place = self._placement(jax.eval_shape(self._make_state))
        if not self.training.checkpoint:
            return jax.jit(self._make_state, out_shardings=place)()
        source = model_folder(self.training.checkpoint, self.weights_dir)
        parameters = load_weights(source, self.config.model)
        self.say(f"starting from the weights of {source}")
        return jax.device_put(init_state(self.config.model, self.training, parameters), place)

    def _plan(self, state: TrainState, train_set: TokenSet, facts: dict[str, float]) -> int:
        """Steps of the whole run; --max_minutes is turned into steps by timing a few."""
        t = self.training
        if t.max_minutes is None:
            return t.total_steps
        if facts.get("max_minutes") == t.max_minutes and facts.get("n_steps") == t.total_steps:
            return int(facts["planned_steps"])
        copy = jax.tree.map(jnp.copy, state)
        first = int(copy.step)
        for i in range(TIMED_STEPS + 1):
            copy, figures = self._step(copy, self._batch(train_set, first), t.total_steps)
            jax.block_until_ready(figures)
            if i == 0:
                clock = time.monotonic()
        seconds = (time.monotonic() - clock) / TIMED_STEPS
        left = t.max_minutes * 60 - self._minutes() * 60
        return min(t.total_steps, first + max(1, int(0.9 * left / seconds)))

    # ---- the steps

    def _batch(self, pictures: TokenSet, step: int) -> jax.Array:
        t = self.training
        rows = batch_at(
            pictures.tokens, step, batch_size=t.batch_size, seed=t.seed, flip=t.flip, width=self.config.model.width
        )
        return jax.device_put(rows, sharding(self.mesh, ("batch", None)))

    def _step(self, state: TrainState, tokens: jax.Array, total: int) -> tuple[TrainState, jax.Array]:
        return train_step(self.config.model, self.training, self.implementation, state, tokens, jnp.int32(total))

    def _minutes(self) -> float:
        return self.minutes_before + (time.monotonic() - self.started) / 60

    def _finished(self, step: int, facts: dict[str, float]) -> bool:
        t = self.training
        if t.max_minutes is None:
            return step >= t.total_steps
        same = facts.get("max_minutes") == t.max_minutes and facts.get("n_steps") == t.total_steps
        planned_done = same and step >= facts["planned_steps"]
        return step >= t.total_steps or facts["minutes"] >= t.max_minutes or planned_done

    def _steps(
        self,
        state: TrainState,
        step: int,
        total: int,
        train_set: TokenSet,
        val_set: TokenSet,
        store: StateStore,
        tracker: Tracker,
        watch: LossWatch,
        signals: StopSignals,
        progress: Progress,
    ) -> Result:
        t = self.training
        pending: tuple[int, jax.Array] | None = None  # the step whose figures are still on the device
        val_loss: float | None = None
        saved, last_save, clock = step, time.monotonic(), time.monotonic()

        def drain(evaluate: Callable[[], dict[str, float]] | None = None) -> None:
            """Take the figures of the step before: in the loop, never those of a step that still runs."""
            nonlocal pending, clock, val_loss
            if pending is None:
                return
            (at, figures), pending = pending, None
            values = dict(zip(METRICS, map(float, np.asarray(figures)), strict=True))
            rate = t.batch_size / max(time.monotonic() - clock, 1e-9)
            values |= {"bits_per_pixel": values["loss"] / math.log(2), "pictures_per_second": rate}
            text = f"loss {values['loss']:.3f}  {values['bits_per_pixel']:.2f} bits/pixel  {rate:.1f} pictures/s"
            if at == 1:
                self.say(f"loss at step 0: {values['loss']:.3f} nats a token (ln V = {self.ln_vocab:.3f})")
            watch.see(at, values["loss"], values["gradient_norm"])
            if evaluate is not None:
                values |= evaluate()
                val_loss = values["val_loss"]
                text += f"  validation {val_loss:.3f}"
            tracker.scalars(at, values)
            progress(at, total, text)
            clock = time.monotonic()

        while True:
            out_of_time = t.max_minutes is not None and self._minutes() >= t.max_minutes
            stopped = signals.caught is not None
            ends = step >= total or out_of_time or stopped
            epoch_ends = step > 0 and step % t.steps_per_epoch == 0 and pending is not None
            if pending is not None and not stopped and (ends or step % t.eval_every == 0):
                drain(partial(self._evaluate, state, val_set))
            due = ends or epoch_ends or time.monotonic() - last_save > 60 * t.save_minutes
            if due and step > saved:
                drain()
                if ends or not watch.uneasy:
                    if (ends or epoch_ends) and not stopped and t.n_samples:
                        self._draw(state, step, val_set, tracker)
                    self._save(state, step, total, store, tracker)
                    saved, last_save, clock = step, time.monotonic(), time.monotonic()
            if ends:
                store.wait()
                return self._end(step, val_loss, signals)
            tokens = self._batch(train_set, step)
            state, figures = self._step(state, tokens, total)
            drain()
            step, pending = step + 1, (step + 1, figures)

    def _evaluate(self, state: TrainState, val_set: TokenSet) -> dict[str, float]:
        parameters = state.parameters if state.average is None else state.average
        count = min(len(val_set), VALIDATION_PICTURES)
        size = min(count, max(1, self.training.batch_size // self.training.accumulate))
        sums = np.zeros(3)
        for start in range(0, count, size):
            rows = np.arange(start, start + size) % count  # the last batch is filled up from the front ...
            part = np.asarray(eval_step(self.config.model, self.implementation, parameters, val_set.tokens[rows]))
            if start + size > count:  # ... and counted by its new rows alone
                rows = rows[: count - start]
                part = np.asarray(eval_step(self.config.model, self.implementation, parameters, val_set.tokens[rows]))
            sums += part
        loss, accuracy, whole = sums / count
        return {
            "val_loss": loss,
            "val_bits_per_pixel": loss / math.log(2),
            "val_accuracy": accuracy,
            "val_picture_accuracy": whole,
        }

    # ---- what is written

    def _draw(self, state: TrainState, step: int, val_set: TokenSet, tracker: Tracker) -> None:
        parameters = state.parameters if state.average is None else state.average
        tokenizer = Tokenizer(self.config.tokenizer)
        with Bar("drawing samples") as bar:
            sheets = draw_previews(
                parameters, self.config.model, tokenizer, val_set.tokens, self.training.n_samples, bar
            )
        for name, sheet in sheets.items():
            tracker.picture(step, name, np.asarray(sheet))
            save_picture(sheet, self.folder / "samples" / f"{name}-{step:08d}.png")

    def _save(self, state: TrainState, step: int, total: int, store: StateStore, tracker: Tracker) -> None:
        """Figures first, then weights, then the state: a state on disk means that all before it is there too."""
        t = self.training
        tracker.flush()
        save_weights(self.folder, state.parameters if state.average is None else state.average, step)
        facts = {
            "minutes": self._minutes(),
            "planned_steps": total,
            "n_steps": t.total_steps,
            "max_minutes": t.max_minutes,
        }
        store.save(step, state, facts)

    def _end(self, step: int, val_loss: float | None, signals: StopSignals) -> Result:
        if signals.caught is not None:
            name = signal.Signals(signals.caught).name
            self.say(f"stopped by {name} after step {step}, saved; the same command goes on from there")
        else:
            said = f", validation loss {val_loss:.3f} nats a token" if val_loss is not None else ""
            self.say(f"done: {step:,} steps in {duration(60 * self._minutes())}{said}; model in {self.folder}")
        return Result(self.folder, step, val_loss, signals.caught)
