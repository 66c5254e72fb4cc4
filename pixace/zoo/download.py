"""Models by name or address: from the cache or the web into a folder that `predict` and `train` take."""

import os
import shutil
import sys
from functools import partial
from pathlib import Path

from pixace.config_file import from_json
from pixace.errors import ConfigError, PixaceError
from pixace.fetching.checksums import size_and_sha256
from pixace.folders import EMBEDDED, name_folder, staging_folder
from pixace.zoo.cache import Say, fetch_files
from pixace.zoo.index import Entry, find_entry, folder_name
from pixace.zoo.manifest import MODEL_FILES

CONFIG, WEIGHTS = MODEL_FILES


def download_model(
    model_name: str,
    checkpoint: str = "default",
    weights_dir: str | os.PathLike = "model-weights",
    *,
    save_as: str | None = None,
    offline: bool | None = None,
    accept_changed: bool = False,
    say: Say | None = None,
) -> Path:
    """Download a model; returns its folder, or the cache's folder of a network that is no model of pictures.

    Args:
        model_name: a name in the index, `hf:OWNER/NAME[@REVISION]`, or the http(s) address of a published model's
            folder or of an exported `.safetensors`.
        checkpoint: which of a model's checkpoints; each has one, `default`.
        weights_dir: folder that holds the models.
        save_as: name of the new folder in it (default: the last part of the name).
        offline: use the cache only (default: as `$PIXACE_OFFLINE` and `$HF_HUB_OFFLINE` say).
        accept_changed: take what the host has now, even if it was another file before.
        say: takes lines for people (default: printed on standard error).

    Raises:
        ConfigError: there is no such model to download, or the new name is not a plain one.
        PixaceError: it cannot be fetched or is not a model, or another model has that name; nothing that was there
            is touched.
    """
    if checkpoint != "default":
        raise ConfigError(f"--checkpoint={checkpoint}: the models to download have one checkpoint each, default")
    entry = find_entry(model_name)
    say = say or partial(print, file=sys.stderr, flush=True)
    if entry.kind == "network":
        if save_as is not None:
            raise ConfigError(f"--model_name={save_as} is for models of pictures; {model_name} stays in the cache")
        found = network_files(model_name, offline=offline, accept_changed=accept_changed, say=say)
        return next(iter(found.values())).parent
    name = folder_name(model_name) if save_as is None else save_as
    if save_as is None and not name:
        raise ConfigError(f"{model_name} does not end with a name; --model_name=NAME gives the model one")
    if Path(name).name != name or name in ("", ".", ".."):
        raise ConfigError(f"--model_name={name!r} must be a plain name; its folder lies in --weights_dir")
    folder = Path(weights_dir) / name
    found: dict[str, Path] = {}
    if entry.source != "embedded":  # before anything is put beside the models
        found = fetch_files(entry, offline=offline, accept_changed=accept_changed, say=say)
    with staging_folder(folder) as staging:
        _put(entry, found, staging, say)
        _check(staging, model_name)
        _move(staging, folder)
    return folder


def network_files(
    name: str, *, offline: bool | None = None, accept_changed: bool = False, say: Say | None = None
) -> dict[str, Path]:
    """The files of a network of the index, such as vgg19 or clip-vit-b32: from the cache, or downloaded first.

    Args as in `download_model`. Raises:
        ConfigError: there is none of that name.
        PixaceError: it cannot be fetched.
    """
    entry = find_entry(name)
    if entry.kind != "network":
        raise ConfigError(f"{name} is a model of pictures, not a network that is read for style or meaning")
    return fetch_files(entry, offline=offline, accept_changed=accept_changed, say=say)


def needed_network(name: str, *, offline: bool | None = None, say: Say | None = None) -> dict[str, Path]:
    """`network_files`, for what cannot go on without: errors tell the command that fetches them."""
    try:
        return network_files(name, offline=offline, say=say)
    except PixaceError as error:
        raise PixaceError(f"{error}; `pixace download {name}` fetches the weights, once") from None


def _put(entry: Entry, found: dict[str, Path], staging: Path, say: Say) -> None:
    """Make a model's folder of an entry's files, those in the package or those `found` in the cache."""
    if entry.source == "embedded":
        inside = EMBEDDED / entry.name
        if not inside.is_dir():
            raise PixaceError(f"this build of pixace comes without its model {entry.name}")
        for part in (part for part in inside.iterdir() if part.is_file()):
            _copy(part, staging / part.name)
        return
    if set(MODEL_FILES) <= found.keys():
        for name, path in found.items():
            _copy(path, staging / name)
        return
    from pixace.exchange import import_model

    (path,) = found.values()
    try:
        import_model(path, staging.name, staging.parent, **entry.facts, say=say)
    except PixaceError as error:
        raise PixaceError(f"{error} (pixace import --checkpoint={path} takes more facts)") from None


def _copy(source: Path, target: Path) -> None:
    try:
        shutil.copyfile(source, target)
        with open(target, "rb") as file:
            os.fsync(file.fileno())
    except OSError as error:
        raise PixaceError(f"cannot write {target}: {error.strerror or error}") from None


def _check(folder: Path, model_name: str) -> None:
    """Raise if what came is not a model that this version can load."""
    from pixace.exchange import find_model

    try:
        find_model(folder, None).load()
    except PixaceError as error:
        text = str(error).replace(f"{folder}{os.sep}", "")
        raise PixaceError(f"{model_name} is not a model that this version of pixace can use: {text}") from None


def _move(staging: Path, folder: Path) -> None:
    """Give the folder its name, in one step, unless a model has it; the same model again is no error."""
    if (folder / CONFIG).exists() or (folder / WEIGHTS).exists():
        if not _same(folder, staging):
            raise PixaceError(f"{folder} holds another model already; choose another --model_name")
        return
    name_folder(staging, folder)


def _same(folder: Path, other: Path) -> bool:
    """Whether two folders hold the same model, whatever versions of libraries wrote them."""
    try:
        first, second = ((f / CONFIG).read_text(encoding="utf8") for f in (folder, other))
        same_weights = size_and_sha256(folder / WEIGHTS) == size_and_sha256(other / WEIGHTS)
        return same_weights and from_json(first, CONFIG) == from_json(second, CONFIG)
    except (PixaceError, OSError, UnicodeDecodeError):
        return False
