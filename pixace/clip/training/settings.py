"""From what was asked for, and what a run's folder says already, to the configuration of the run."""

from pathlib import Path
from typing import Any

from pixace.clip.trained import load_config
from pixace.clip.training.config import ClipNetwork, ClipTraining, TrainedClip
from pixace.errors import PixaceError
from pixace.fitting.resuming import FREE, go_on, in_folder, part, typed

USUAL = "emoji"  # the folder that `pixace download --dataset=emoji` makes
PATHS = ("images", "names")


def resolve(folder: Path, given: dict[str, Any]) -> TrainedClip:
    """The configuration of the run in `folder`.

    Args:
        folder: the run's, which need not exist.
        given: only what was asked for, by the names of the fields of `ClipNetwork` and `ClipTraining`; the rest
            comes from the folder's `config.json`, else from the defaults.

    Raises:
        ConfigError: for unknown names, and for values that contradict the folder's; says both.
        PixaceError: there are no pictures, or the folder holds a network without its `config.json`.
    """
    given = typed(given, ClipNetwork, ClipTraining)
    begun = in_folder(folder, lambda: _continued(folder, load_config(folder), given))
    if begun is not None:
        return begun
    if given.get("images") is None:
        if not Path(USUAL).is_dir():
            raise PixaceError(
                "no pictures to train on: give some as --images=FOLDER, or fetch emoji with "
                "`pixace download --dataset=emoji`"
            )
        given["images"] = USUAL
    return TrainedClip(ClipNetwork(**part(given, ClipNetwork)), ClipTraining(**part(given, ClipTraining)))


def _continued(folder: Path, saved: TrainedClip, given: dict[str, Any]) -> TrainedClip:
    network = go_on(folder, saved.network, given, FREE)
    return TrainedClip(network, go_on(folder, saved.training, given, FREE, PATHS))
