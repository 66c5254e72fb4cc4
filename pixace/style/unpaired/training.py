"""Training of networks for unpaired translation: from two folders of pictures to a model's folder."""

import os
import shutil
import sys
from functools import partial
from pathlib import Path
from typing import Any

import jax

from pixace import devices as device_choice
from pixace.checkpoints import CONFIG
from pixace.errors import ConfigError
from pixace.progress import Progress
from pixace.style.fast.model import STYLE_MODELS
from pixace.style.unpaired.loop import Result, Say
from pixace.style.unpaired.run import run
from pixace.style.unpaired.settings import resolve
from pixace.training.watch import FolderLock


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
    if Path(model_name).name != model_name or model_name in ("", ".", ".."):
        raise ConfigError(f"--model={model_name!r} must be a plain name; its folder lies in --weights_dir")
    given |= {name: source for name, source in (("a", a), ("b", b)) if source is not None}
    folder = Path(weights_dir) / model_name
    existed = folder.exists()
    resolve(folder, given)  # a mistake in it is told before anything is made
    lock = FolderLock(folder)
    try:
        say = say or partial(print, file=sys.stderr, flush=True)
        config = resolve(folder, given)  # again: another process may have begun the run
        device_choice.prepare(device, deterministic)
        devices = device_choice.find_devices(device)
        say(device_choice.describe(devices[:1]))
        device_choice.warn_of_idle_gpu(devices)
        with jax.default_device(devices[0]):
            return run(folder, config, devices[0], say, progress)
    except BaseException:
        if not existed and not (folder / CONFIG).exists():  # it had not begun
            shutil.rmtree(folder, ignore_errors=True)
        raise
    finally:
        lock.release()
