"""Sets of pictures to train on: fetched, held against a manifest, and split into training and validation."""

import gzip
import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path, PurePosixPath

from pixace.errors import ConfigError, PixaceError
from pixace.fetching.files import download_file
from pixace.folders import expanded, name_folder, staging_folder
from pixace.locks import locked
from pixace.progress import Bar, Progress
from pixace.sources.archive_files import BadArchive, entries, guarded_entries, in_one_line
from pixace.zoo.cache import OFFLINE, Say, downloads, is_offline
from pixace.zoo.emoji import is_held_out
from pixace.zoo.index import Dataset, datasets

PICTURE = re.compile(r"emoji_u[0-9a-f_]+\.png")
REPORT = "report.txt"
LARGEST_PICTURE = 2**20  # bytes


@dataclass
class Pictures:
    """What came of a set of pictures: numbers of files, and names of those that are not as the manifest has them."""

    folder: Path
    train: int = 0
    val: int = 0
    different: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    new: list[str] = field(default_factory=list)

    def report(self, most: int | None = None) -> list[str]:
        """Lines about the files that are not as expected, with at most so many names each."""
        total = self.train + self.val
        if not (self.different or self.missing or self.new):
            return [f"all {total:,} files are as the manifest has them"]
        lines = [f"{total - len(self.different):,} of {total + len(self.missing):,} files are as the manifest has them"]
        for names, what in (
            (self.different, "differ from it and are taken all the same"),
            (self.missing, "are missing"),
            (self.new, "are not in it and are left out"),
        ):
            if names:
                rest = "" if most is None or len(names) <= most else f" and {len(names) - most:,} more, see {REPORT}"
                lines.append(f"{len(names):,} {what}: {', '.join(names[:most])}{rest}")
        return lines


def download_dataset(
    name: str,
    out: str | os.PathLike | None = None,
    *,
    archive: str | os.PathLike | None = None,
    offline: bool | None = None,
    say: Say | None = None,
) -> Pictures:
    """Bring a set of pictures into `out/train` and `out/val`, split by families (`zoo/emoji.py`).

    Every file is held against the manifest of SHA-256 that comes with pixace. The archive itself is not, since
    hosts pack the same files anew now and then.

    Args:
        name: a set of the index: emoji.
        out: the new folder (default: `name`); the same pictures there already are no error.
        archive: a zip or tar archive that is here already, instead of the one at the set's address.
        offline: download nothing (default: as `$PIXACE_OFFLINE` and `$HF_HUB_OFFLINE` say).
        say: takes lines for people (default: printed on standard error).

    Raises:
        ConfigError: there is no such set.
        PixaceError: it cannot be fetched or read, holds none of the pictures, or `out` holds something else.
    """
    if (dataset := datasets().get(name)) is None:
        raise ConfigError(f"--dataset={name} is not known; there is {', '.join(datasets())}")
    folder = expanded(out if out is not None else name)
    expected = manifest(dataset)
    if folder.exists() and not folder.is_dir():
        raise PixaceError(f"{folder} is a file; choose another --out")
    if folder.is_dir() and any(folder.iterdir()):
        return _already(folder, expected)
    file = _fetched(dataset, offline, say) if archive is None else expanded(archive)
    with staging_folder(folder) as staging, Bar("unpacking") as bar:
        try:
            result = _unpack(file, dataset, expected, staging, bar)
        except BadArchive as error:
            if archive is not None:
                raise
            file.unlink(missing_ok=True)
            raise PixaceError(f"{error}; it has been removed from the cache, so that the next try fetches it") from None
        result.folder = folder
        head = f"{dataset.what}; licence {dataset.licence}; {dataset.archive}"
        _write(staging / REPORT, "\n".join([head, *result.report(), ""]).encode())
        name_folder(staging, folder)
    return result


