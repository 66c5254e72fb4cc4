"""Training of a CLIP: from pictures and their names to a folder that `load_clip` takes."""

import os
from typing import Any

from pixace.clip.training.run import ClipRun
from pixace.clip.training.settings import resolve
from pixace.fitting.loop import Result, Say
from pixace.fitting.run_folder import run_in_folder
from pixace.progress import Progress

CLIP_MODELS = "clip-models"  # the folder that holds them where none is named


def train_clip(
    model_name: str,
    weights_dir: str | os.PathLike = CLIP_MODELS,
    *,
    device: str = "auto",
    deterministic: bool = False,
    say: Say | None = None,
    progress: Progress | None = None,
    **given: Any,
) -> Result:
    """Train two towers, one for pictures and one for their names, or go on with their training.

    Args:
        model_name: folder under `weights_dir`.
        device: auto, cpu, gpu or tpu.
        deterministic: the same bits in every run on a GPU, at a cost in speed; a CPU gives them anyway.
        say: takes lines of text for people (default: printed on standard error).
        progress: takes the progress of the steps (default: a bar or lines on standard error).
        given: fields of `ClipTraining` and `ClipNetwork`.

    Ctrl-C and SIGTERM save and end the run; the result then names the signal, and the caller goes on.

    Raises:
        ConfigError, PixaceError: with a line for people; what was saved before stays.
    """
    return run_in_folder(
        model_name,
        weights_dir,
        lambda folder: resolve(folder, given),
        lambda folder, config, place, say: ClipRun(folder, config, place, say).go(progress),
        device,
        deterministic,
        say,
    )
