"""`pixace.train`: from options and a folder of pictures to a model's folder."""

import os
import shutil
import sys
from functools import partial
from pathlib import Path
from typing import Any

from pixace import devices as device_choice
from pixace.config import RunConfig
from pixace.errors import ConfigError
from pixace.progress import Progress
from pixace.training.run import Result, Run, Say
from pixace.training.settings import resolve
from pixace.training.watch import FolderLock


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

    Ctrl-C and SIGTERM save and end the run; the result then names the signal, and the caller goes on.

    Raises:
        ConfigError, PixaceError: with a line for people; what was saved before stays.
    """
    if Path(model_name).name != model_name or model_name in ("", ".", ".."):
        raise ConfigError(f"--model_name={model_name!r} must be a plain name; its folder lies in --weights_dir")
    folder = Path(weights_dir) / model_name
    existed = folder.exists()
    resolve(folder, given, Path(weights_dir))  # a mistake in it is told before anything is made
    lock = FolderLock(folder)
    try:
        say = say or partial(print, file=sys.stderr, flush=True)
        config = resolve(folder, given, Path(weights_dir), say)[0]  # again: another process may have begun the run
        device_choice.prepare(device, deterministic)
        run = _kind_of_run(config)(folder, config, device_choice.find_devices(device), say)
        return run.go(Path(weights_dir), progress)
    except BaseException:
        if not existed and not any(p.is_file() and p.name != ".lock" for p in folder.rglob("*")):
            shutil.rmtree(folder, ignore_errors=True)
        raise
    finally:
        lock.release()


def _kind_of_run(config: RunConfig) -> type[Run]:
    if config.training is not None and config.training.engine == "trax":
        from pixace.trax_engine.run import TraxRun

        return TraxRun
    return Run
