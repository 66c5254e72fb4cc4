"""From what was asked for, and what a run's folder says already, to the configuration of the run."""

import dataclasses
import os
from pathlib import Path
from typing import Any

from pixace.checkpoints import CONFIG, STATES, WEIGHTS, load_config
from pixace.config import ModelConfig, ModelOptions, RunConfig, TokenizerConfig, TrainConfig, check_agrees
from pixace.errors import ConfigError, PixaceError
from pixace.exchange import Say, find_model
from pixace.fields import convert, hints_of, shown
from pixace.training.pictures import usual_folders
from pixace.trax_engine.options import check_model, with_fixed

# These may change when a run goes on; all others would make it another run.
FREE = {"n_steps", "n_epochs", "steps_per_epoch", "steps_per_eval", "max_minutes", "save_minutes", "keep", "n_samples"}
SECTIONS = (TokenizerConfig, ModelOptions, TrainConfig)


def resolve(
    folder: Path | None,
    given: dict[str, Any],
    weights_dir: Path,
    say: Say = lambda line: None,
    needs_pictures: bool = True,
) -> tuple[RunConfig, bool]:
    """The run's configuration and whether the folder held it already.

    Args:
        folder: the run's, or None for a run that is not kept.
        given: only what was asked for explicitly, by the field names of `TokenizerConfig`, `ModelOptions`
            and `TrainConfig`; the rest comes from the folder's `config.json`, else from --checkpoint's
            model, else from the defaults.
        weights_dir: where --checkpoint may be a name.
        say: takes lines about what was guessed of a Trax checkpoint.
        needs_pictures: whether it is an error that none are named and the usual folders are not there.

    Raises:
        ConfigError: for unknown names, and for values that contradict the folder's; says both.
        PixaceError: if there are no pictures, or the folder holds a model without its `config.json`.
    """
    hints = hints_of(*SECTIONS)
    if unknown := set(given) - set(hints):
        raise ConfigError(f"unknown training options: {', '.join(sorted(unknown))}")
    given = {name: convert(hints[name], name, _plain(value)) for name, value in given.items()}
    if folder is not None and (folder / CONFIG).exists():
        try:
            return _continued(folder, load_config(folder), given), True
        except ConfigError:
            if _holds_model(folder):
                raise  # else nothing was saved yet: the run may begin anew with other values
    if folder is not None and _holds_model(folder):
        raise PixaceError(
            f"{folder} holds a model but no {CONFIG}: put that file back, or choose another --model_name to begin anew"
        )
    asked, by_trax = given, given.get("engine") == "trax"
    if by_trax:
        given = with_fixed(given)
    training = usual_folders(TrainConfig(**_part(given, TrainConfig)))
    if needs_pictures and training.images is None:
        raise PixaceError(
            "no pictures: give their folder or archive as --images=FOLDER (there is no images/train or images here)"
        )
    if not given.get("checkpoint"):
        tokenizer = TokenizerConfig(**_part(given, TokenizerConfig))
        return RunConfig(tokenizer, ModelOptions(**_part(given, ModelOptions)).build(tokenizer), training), False
    found = find_model(given["checkpoint"], weights_dir, asked, numbers_too=False, any_size=True, say=say)
    model = dataclasses.replace(found.config.model, **_changes_of_numbers(given, found.config.model))
    if by_trax:
        check_model(model, f"the model in {found.path}")
    return RunConfig(found.config.tokenizer, model, training), False


def _plain(value: Any) -> Any:
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def _holds_model(folder: Path) -> bool:
    return (folder / WEIGHTS).exists() or any(entry.name.isdigit() for entry in (folder / STATES).glob("*"))


def _part(given: dict[str, Any], section: type) -> dict[str, Any]:
    return {name: value for name, value in given.items() if name in hints_of(section)}


def _changes_of_numbers(given: dict[str, Any], model: ModelConfig) -> dict[str, Any]:
    """What may differ from the weights' own model: neither changes a weight's shape or meaning.

    Trax's models have one dropout rate for several places.
    """
    changes = {name: given[name] for name in ("dropout", "dtype") if given.get(name) is not None}
    if "dropout" in changes and model.arch == "trax":
        reformer = ("position_dropout", "output_dropout") if model.residual == "reversible" else ()
        changes |= dict.fromkeys(("attention_dropout", *reformer), changes["dropout"])
    return changes


def _continued(folder: Path, saved: RunConfig, given: dict[str, Any]) -> RunConfig:
    if saved.training is None:
        raise ConfigError(
            f"{folder} holds a finished model that was not trained here; "
            f"train from its weights with --checkpoint={folder} and another --model_name"
        )
    check_agrees(saved, given, f"the run in {folder}", numbers_too=True)
    changes = _part(given, TrainConfig)
    for name, value in changes.items():
        before = getattr(saved.training, name)
        if name not in FREE and not _same(name, before, value):
            raise ConfigError(
                f"the run in {folder} was started with --{name}={shown(before)}, now it is {shown(value)}; "
                "leave the flag out to go on, or choose another --model_name"
            )
    return dataclasses.replace(saved, training=dataclasses.replace(saved.training, **changes))


def _same(name: str, before: Any, value: Any) -> bool:
    if name in ("images", "val_images") and before is not None and value is not None:
        return Path(before).resolve() == Path(value).resolve()
    return before == value
