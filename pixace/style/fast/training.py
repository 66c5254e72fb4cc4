"""Training of a network for fast style transfer: from pictures and styles to a model's folder."""

import os
from collections.abc import Sequence
from typing import Any

from pixace.fields import require
from pixace.fitting.loop import Result, Say
from pixace.fitting.run_folder import run_in_folder
from pixace.progress import Progress
from pixace.style.fast.model import STYLE_MODELS
from pixace.style.fast.run import FastRun
from pixace.style.fast.settings import resolve


def train_fast_style(
    model_name: str,
    style: str | os.PathLike | Sequence[str | os.PathLike] = (),
    weights_dir: str | os.PathLike = STYLE_MODELS,
    *,
    device: str = "auto",
    deterministic: bool = False,
    epochs: int | None = None,
    say: Say | None = None,
    progress: Progress | None = None,
    **given: Any,
) -> Result:
    """Train a network that redraws pictures in a style, or go on with its training.

    Args:
        model_name: folder under `weights_dir`.
        style: file or address of the style picture, or several; a run that goes on needs none.
        device: auto, cpu, gpu or tpu.
        deterministic: the same bits in every run on a GPU, at a cost in speed; a CPU gives them anyway.
        epochs: length of the run in passes over the pictures, those of earlier processes included, instead of
            `n_steps`.
        say: takes lines of text for people (default: printed on standard error).
        progress: takes the progress of the steps (default: a bar or lines on standard error).
        given: fields of `FastTraining` and `TransformConfig`.

    Ctrl-C and SIGTERM save and end the run; the result then names the signal, and the caller goes on.

    Raises:
        ConfigError, PixaceError: with a line for people; what was saved before stays.
    """
    require(epochs is None or epochs >= 1, f"epochs={epochs}: at least 1 is needed")
    require(epochs is None or "n_steps" not in given, "epochs and n_steps both say how long to train: give one of them")
    styles = [os.fspath(each) for each in ([style] if isinstance(style, str | os.PathLike) else style)]
    return run_in_folder(
        model_name,
        weights_dir,
        lambda folder: resolve(folder, styles, given),
        lambda folder, config, place, say: FastRun(folder, config, place, say, epochs).go(progress),
        device,
        deterministic,
        say,
    )
