"""Which pictures a model is measured on, and which it has learnt from."""

import dataclasses
import os
from dataclasses import dataclass

from pixace.config import RunConfig, TrainConfig
from pixace.dataset import TokenSet, load_tokens
from pixace.errors import ConfigError, PixaceError
from pixace.progress import Bar
from pixace.sources.finding import find_source
from pixace.training.pictures import training_folder


@dataclass(frozen=True)
class Pictures:
    """`real`: those to measure on, `about` what they are, for people; `training`: those learnt from, or None."""

    real: TokenSet
    about: str
    training: TokenSet | None
    why_no_training: str = ""


def find_pictures_of(
    config: RunConfig, images: str | os.PathLike | None, train_images: str | os.PathLike | None, with_training: bool
) -> Pictures:
    """The pictures to measure a model on and those it was trained on, parted exactly as its training parts them.

    Args:
        images: folder or other source of pictures to measure on; None for the validation pictures that the
            configuration names.
        train_images: that of the training pictures; None for the one that the configuration names.
        with_training: whether the training pictures are wanted.

    Raises:
        ConfigError: if no validation pictures are known.
        PixaceError: if a folder is missing or holds no picture that can be read.
    """
    training = config.training
    if train_images is not None:
        training = dataclasses.replace(training or TrainConfig(), images=os.fspath(train_images))
    if images is None:
        return _as_trained(config, training, train_images is not None, with_training)
    with Bar("reading pictures") as bar:
        real = load_tokens(images, config.tokenizer, validation=True, progress=bar)
    found = Pictures(real, f"of {images}", None)
    if not with_training:
        return found
    if train_images is not None:  # all of it but what is measured on
        training = TrainConfig(images=os.fspath(train_images), val_images=os.fspath(images))
    elif why := _missing(training):
        return dataclasses.replace(found, why_no_training=why)
    assert training is not None
    return dataclasses.replace(found, training=training_folder(training, config.tokenizer)[0])


def _as_trained(config: RunConfig, training: TrainConfig | None, named: bool, with_training: bool) -> Pictures:
    if training is None or not (training.val_images or training.val_fraction > 0):
        why = "was not trained here" if training is None else "was trained without validation pictures"
        raise ConfigError(f"the model {why}; give pictures to measure it on as --images=FOLDER")
    if training.val_images:
        if why := _unreadable(training.val_images):
            raise PixaceError(f"the model's validation pictures are gone: {why}; give them as --images=FOLDER")
        with Bar("reading pictures") as bar:
            real = load_tokens(training.val_images, config.tokenizer, validation=True, progress=bar)
        found = Pictures(real, f"its validation pictures in {training.val_images}", None)
        if not with_training:
            return found
        why = "" if named else _missing(training)
        learnt = None if why else training_folder(training, config.tokenizer)[0]
        return dataclasses.replace(found, training=learnt, why_no_training=why)
    if not named and (why := _missing(training)):
        raise PixaceError(f"{why}; a part of them was held out for validation, so give pictures as --images=FOLDER")
    learnt, real = training_folder(training, config.tokenizer)
    assert real is not None
    about = f"the {training.val_fraction:.0%} of {training.images} that its training holds out"
    return Pictures(real, about, learnt)


def _missing(training: TrainConfig | None) -> str:
    """Why there are no training pictures, or nothing."""
    if training is None or not training.images:
        return "the model does not say what it was trained on"
    why = _unreadable(training.images)
    return f"the model's training pictures are gone: {why}" if why else ""


def _unreadable(source: str) -> str:
    """Why a source of pictures is not there, or nothing."""
    try:
        find_source(source, validation=True)
    except PixaceError as error:
        return str(error)
    return ""
