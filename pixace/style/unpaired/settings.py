"""From what was asked for, and what a run's folder says already, to the configuration of the run."""

from functools import partial
from pathlib import Path
from typing import Any

from pixace.errors import PixaceError
from pixace.fitting.resuming import FREE, go_on, in_folder, part, same_files, typed
from pixace.style.unpaired.config import UnpairedConfig, UnpairedNetworks, UnpairedTraining
from pixace.style.unpaired.model import load_config

MAY_CHANGE = FREE | {"n_decay"}  # `FREE` holds `n_steps`, too: the learning rate then falls later


def resolve(folder: Path, given: dict[str, Any]) -> UnpairedConfig:
    """The configuration of the run in `folder`.

    Args:
        folder: the run's, which need not exist.
        given: only what was asked for, by the names of the fields of `UnpairedTraining` and `UnpairedNetworks`; the
            rest comes from the folder's `config.json`, else from the defaults.

    Raises:
        ConfigError: for unknown names, and for values that contradict the folder's; says both.
        PixaceError: pictures are not named, or twice the same; or the folder holds networks without `config.json`.
    """
    given = typed(given, UnpairedNetworks, UnpairedTraining)
    begun = in_folder(folder, lambda: _continued(folder, given))
    if begun is not None:
        return begun
    training = UnpairedTraining(**part(given, UnpairedTraining))
    for flag, text in (("a", training.a), ("b", training.b)):
        if text is None:
            raise PixaceError(f"no pictures: give a folder of each kind as --a=FOLDER --b=FOLDER; --{flag} is missing")
    if same_files([str(training.a)], [str(training.b)]):
        raise PixaceError(f"--a and --b are both {training.a}: pictures of two kinds are needed")
    return UnpairedConfig(UnpairedNetworks(**part(given, UnpairedNetworks)), training)


def _continued(folder: Path, given: dict[str, Any]) -> UnpairedConfig:
    saved = load_config(folder)
    changed = partial(go_on, folder, given=given, free=MAY_CHANGE, paths=("a", "b"))
    return UnpairedConfig(changed(saved.network), changed(saved.training))
