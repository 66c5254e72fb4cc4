"""One run that trains a CLIP: from what its folder holds to the last step, and what it writes on the way."""

import contextlib
import itertools
from pathlib import Path
from typing import Any

import jax
import numpy as np

from pixace.checkpoints import StateStore
from pixace.clip.model import Clip
from pixace.clip.retrieval import ranks
from pixace.clip.trained import save_config, save_weights
from pixace.clip.training.captions import COLOURS, TEMPLATES
from pixace.clip.training.config import TrainedClip
from pixace.clip.training.pictures import Batch, Material, load_material
from pixace.clip.training.step import METRICS, init_state, train_step
from pixace.clip.words import WORD_LIST, Words, known_words, load_words
from pixace.fitting.loop import Loop, Result, Say, Work, first_state
from pixace.folders import write_atomically
from pixace.progress import Bar, Progress
from pixace.threads import in_threads
from pixace.tracking import Tracker
from pixace.training.watch import StopSignals

LOOKED_AT = 512  # pictures of a kind, at most, in a validation
TOP = (1, 5)


class ClipRun:
    """One run; the methods follow the order of what happens."""

    def __init__(self, folder: Path, config: TrainedClip, device: Any, say: Say):
        self.folder, self.config, self.device, self.say = folder, config, device, say
        self.network, self.training = config.network, config.training

    def go(self, progress: Progress | None) -> Result:
        """Train to the end, or to a signal."""
        for left_over in self.folder.glob(".pixace-*"):  # of a process that was killed while it wrote
            left_over.unlink(missing_ok=True)
        t = self.training
        with contextlib.closing(StateStore(self.folder, t.keep)) as store:
            begun = store.latest() is not None
            if not begun:
                self.material = self._load_pictures()
            self.words = load_words(self.folder / WORD_LIST) if begun else self._learn_words()
            self.clip = self.network.clip(self.words.size)
            work = Work(METRICS, self._advance, self._validate, self._save)
            state, facts, last = first_state(store, lambda: init_state(self.clip, t), self.device)
            loop = Loop(self.folder, t, work, store, state, last, facts.get("minutes", 0.0), self.say)
            if loop.is_over:
                return loop.finished()
            if begun:
                self.material = self._load_pictures()
            save_config(self.folder, self.config)
            self.words.save(self.folder)
            self._tell(last, sum(leaf.size for leaf in jax.tree.leaves(state.weights)))
            with (
                contextlib.closing(Tracker(self.folder, last)) as self.tracker,
                Bar("training") as bar,
                StopSignals() as signals,
                contextlib.closing(in_threads(self._batch, itertools.count(last), 1)) as batches,
            ):
                return loop.go(batches, self.tracker, progress or bar, signals)

    # ---- before the steps

    def _load_pictures(self) -> Material:
        with Bar("reading pictures") as bar:
            found = load_material(self.training, self.network.image_size, bar)
        if found.skipped:
            log = self.folder / "skipped.txt"
            text = "".join(f"{name}: {why}\n" for name, why in found.skipped)
            write_atomically(log, lambda path: path.write_text(text, "utf8", "backslashreplace"))  # any bytes
            self.say(f"warning: pictures that cannot be read and are left out: {len(found.skipped)}, listed in {log}")
        return found

    def _learn_words(self) -> Words:
        """Those of all captions that are learned from."""
        said = self.material.said[self.material.train]
        texts = [self.material.texts[i] for i in np.unique(said[said >= 0])]
        return Words(known_words([*texts, *TEMPLATES, *COLOURS]), self.network.text_length)

    def _tell(self, last: int, count: int) -> None:
        m = self.material
        kept = f", {len(m.variants):,} variants and {len(m.unseen):,} of other families kept to validate with"
        self.say(
            f"CLIP of {count:,} weights, {len(self.words.words):,} words, {len(m.train):,} pictures of "
            f"{len(m.learned):,} families{kept if self.training.hold_out else ''}; "
            f"{f'going on from step {last:,}' if last else 'starting'}"
        )

    # ---- the steps

    def _batch(self, step: int) -> Batch:
        return jax.device_put(self.material.batch(step, self.training, self.words), self.device)

    def _advance(self, state: Any, batch: Batch) -> tuple[Any, jax.Array]:
        return train_step(self.clip, self.training, state, *batch)

    def _validate(self, state: Any) -> None:
        """Say and write down how often the right family is among the first for held-out pictures; no sheet."""
        step, m, figures = int(state.step), self.material, {}
        clip = Clip(shared(state), self.clip, self.words.tokenize, self.folder.name)
        for kind, rows in (("variants", m.variants), ("unseen", m.unseen)):
            rows = rows[np.linspace(0, len(rows) - 1, min(len(rows), LOOKED_AT)).astype(int)]
            if len(rows):
                found = ranks(clip, m.rgba[rows], m.family_names, m.families[rows])
                figures |= {f"val_{kind}_top{k}": float((found <= k).mean()) for k in TOP}
        if figures:
            self.tracker.scalars(step, figures)
            text = ", ".join(f"{name.removeprefix('val_')} {100 * value:.1f} %" for name, value in figures.items())
            self.say(f"step {step:,}, of {len(m.family_names):,} names: {text}")

    def _save(self, state: Any, step: int) -> None:
        save_weights(self.folder, shared(state), step)


def shared(state: Any) -> Any:
    """The weights that people get: the average, unless --noema."""
    return state.weights if state.average is None else state.average
