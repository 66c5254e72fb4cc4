"""`manifest.json` of a published model: which files belong to it, with size and SHA-256."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pixace.errors import PixaceError
from pixace.fetching.checksums import size_and_sha256
from pixace.zoo.index import SHA256, File

MANIFEST, FORMAT = "manifest.json", 1
MODEL_FILES: tuple[str, ...] = ("config.json", "weights.safetensors")
PICTURE = "sheet.png"
LARGEST = 2**20  # bytes of a manifest


def make_manifest(folder: Path, names: Sequence[str]) -> str:
    """The manifest of files in `folder`, as text."""
    files = []
    for name in names:
        size, found = size_and_sha256(folder / name)
        files.append({"name": name, "size": size, "sha256": found})
    return json.dumps({"format": FORMAT, "files": files}, indent=2) + "\n"


def read_manifest(path: Path) -> tuple[File, ...]:
    """The files that a manifest names: those of a model, and no others.

    Raises:
        PixaceError: if it is damaged, or names what a published model does not have.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise ValueError("it is too large")
        raw = json.loads(path.read_text(encoding="utf8"))
        if raw["format"] != FORMAT:
            raise ValueError(f"its format {raw['format']!r} is not known to this version of pixace")
        files = tuple(_file(entry) for entry in raw["files"])
    except OSError as error:
        raise PixaceError(f"cannot read {path}: {error.strerror or error}") from None
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise PixaceError(f"{path} is no manifest of a model: {error}") from None
    names = [file.name for file in files]
    if not set(MODEL_FILES) <= set(names) <= {*MODEL_FILES, PICTURE} or len(set(names)) < len(names):
        raise PixaceError(f"{path} is no manifest of a model: it names {', '.join(names)[:200] or 'no files'}")
    return files


def _file(entry: Any) -> File:
    name, size, found = entry["name"], entry["size"], entry["sha256"]
    if type(name) is not str or type(size) is not int or size < 0:
        raise ValueError(f"{entry!r} is not a name with a size")
    if type(found) is not str or not SHA256.fullmatch(found):
        raise ValueError(f"{name} has no SHA-256")
    return File(name, size, found)
