"""The cache of downloads: `downloads/NAME/` holds an entry's files and `record.json`, what they were at first.

Whatever the index does not know of a file is recorded when it first comes and held to from then on, so that a host
cannot put another one in its place unnoticed. Several processes may ask for the same entry at once: one downloads.
"""

import os
import re
import shutil
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from pixace.errors import PixaceError
from pixace.fetching.checksums import ChangedFile, check_file, disk_errors
from pixace.fetching.connecting import NotThere, origin
from pixace.fetching.files import download_file
from pixace.folders import cache_folder
from pixace.locks import locked
from pixace.progress import Bar
from pixace.zoo.drive import download_from_drive
from pixace.zoo.hub import hub_address, hub_headers
from pixace.zoo.index import HUB, Entry, File
from pixace.zoo.manifest import MANIFEST, MODEL_FILES, read_manifest
from pixace.zoo.record import Record, read_record, write_record

Say = Callable[[str], None]
OFFLINE = ("PIXACE_OFFLINE", "HF_HUB_OFFLINE")
COMMIT = re.compile("[0-9a-f]{7,64}")


def is_offline(offline: bool | None) -> bool:
    """Whether to do without the network: as told, or by `$PIXACE_OFFLINE` or `$HF_HUB_OFFLINE`."""
    if offline is not None:
        return offline
    return any(os.environ.get(name, "").strip().lower() in ("1", "true", "yes", "on") for name in OFFLINE)


def downloads() -> Path:
    """The folder of all downloads."""
    return cache_folder() / "downloads"


def is_cached(entry: Entry) -> bool:
    """Whether all files of an entry are in the cache, by their sizes."""
    folder, record = downloads() / entry.name, read_record(downloads() / entry.name, entry)
    return record.whole and all(
        (folder / f.name).is_file() and (folder / f.name).stat().st_size == f.size for f in record.files.values()
    )


def fetch_files(
    entry: Entry, *, offline: bool | None = None, accept_changed: bool = False, say: Say | None = None
) -> dict[str, Path]:
    """The files of an entry, by name: from the cache, or downloaded into it.

    Args:
        entry: what to fetch; it must not be embedded.
        offline: do without the network (default: as `$PIXACE_OFFLINE` and `$HF_HUB_OFFLINE` say).
        accept_changed: ask for the files again, and record what comes as the right ones.
        say: takes lines for people (default: printed on standard error).

    Raises:
        PixaceError: in one line; what was in the cache stays.
    """
    say = say or partial(print, file=sys.stderr, flush=True)
    folder = downloads() / entry.name
    if not accept_changed and (found := _whole(folder, entry)) is not None:
        return found
    if is_offline(offline):
        raise PixaceError(
            f"{entry.called} is not whole in {downloads()}, and offline nothing is downloaded; "
            f"go on without --offline ({' and '.join(OFFLINE)} unset)"
        )

    def waiting(owner: str) -> None:
        say(f"another process ({owner}) is downloading {entry.called}; waiting for it")

    with locked(folder / ".lock", waiting):
        if not accept_changed:
            return _whole(folder, entry) or _fetch(entry, folder, read_record(folder, entry), say)
        coming = folder / "changed"
        names = list(_fetch(entry, coming, Record(entry.source), say))
        record = read_record(coming, entry)
        for name in record.files:
            with disk_errors(folder / name):
                (coming / name).replace(folder / name)
        write_record(folder, record)
        shutil.rmtree(coming, ignore_errors=True)
        return {name: folder / name for name in names}


def _whole(folder: Path, entry: Entry) -> dict[str, Path] | None:
    """The files in the cache, if all are there and still what they were."""
    record = read_record(folder, entry)
    known = {file.name: file for file in entry.files or ()}
    if not record.whole or not known.keys() <= record.files.keys():
        return None
    for file in record.files.values():
        sums = known.get(file.name, file)
        try:
            check_file(folder / file.name, sums.size or file.size, sums.sha256 or file.sha256, file.name)
        except PixaceError:
            return None
    return {name: folder / name for name in record.files if name != MANIFEST}


def _fetch(entry: Entry, folder: Path, record: Record, say: Say) -> dict[str, Path]:
    """Bring what is missing into `folder`, and hold it to what `record` says."""
    record.whole = False
    if entry.source.startswith("http:") and origin(entry.source)[1] not in ("127.0.0.1", "localhost"):
        say(f"{entry.source} is not protected on its way (http): whoever is between could change it")
    expected = entry.files if entry.files is not None else _listed(entry, folder, record)
    for file in expected:
        _fetch_file(entry, file, folder, record)
    record.whole = True
    write_record(folder, record)
    return {name: folder / name for name in record.files if name != MANIFEST}


def _listed(entry: Entry, folder: Path, record: Record) -> tuple[File, ...]:
    """The files of a published model: those of its manifest, or the two that every model has."""
    try:
        _fetch_file(entry, File(MANIFEST), folder, record)
    except NotThere:
        if MANIFEST in record.files:
            raise
        return tuple(File(name) for name in MODEL_FILES)
    return read_manifest(folder / MANIFEST)


def _fetch_file(entry: Entry, file: File, folder: Path, record: Record) -> None:
    """Bring one file into the cache, check it, and record it."""
    path, first = folder / file.name, record.files.get(file.name)
    indexed = file.sha256 if entry.files is not None else None  # else by a manifest, which the same host may change
    held = indexed or (first.sha256 if first is not None else file.sha256)
    expected_size = file.size if first is None else None  # where something is held to, the sums are what to tell
    if held is not None:
        try:
            size, found = check_file(path, None, held, file.name)
        except PixaceError:
            pass  # it is missing or damaged
        else:
            record.files[file.name] = File(file.name, size, found)
            return
    try:
        with Bar(f"downloading {file.name}", in_bytes=True) as bar:
            if entry.source.startswith("drive:"):
                coming = path.with_name(path.name + ".drive")
                download_from_drive(entry.source.removeprefix("drive:"), coming, bar)
                try:
                    size, found = check_file(coming, expected_size, held, entry.source)
                except PixaceError:
                    coming.unlink(missing_ok=True)
                    raise
                coming.replace(path)
            else:
                url = _address(entry, file.name, record)
                headers = hub_headers(url)
                got = download_file(url, path, size=expected_size, sha256=held, headers=headers, progress=bar)
                size, found = got.size, got.sha256
                if got.commit is not None and COMMIT.fullmatch(got.commit):
                    record.commit = record.commit or got.commit
    except ChangedFile as error:
        if indexed is not None or first is None:
            raise
        raise PixaceError(
            f"{file.name} of {entry.called} has changed: its SHA-256 is {error.found}, and was {held} when it "
            "first came to this computer; if you trust the new one, --accept_changed takes it"
        ) from error
    record.files[file.name] = File(file.name, size, found)
    write_record(folder, record)


def _address(entry: Entry, name: str, record: Record) -> str:
    """Where a file of an entry is; once the hub has named a commit, all files are taken from it."""
    if match := HUB.fullmatch(entry.source):
        return hub_address(match["repository"], record.commit or match["revision"] or "main", name)
    single = entry.files is not None and entry.source.endswith("/" + name)
    return entry.source if single else f"{entry.source}/{name}"
