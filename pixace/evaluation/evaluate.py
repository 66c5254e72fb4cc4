"""`pixace.evaluate`: how good a model is, in figures and pictures."""

import dataclasses
import math
import os
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from PIL import Image

from pixace import devices as device_choice
from pixace.dataset import TokenSet
from pixace.errors import PixaceError
from pixace.evaluation.cells import cell_bits, cell_sizes
from pixace.evaluation.drawings import compare, draw, read_drawn
from pixace.evaluation.fidelity import Fidelity
from pixace.evaluation.figures import Evaluation
from pixace.evaluation.likelihood import Estimate, Likelihood, Losses, batch_size_for, measure_losses, position_losses
from pixace.evaluation.loss_sheets import best_and_worst, extremes, loss_map
from pixace.evaluation.pictures import find_pictures_of
from pixace.evaluation.results import check_folder, default_folder, track, write_results
from pixace.exchange import Say, find_model
from pixace.fields import require, shown
from pixace.folders import expanded, name_of_model
from pixace.progress import Bar
from pixace.sampling.model import HOTTEST, Model

DEFAULT_SAMPLES = 200


def evaluate(
    name_or_path: str | os.PathLike,
    images: str | os.PathLike | None = None,
    *,
    weights_dir: str | os.PathLike | None = "model-weights",
    train_images: str | os.PathLike | None = None,
    samples: str | os.PathLike | None = None,
    n_samples: int | None = None,
    temperature: float = 1.0,
    seed: int = 0,
    n_images: int | None = None,
    batch_size: int | None = None,
    out_dir: str | os.PathLike | None = None,
    device: str = "auto",
    given: Mapping[str, Any] | None = None,
    say: Say | None = None,
) -> Evaluation:
    """Measure a model: likelihood, bits a dimension, quality of its tokens, statistics and copies in what it draws.

    Figures and pictures are written into `out_dir`, and for TensorBoard into the model's folder.

    Args:
        name_or_path: a name in `weights_dir`, a folder, an exported file or a checkpoint of Trax.
        images: folder of pictures that the model has not seen (default: its own validation pictures).
        weights_dir: where names are looked for; None if a path is meant.
        train_images: what the model was trained on (default: what its configuration names, if it is still there).
        samples: folder of pictures that the model has drawn; None to draw some now.
        n_samples: how many to draw (default: 200), or to take from `samples` (default: all); 0 for none.
        temperature, seed: of the drawing; the seed also chooses patches and directions.
        n_images: at most so many of the pictures are looked at, a fair sample.
        batch_size: pictures whose likelihood is computed together (default: by their size).
        out_dir: where to write (default: `evaluation` in the model's folder).
        device: auto, cpu, gpu or tpu.
        given: what must hold of the model, or is told of a Trax checkpoint; see `pixace.exchange.find_model`.
        say: takes lines of text for people (default: printed on standard error).

    Raises:
        ConfigError, PixaceError: with a line for people: no such model, no pictures, bad numbers.
    """
    for name, value, least in (("n_samples", n_samples, 0), ("n_images", n_images, 1), ("batch_size", batch_size, 1)):
        require(value is None or value >= least, f"{name}={value}: at least {least} is needed")
    require(0 <= seed < 2**32, f"seed={seed}: it must be between 0 and 2**32 - 1")
    require(0 <= temperature <= HOTTEST, f"temperature={temperature}: it must be from 0 to {HOTTEST:g}")
    say = say or partial(print, file=sys.stderr, flush=True)
    found = find_model(name_or_path, weights_dir, given, say=say)
    tokens, wanted = found.config.tokenizer, n_samples != 0
    pictures = find_pictures_of(found.config, images, train_images, with_training=wanted)
    drawn = read_drawn(tokens, samples, n_samples) if wanted and samples is not None else None
    if wanted and pictures.training is None:
        say(f"warning: no search for copies: {pictures.why_no_training}; --train_images=FOLDER names them")
    device_choice.prepare(device)
    usable = device_choice.find_devices(device)
    folder = _writable_folder(out_dir, found.path, say)
    say(device_choice.describe(usable[:1]))
    device_choice.warn_of_idle_gpu(usable)
    with jax.default_device(usable[0]):
        parameters, step = found.load()
        model = Model(found.config, parameters, found.path)
        real = _first(pictures.real, n_images)
        losses, sheets = _losses(model, real, batch_size)
        cells, bound = _bound(model, real, losses)
        source = f"of {samples}"
        if wanted and drawn is None:
            source = f"temperature {temperature:g}, seed {seed}"
            drawn = draw(model, n_samples or DEFAULT_SAMPLES, temperature, seed)
    of_drawn = None
    if drawn is not None:
        of_drawn, sheet = compare(model.tokenizer, drawn, source, real, pictures.training, seed, say)
        sheets |= {"nearest_training_pictures": sheet} if sheet is not None else {}
    evaluation = Evaluation(
        model=name_of_model(found.path),
        step=step,
        images=pictures.about,
        pictures=len(real),
        skipped=real.skipped,
        tokens=f"{tokens.image_size}x{tokens.image_size} pixels, {tokens.tokenizer} {shown(tokens.bitdepth)}",
        likelihood=Likelihood.of(losses),
        cell_bits=cells,
        bits_a_dimension=bound,
        fidelity=Fidelity.of(real),
        drawn=of_drawn,
        loss_map=losses.by_position.reshape(tokens.image_size, tokens.image_size),
    )
    track(evaluation, sheets, found.path, say)
    if folder is None:
        return evaluation
    return dataclasses.replace(evaluation, files=write_results(evaluation, sheets, folder))