def _unpack(file: Path, dataset: Dataset, expected: dict[str, str], target: Path, progress: Progress) -> Pictures:
    """Put the set's pictures into `target`, held against the manifest."""
    result, seen = Pictures(target), set()
    for picture, content in pictures_in(file, dataset.folder):
        if picture not in expected:
            result.new.append(picture)
            continue
        seen.add(picture)
        if hashlib.sha256(content).hexdigest() != expected[picture]:
            result.different.append(picture)
        _write(target / _side(picture) / picture, content)
        progress(len(seen), len(expected))
    if not seen:
        raise BadArchive(f"{file} holds none of the pictures of {dataset.name}, which are files like emoji_u1f600.png")
    result.val = sum(map(is_held_out, seen))
    result.train = len(seen) - result.val
    result.missing = sorted(expected.keys() - seen)
    result.different.sort()
    result.new.sort()
    return result


def pictures_in(archive: Path, folder: str) -> Iterator[tuple[str, bytes]]:
    """Name and content of the pictures in an archive, of whose paths only the last part is ever used.

    If any of them lies in a folder whose path ends with `folder`, only those count: an archive may hold the same
    pictures in several sizes. Links are passed over. The archive is read twice: it may not fit into memory.
    """
    if not archive.is_file():
        what = "is a folder; pictures come from a zip or tar file" if archive.is_dir() else "does not exist"
        raise PixaceError(f"--archive={archive} {what}")
    with in_one_line(archive):
        paths = [PurePosixPath(entry.name) for entry in guarded_entries(archive) if entry.regular]
        matching = [path for path in paths if PICTURE.fullmatch(path.name)]
        chosen = [path for path in matching if f"/{path.parent}".endswith(f"/{folder}")] or matching
        twice = [name for name, count in Counter(path.name for path in chosen).items() if count > 1]
        if twice:
            raise BadArchive(f"{archive} holds two pictures of the name {twice[0]}; which one is meant is not clear")
        wanted = set(chosen)
        for entry in entries(archive):
            if PurePosixPath(entry.name) in wanted and entry.regular:
                try:
                    yield PurePosixPath(entry.name).name, entry.read(LARGEST_PICTURE)
                except PixaceError as error:
                    raise BadArchive(f"{entry.name[:200]} in {archive}: {error}") from None


def manifest(dataset: Dataset) -> dict[str, str]:
    """SHA-256 by file name, as `sha256sum` writes them."""
    text = gzip.decompress((files("pixace.zoo") / dataset.manifest).read_bytes()).decode()
    return {name: sum for sum, name in (line.split("  ", 1) for line in text.splitlines())}


def _side(picture: str) -> str:
    return "val" if is_held_out(picture) else "train"


def _already(folder: Path, expected: dict[str, str]) -> Pictures:
    """What is in a folder of the set's pictures; raises `PixaceError` if anything else is there."""
    result, seen = Pictures(folder), set()
    for side in ("train", "val"):
        there = {path.name: path for path in (folder / side).glob("*") if not path.name.startswith(".")}
        if any(name not in expected or _side(name) != side or not path.is_file() for name, path in there.items()):
            raise PixaceError(f"{folder} holds other files already; remove it, or choose another --out")
        for name, path in there.items():
            if hashlib.sha256(path.read_bytes()).hexdigest() != expected[name]:
                result.different.append(name)
        setattr(result, side, len(there))
        seen |= there.keys()
    if not seen:
        raise PixaceError(f"{folder} holds other files already; remove it, or choose another --out")
    result.missing, result.different = sorted(expected.keys() - seen), sorted(result.different)
    return result


def _fetched(dataset: Dataset, offline: bool | None, say: Say | None) -> Path:
    """The set's archive, in the cache."""
    path = downloads() / "datasets" / dataset.name / dataset.archive.rpartition("/")[2]
    if path.is_file():
        return path
    if is_offline(offline):
        raise PixaceError(
            f"{path} is not there, and offline nothing is downloaded; give an archive as --archive=FILE, "
            f"or go on without --offline ({' and '.join(OFFLINE)} unset)"
        )
    with locked(path.with_name(".lock"), lambda owner: (say or print)(f"waiting for process {owner}")):
        if not path.is_file():
            with Bar(f"downloading {path.name}", in_bytes=True) as bar:
                download_file(dataset.archive, path, progress=bar)
    return path


def _write(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise PixaceError(f"cannot write {path}: {error.strerror or error}") from None
