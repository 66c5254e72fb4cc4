"""Training of networks for unpaired translation: from two folders of pictures to a model's folder."""

import os
from typing import Any

from pixace.fitting.loop import Result, Say
from pixace.fitting.run_folder import run_in_folder
from pixace.progress import Progress
from pixace.style.fast.model import STYLE_MODELS
from pixace.style.unpaired.run import run
from pixace.style.unpaired.settings import resolve


def train_unpaired(
    model_name: str,
    a: str | os.PathLike | None = None,
    b: str | os.PathLike | None = None,
    weights_dir: str | os.PathLike = STYLE_MODELS,
    *,
    device: str = "auto",
    deterministic: bool = False,
    say: Say | None = None,
    progress: Progress | None = None,
    **given: Any,
) -> Result:
    """Train networks that make pictures of one kind out of those of another, both ways, or go on with their training.

    Args:
        model_name: folder under `weights_dir`.
        a: pictures of the one kind: a folder, an archive, or tfds:NAME; a run that goes on needs none.
        b: pictures of the other kind.
        device: auto, cpu, gpu or tpu.
        deterministic: the same bits in every run on a GPU, at a cost in speed; a CPU gives them anyway.
        say: takes lines of text for people (default: printed on standard error).
        progress: takes the progress of the steps (default: a bar or lines on standard error).
        given: fields of `UnpairedTraining` and `UnpairedNetworks`.

    Ctrl-C and SIGTERM save and end the run; the result then names the signal, and the caller goes on.

    Raises:
        ConfigError, PixaceError: with a line for people; what was saved before stays.
    """
    given |= {name: source for name, source in (("a", a), ("b", b)) if source is not None}
    return run_in_folder(
        model_name,
        weights_dir,
        lambda folder: resolve(folder, given),
        lambda folder, config, place, say: run(folder, config, place, say, progress),
        device,
        deterministic,
        say,
    )
