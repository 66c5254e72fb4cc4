"""One run of training: from what its folder holds to its last step."""

import contextlib
import itertools
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from PIL import Image

from pixace.checkpoints import StateStore
from pixace.fitting.loop import Loop, Result, Say, Work, first_state
from pixace.progress import Bar, Progress
from pixace.sheets import sheet
from pixace.style.fast.network import Weights
from pixace.style.unpaired.config import UnpairedConfig, UnpairedNetworks
from pixace.style.unpaired.discriminator import discriminator_shapes
from pixace.style.unpaired.generator import count_weights, generator_shapes
from pixace.style.unpaired.material import Material, load_material
from pixace.style.unpaired.model import save_config, save_generators, translate
from pixace.style.unpaired.step import METRICS, UnpairedState, init_state, train_step
from pixace.threads import in_threads
from pixace.tracking import Tracker
from pixace.training.watch import StopSignals


def run(folder: Path, config: UnpairedConfig, device: Any, say: Say, progress: Progress | None) -> Result:
    """Train to the end, or to a signal, from what the folder holds."""
    for left_over in folder.glob(".pixace-*"):  # of a process that was killed while it wrote
        left_over.unlink(missing_ok=True)
    network, training = config.network, config.training
    save = lambda state, step: save_generators(folder, shared(state), step)  # noqa: E731
    with contextlib.closing(StateStore(folder, training.keep)) as store:
        state, facts, last = first_state(store, lambda: init_state(network, training), device)
        work = Work(METRICS, lambda state, batch: train_step(network, training, state, *batch), lambda _: None, save)
        loop = Loop(folder, training, work, store, state, last, facts.get("minutes", 0.0), say)
        if loop.is_over:
            return loop.finished()
        material, warnings = load_material(training, folder)
        for line in warnings:
            say(line)
        loop.work = work._replace(sheet=partial(_sheet, network, *material.samples(training)))
        save_config(folder, config)
        each, judge = (count_weights(shapes(network)) for shapes in (generator_shapes, discriminator_shapes))
        say(
            f"2 generators of {each:,} weights, 2 discriminators of {judge:,}; {len(material.a):,} pictures of A, "
            f"{len(material.b):,} of B; {f'going on from step {last:,}' if last else 'starting'}"
        )
        with (
            contextlib.closing(Tracker(folder, last)) as tracker,
            Bar("training") as bar,
            StopSignals() as signals,
            contextlib.closing(in_threads(_batch(material, config, device), itertools.count(last), 1)) as batches,
        ):
            return loop.go(batches, tracker, progress or bar, signals)


def shared(state: UnpairedState) -> dict[str, Weights]:
    """The generators that people get: the average, where there is one."""
    return state.generators if state.average is None else state.average


def _batch(material: Material, config: UnpairedConfig, device: Any) -> Callable[[int], tuple[jax.Array, jax.Array]]:
    return lambda step: jax.device_put(material.batch(step, config.training), device)


def _sheet(network: UnpairedNetworks, a: np.ndarray, b: np.ndarray, state: UnpairedState) -> Image.Image | None:
    """A row for two pictures: A, A to B, A to B to A, and B, B to A, B to A to B."""
    if not len(a):
        return None
    generators, columns = shared(state), []
    for pictures, there, back in ((a, "ab", "ba"), (b, "ba", "ab")):
        made = translate(generators[there], network, pictures)
        columns += [pictures, np.asarray(made), np.asarray(translate(generators[back], network, made))]
    return sheet([list(row) for row in zip(*columns, strict=True)], scale=a.shape[1] + 2)
