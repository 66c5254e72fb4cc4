"""The pictures of a run: those to train on, those to validate with, and those that cannot be read."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

from pixace.config import TokenizerConfig, TrainConfig
from pixace.dataset import TokenSet, load_tokens, split
from pixace.folders import write_atomically
from pixace.progress import Bar


def load_pictures(
    config: TrainConfig, tokenizer: TokenizerConfig, log: Path, say: Callable[[str], None]
) -> tuple[TokenSet, TokenSet]:
    """Training and validation pictures; broken files are left out, counted aloud and listed in `log`."""
    train_set, val_set = training_folder(config, tokenizer)
    skipped = [(str(config.images), *entry) for entry in train_set.skipped]
    if config.val_images:
        val_set = _load(config.val_images, tokenizer, "reading validation pictures", validation=True)
        val_set = val_set.with_classes(train_set.classes)
        skipped += [(config.val_images, *entry) for entry in val_set.skipped]
    elif val_set is None:
        val_set = train_set
        say("warning: no --val_images and no --val_fraction: validation uses the training pictures")
    if skipped:
        lines = [f"{Path(source) / name}: {why}" for source, name, why in skipped]
        text = "".join(f"{line}\n" for line in lines)
        write_atomically(log, lambda path: path.write_text(text, "utf8", "backslashreplace"))  # names may be any bytes
        say(f"warning: files that cannot be read and are left out: {len(lines)}, listed in {log}")
        for line in lines[:5]:
            say(f"  {line}")
    return train_set, val_set


def training_folder(config: TrainConfig, tokenizer: TokenizerConfig) -> tuple[TokenSet, TokenSet | None]:
    """The pictures in a run's training folder: those to learn from, and those that `val_fraction` holds out, if any.

    Raises:
        PixaceError: if there is no such folder, or one side is empty.
    """
    found = _load(str(config.images), tokenizer, "reading pictures", validation_inside(config))
    if not config.val_images and config.val_fraction > 0:
        return split(found, config.val_fraction)
    return found, None


def usual_folders(config: TrainConfig) -> TrainConfig:
    """Fill in the picture folders that the source project looks in, as far as none are named and they exist."""
    images = config.images or next((name for name in ("images/train", "images") if Path(name).is_dir()), None)
    val_images = config.val_images
    if val_images is None and config.val_fraction == 0:
        usual = images is not None and Path(images) in (Path("images/train"), Path("images"))
        val_images = "images/val" if usual and Path("images/val").is_dir() else None
    return dataclasses.replace(config, images=images, val_images=val_images)


def validation_inside(config: TrainConfig) -> str | None:
    """The validation folder if it lies inside the training folder: its pictures are not trained on."""
    images = Path(str(config.images))
    if config.val_images and images.is_dir() and images.resolve() in Path(config.val_images).resolve().parents:
        return config.val_images
    return None


def _load(
    source: str, tokenizer: TokenizerConfig, label: str, without: str | None = None, validation: bool = False
) -> TokenSet:
    with Bar(label) as bar:
        return load_tokens(source, tokenizer, without=without, validation=validation, progress=bar)
