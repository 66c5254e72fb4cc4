"""The folder and the device of a run of training: taken before it begins, given back at its end."""

import os
import shutil
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import jax

from pixace import devices as device_choice
from pixace.checkpoints import CONFIG
from pixace.errors import ConfigError
from pixace.fitting.loop import Result, Say
from pixace.training.watch import FolderLock

Config = TypeVar("Config")


def run_in_folder(
    model_name: str,
    weights_dir: str | os.PathLike,
    resolve: Callable[[Path], Config],
    run: Callable[[Path, Config, Any, Say], Result],
    device: str,
    deterministic: bool,
    say: Say | None,
) -> Result:
    """Hold a model's folder and a device while a run trains. A run that never began leaves no folder.

    Args:
        model_name: folder under `weights_dir`.
        resolve: the configuration of the run in a folder.
        run: trains, given the folder, its configuration, a device, and what takes lines of text.
        device: auto, cpu, gpu or tpu.
        deterministic: the same bits in every run on a GPU.
        say: takes lines of text for people (default: printed on standard error).

    Raises:
        ConfigError: the name is no plain one; and whatever `resolve` and `run` raise.
    """
    if Path(model_name).name != model_name or model_name in ("", ".", ".."):
        raise ConfigError(f"--model={model_name!r} must be a plain name; its folder lies in --weights_dir")
    folder = Path(weights_dir) / model_name
    existed = folder.exists()
    resolve(folder)  # a mistake in it is told before anything is made
    lock = FolderLock(folder)
    try:
        say = say or partial(print, file=sys.stderr, flush=True)
        config = resolve(folder)  # again: another process may have begun the run
        device_choice.prepare(device, deterministic)
        devices = device_choice.find_devices(device)
        say(device_choice.describe(devices[:1]))
        device_choice.warn_of_idle_gpu(devices)
        with jax.default_device(devices[0]):
            return run(folder, config, devices[0], say)
    except BaseException:
        if not existed and not (folder / CONFIG).exists():  # it had not begun
            shutil.rmtree(folder, ignore_errors=True)
        raise
    finally:
        lock.release()
