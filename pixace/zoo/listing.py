"""The table of what can be downloaded, and what of it is here."""

import os
from pathlib import Path

from pixace.folders import EMBEDDED
from pixace.progress import byte_count
from pixace.zoo.cache import is_cached
from pixace.zoo.index import Entry, datasets, models
from pixace.zoo.manifest import MODEL_FILES


def listing(weights_dir: str | os.PathLike = "model-weights") -> str:
    """A table for people: name, size, licence, whether it is here, and what it is."""
    rows = [("name", "size", "licence", "here", "what it is")]
    for entry in models():
        what = f"{entry.what} ({entry.tokenizer} tokens)" if entry.tokenizer else entry.what
        rows.append((entry.name, _size(entry), entry.licence, _here(entry, Path(weights_dir)), what))
    for name, dataset in datasets().items():
        rows.append((f"--dataset={name}", byte_count(dataset.about_bytes), dataset.licence, "", dataset.what))
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    lines = [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[4]]) for row in rows
    ]
    return "\n".join([*lines, "", "also: hf:OWNER/NAME[@REVISION], and https addresses of published models"])


def _size(entry: Entry) -> str:
    return byte_count(entry.about_bytes) if entry.about_bytes else "unknown"


def _here(entry: Entry, weights_dir: Path) -> str:
    if all((weights_dir / entry.name / name).is_file() for name in MODEL_FILES):
        return str(weights_dir / entry.name)
    if entry.source == "embedded":
        return "with pixace" if (EMBEDDED / entry.name).is_dir() else "no"
    return "in the cache" if is_cached(entry) else "no"
