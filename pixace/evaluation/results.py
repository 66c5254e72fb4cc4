"""Where an evaluation is written: pictures and figures into a folder, and into TensorBoard beside the model."""

import contextlib
import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from pixace.checkpoints import CONFIG, library_versions
from pixace.errors import PixaceError
from pixace.evaluation.figures import Evaluation
from pixace.folders import EMBEDDED, write_atomically
from pixace.sheets import save_picture
from pixace.tracking import Tracker

FOLDER, FIGURES = "evaluation", "evaluation.json"
SHEETS = {"loss_map", "best_and_worst", "nearest_training_pictures"}


def default_folder(model: Path) -> Path:
    """`evaluation` in the folder of a model; of a file, or a model of the package, NAME-evaluation here."""
    if _is_own_folder(model):
        return model / FOLDER
    return Path(f"{model.name.partition('.')[0]}-{FOLDER}")


def _is_own_folder(model: Path) -> bool:
    """Whether a model lies in a folder that is people's own."""
    return (model / CONFIG).is_file() and EMBEDDED not in model.resolve().parents


def check_folder(folder: Path) -> None:
    """Make a folder to write to. Raises `PixaceError` if that, or writing there, does not work."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise PixaceError(f"cannot write {folder}: {error.strerror or error}") from None


def write_results(evaluation: Evaluation, pictures: Mapping[str, Image.Image], folder: Path) -> tuple[Path, ...]:
    """Write each picture as NAME.png and the figures as `evaluation.json`; returns the files.

    Raises:
        PixaceError: if the folder cannot be written.
    """
    facts = {"Software": "pixace", "model": evaluation.model, "step": str(evaluation.step)}
    for name in SHEETS - pictures.keys():  # of an earlier evaluation
        (folder / f"{name}.png").unlink(missing_ok=True)
    files = [save_picture(picture, folder / f"{name}.png", metadata=facts) for name, picture in pictures.items()]
    content = {**evaluation.as_json(), "files": [file.name for file in files], "versions": library_versions()}
    write_atomically(folder / FIGURES, lambda path: path.write_text(json.dumps(content, indent=2) + "\n", "utf8"))
    return (*files, folder / FIGURES)


def track(evaluation: Evaluation, pictures: Mapping[str, Image.Image], model: Path, say: Callable[[str], None]) -> None:
    """Write figures and pictures for TensorBoard, at the model's step, as the run NAME/evaluation.

    A run of its own: TensorBoard stops reading a folder's older file when a newer one appears, so that a training
    that goes on would vanish from it. What was there of this step or later ones is replaced. Where it cannot be
    written a line says so.
    """
    if not _is_own_folder(model):
        return
    try:
        check_folder(model / FOLDER)
        with contextlib.closing(Tracker(model / FOLDER, evaluation.step - 1)) as tracker:
            tracker.scalars(evaluation.step, evaluation.scalars())
            tracker.text(evaluation.step, "figures", evaluation.table())
            for name, picture in pictures.items():
                tracker.picture(evaluation.step, name, np.asarray(picture))
    except PixaceError as error:
        say(f"warning: nothing for TensorBoard: {error}")
