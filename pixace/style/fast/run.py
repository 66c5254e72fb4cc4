"""One run of training: from what its folder holds to the last step, and what it writes on the way."""

import contextlib
import dataclasses
import itertools
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from pixace.checkpoints import StateStore
from pixace.fitting.loop import Loop, Result, Say, Work, first_state
from pixace.folders import write_atomically
from pixace.opening import open_picture
from pixace.progress import Bar, Progress
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


class FastRun:
    """One run; the methods follow the order of what happens."""

    def __init__(self, folder: Path, config: FastConfig, device: Any, say: Say, epochs: int | None = None):
        """`epochs`, where it is given, is the length in passes over the pictures."""
        self.folder, self.config, self.device, self.say, self.epochs = folder, config, device, say, epochs
        self.network, self.training = config.network, config.training

    def go(self, progress: Progress | None) -> Result:
        """Train to the end, or to a signal."""
        for left_over in self.folder.glob(".pixace-*"):  # of a process that was killed while it wrote
            left_over.unlink(missing_ok=True)
        pictures = None if self.epochs is None else self._count_steps(self.epochs)
        t = self.training
        work = Work(
            METRICS, self._advance, self._sheet, lambda state, step: save_weights(self.folder, shared(state), step)
        )
        with contextlib.closing(StateStore(self.folder, t.keep)) as store:
            state, facts, last = first_state(store, lambda: init_state(self.network, t), self.device)
            loop = Loop(self.folder, t, work, store, state, last, facts.get("minutes", 0.0), self.say)
            if loop.is_over:
                return loop.finished()
            if not last:  # of a run that was killed before it saved anything, maybe with other styles
                shutil.rmtree(self.folder / "styles", ignore_errors=True)
            styles = [self._style_picture(i) for i in range(len(self.config.styles))]
            pictures = pictures or self._load_pictures()  # before the network: a mistake in them is told at once
            self._look(styles)
            save_config(self.folder, self.config)
            self.say(
                f"network of {count_weights(self.network):,} weights for {self.network.n_styles} style"
                f"{'s' if self.network.n_styles > 1 else ''}, {len(pictures):,} pictures of "
                f"{self.training.image_size} pixels; {f'going on from step {last:,}' if last else 'starting'}"
            )
            with (
                contextlib.closing(Tracker(self.folder, last)) as tracker,
                Bar("training") as bar,
                StopSignals() as signals,
                contextlib.closing(in_threads(self._batch(pictures), itertools.count(last), 1)) as batches,
            ):
                return loop.go(batches, tracker, progress or bar, signals)

    # ---- before the steps

    def _count_steps(self, epochs: int) -> PictureSet:
        """Set the number of steps to that of so many passes; returns the pictures."""
        pictures = self._load_pictures()
        steps = math.ceil(epochs * len(pictures) / self.training.batch_size)
        self.training = dataclasses.replace(self.training, n_steps=steps)
        self.config = dataclasses.replace(self.config, training=self.training)
        self.say(
            f"{epochs} passes over {len(pictures):,} pictures, {self.training.batch_size} at a time: {steps:,} steps"
        )
        return pictures

    def _look(self, styles: list[jax.Array]) -> None:
        """Load what looks at pictures, and have it look at the styles, (H, W, 3) each."""
        t = self.training
        content, style = t.layers_of("vgg16" if t.network == "vgg16" else "vgg19")
        layers = ordered(name for name, _ in content + style)
        vgg = load_network(t.network, layers=layers, pooling=t.pooling, dtype=self.network.dtype, say=self.say)
        content, style = t.layers_of(vgg.config.name)
        self.vgg = vgg.weights
        self.terms = Terms(
            vgg.config, content, style, t.content_weight, t.style_weight, t.tv_weight, "mse", t.statistic, t.tv
        )
        targets = [style_targets(self.terms, self.vgg, style) for style in styles]
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

    def _advance(self, state: Any, batch: jax.Array) -> tuple[Any, jax.Array]:
        return train_step(self.network, self.training, self.terms, self.vgg, self.targets, state, batch)

    def _sheet(self, state: Any) -> Image.Image | None:
        """A training picture a row, and what each style makes of it."""
        if not self.training.n_samples:
            return None
        shown, styles = self.samples.astype(np.float32) / 255, self.network.n_styles
        columns = [self.samples]
        for style in range(min(styles, STYLES_SHOWN)):
            mixture = np.tile(np.eye(styles, dtype=np.float32)[style], (len(shown), 1))
            drawn = np.asarray(transform(shared(state), self.network, shown, mixture))
            columns.append(np.rint(255 * np.clip(drawn, 0, 1)).astype(np.uint8))
        return sheet([list(row) for row in zip(*columns, strict=True)], scale=self.training.image_size + 2)


def shared(state: Any) -> Weights:
    """The weights that people get: the average, unless --noema."""
    return state.weights if state.average is None else state.average
