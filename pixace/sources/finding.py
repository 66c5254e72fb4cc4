"""From what people write after `--images=` to the source of pictures that it names."""

import glob
import os
import re
from pathlib import Path

from pixace.errors import PixaceError
from pixace.folders import expanded
from pixace.sources.source import Source

TAKEN = "a folder, a .zip, .tar, .tar.gz, .tgz or .parquet file, or tfds:NAME[:VERSION][/SPLIT]"
MOST_FILES = 100_000
RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")


def find_source(
    text: str | os.PathLike, *, without: str | os.PathLike | None = None, validation: bool = False
) -> Source:
    """The source of pictures that `text` names.

    Args:
        text: a folder; a .zip, .tar, .tar.gz, .tgz or .parquet file; several of one kind, as
            `shards/a-{000..003}.tar` or `shards/*.tar`; or `tfds:NAME[/CONFIG][:VERSION][/SPLIT]`.
        without: of a folder, a folder inside it that is left out.
        validation: the pictures are to validate with, which decides on the split that is read where none is said.

    Raises:
        PixaceError: it is not there, or nothing of these; one line that says so with `text` as it was given.
    """
    text = os.fspath(text)
    if text.startswith("tfds:"):
        from pixace.sources.tfds import TfdsSplit

        return TfdsSplit(text, validation)
    from pixace.sources.archive import Archives
    from pixace.sources.archive_files import ENDINGS
    from pixace.sources.folder import Folder

    path = expanded(text)
    if not path.is_dir():
        lower = text.lower()
        if lower.endswith(ENDINGS):
            return Archives(text, _files(text))
        if lower.endswith(".parquet"):
            from pixace.sources.parquet import ParquetFiles

            return ParquetFiles(text, _files(text))
        if path.is_file():
            raise PixaceError(f"{text} is a file of another kind than those that pictures are read from: {TAKEN}")
    return Folder(text, None if without is None else os.fspath(without))


def _files(text: str) -> list[Path]:
    """The files that a name stands for: one, or those of a range in braces or of a pattern with * and ?."""
    if expanded(text).is_file():
        names = [text]
    else:
        names = sorted(name for part in _ranges(text) for name in (glob.glob(os.path.expanduser(part)) or [part]))
    files = [expanded(name) for name in names]
    for file in files:
        if not file.is_file():
            raise PixaceError(f"{file} does not exist; check the path")
    return files


def _ranges(text: str) -> list[str]:
    """`a-{008..010}.tar` as its three names, the way the shell counts; other text as it is."""
    found = RANGE.search(text)
    if not found:
        return [text]
    first, last = found.groups()
    low, high = sorted((int(first), int(last)))
    if high - low >= MOST_FILES:
        raise PixaceError(f"{text} stands for more than {MOST_FILES:,} files")
    padded = any(len(end) > 1 and end.startswith("0") for end in (first, last))
    width = max(len(first), len(last)) if padded else 0
    numbers = [str(number).zfill(width) for number in range(low, high + 1)]
    return [name for number in numbers for name in _ranges(text[: found.start()] + number + text[found.end() :])]
