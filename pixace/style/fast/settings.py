"""From what was asked for, and what a run's folder says already, to the configuration of the run."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pixace.errors import PixaceError
from pixace.fitting.resuming import FREE, go_on, in_folder, part, refuse, same_files, typed
from pixace.style.fast.config import FastConfig, FastTraining, TransformConfig
from pixace.style.fast.model import load_config

PATHS = ("images", "network")


def resolve(folder: Path, styles: Sequence[str], given: dict[str, Any]) -> FastConfig:
    """The configuration of the run in `folder`.

    Args:
        folder: the run's, which need not exist.
        styles: the style pictures as they were named; a run that goes on needs none.
        given: only what was asked for, by the names of the fields of `FastTraining` and `TransformConfig`; the rest
            comes from the folder's `config.json`, else from the defaults.

    Raises:
        ConfigError: for unknown names, and for values that contradict the folder's; says both.
        PixaceError: there are no pictures or no style, or the folder holds a network without its `config.json`.
    """
    given = typed(given, TransformConfig, FastTraining, but={"n_styles"})
    begun = in_folder(folder, lambda: _continued(folder, load_config(folder), styles, given))
    if begun is not None:
        return begun
    training = FastTraining(**part(given, FastTraining))
    if not styles:
        raise PixaceError("no style: give a picture of it as --style=PICTURE; several make a network of several styles")
    if training.images is None:
        raise PixaceError("no pictures to train on: give a folder or archive of any photographs as --images=FOLDER")
    network = TransformConfig(**part(given, TransformConfig), n_styles=len(styles))
    return FastConfig(network, training, tuple(styles))


def _continued(folder: Path, saved: FastConfig, styles: Sequence[str], given: dict[str, Any]) -> FastConfig:
    if styles and not same_files(saved.styles, styles):
        refuse(folder, "style", ", ".join(saved.styles), ", ".join(styles))
    network, training = (go_on(folder, section, given, FREE, PATHS) for section in (saved.network, saved.training))
    return dataclasses.replace(saved, network=network, training=training)