def _writable_folder(out_dir: str | os.PathLike | None, model: Path, say: Say) -> Path | None:
    """Where to write; None, with a line that says so, where the default cannot be written."""
    if out_dir is not None:
        folder = expanded(out_dir)
        check_folder(folder)
        return folder
    folder = default_folder(model)
    try:
        check_folder(folder)
    except PixaceError as error:
        say(f"warning: no pictures are written: {error}; --out_dir names another folder")
        return None
    return folder


def _first(pictures: TokenSet, count: int | None) -> TokenSet:
    return dataclasses.replace(pictures.part(slice(count)), skipped=pictures.skipped)


def _losses(model: Model, real: TokenSet, batch_size: int | None) -> tuple[Losses, dict[str, Image.Image]]:
    """The losses, and the sheets that show them."""
    config, name = model.config.model, _name(model)
    at_once = batch_size_for(config, len(real), batch_size)
    with Bar("likelihood") as bar:
        losses = measure_losses(model.parameters, config, real.tokens, at_once, bar)
    shape = (config.height, config.width)
    best, worst = extremes(losses.nats)
    chosen = np.concatenate([best, worst])
    tokens = np.asarray(real.tokens[chosen])
    rows = position_losses(model.parameters, config, tokens, at_once).reshape(-1, *shape)
    names = [real.name(i) for i in chosen]
    return losses, {
        "loss_map": loss_map(losses.by_position.reshape(shape), len(real), name),
        "best_and_worst": best_and_worst(model.tokenizer.decode(tokens), rows, names, len(best), name),
    }


def _bound(model: Model, real: TokenSet, losses: Losses) -> tuple[Estimate, Estimate]:
    """Mean log2 of the cell sizes, and the bits a dimension of the 8-bit pictures."""
    with Bar("counting the colours of each token") as bar:
        sizes = cell_sizes(model.config.tokenizer, bar)
    bits = cell_bits(real.tokens, sizes)
    return Estimate.of(bits), Estimate.of((losses.nats / math.log(2) + bits) / 3)


def _name(model: Model) -> str:
    return model.folder.name if model.folder is not None else "the model"
