"""Pictures in zip and tar archives, read without unpacking them to disk; WebDataset's shards are such archives."""

import contextlib
import os
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from pixace.errors import PixaceError
from pixace.images import SUFFIXES
from pixace.opening import MAX_PIXELS
from pixace.progress import Progress
from pixace.sources.source import Picture, folder_classes, state_of

ENDINGS = (".zip", ".tar", ".tar.gz", ".tgz")
MAX_BYTES = MAX_PIXELS  # of one picture: a larger file is not read
MAX_LABEL_BYTES = 1024
# An archive that unpacks to more than this, and to so many times its own size, is no archive of pictures.
BOMB_BYTES, BOMB_RATIO = 2**30, 200
DAMAGE = (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, OSError, NotImplementedError, ValueError)
REPORT_EVERY = 1000  # entries


class Entry(NamedTuple):
    """A file in an archive, readable until the next one is asked for; `place` says how far into the archive it lies."""

    name: str
    size: int
    place: int
    read: Callable[[], bytes]


class Archives:
    """A `Source`: one archive, or several that belong together, read one after another.

    Classes are those of WebDataset where there are files such as `x.cls` beside `x.jpg`, else the folders'.
    """

    classes = ()

    def __init__(self, text: str, files: Sequence[Path]):
        self.text, self._files = text, files
        shared = os.path.commonpath([file.parent for file in files])
        self._prefixes = [f"{os.path.relpath(file, shared)}/" if len(files) > 1 else "" for file in files]
        self._places: dict[str, int] = {}  # of the pictures; of several of one name, the last counts, as in unpacking
        self._labels: dict[str, str | None] = {}

    def fingerprint(self) -> str:
        """Path, size and date of each archive."""
        return "\0".join(f"{file.resolve()}\0{state_of(file)}" for file in self._files)

    def count(self, progress: Progress) -> int:
        """Goes through the archives once, for the names of their pictures and for their classes."""
        places: dict[str, int] = {}
        bare: dict[str, str] = {}  # the names without the archive's
        classes: dict[str, str] = {}
        megabytes = [max(1, file.stat().st_size >> 20) for file in self._files]
        for i, (file, prefix) in enumerate(zip(self._files, self._prefixes, strict=True)):
            with self._told_as_one_line(file):
                for j, entry in enumerate(_guarded(file)):
                    name = _clean(entry.name)
                    if name and name.lower().endswith(SUFFIXES):
                        places[prefix + name], bare[prefix + name] = entry.place, name
                    elif name and name.endswith(".cls") and entry.size <= MAX_LABEL_BYTES:
                        text = _content(entry)
                        if isinstance(text, bytes):
                            classes[prefix + _key(name)] = text.decode("utf8", "replace").strip()
                    if j % REPORT_EVERY == REPORT_EVERY - 1:
                        done = sum(megabytes[:i]) + min(entry.place >> 20, megabytes[i])
                        progress(done, sum(megabytes) + 1, f"MB listed, {len(places)} pictures")
        if not places:
            raise PixaceError(f"no pictures ({', '.join(suffix[1:] for suffix in SUFFIXES)}) in {self.text}")
        if classes:
            labels = [classes.get(_key(name)) for name in places]
        else:
            labels = folder_classes([bare[name] for name in places])
        self._places, self._labels = places, dict(zip(places, labels, strict=True))
        return len(places)

    def pictures(self) -> Iterator[Picture]:
        """The content of the pictures, in the order in which they lie there; `count` comes first."""
        for file, prefix in zip(self._files, self._prefixes, strict=True):
            with self._told_as_one_line(file):
                for entry in _entries(file):
                    name = prefix + (_clean(entry.name) or "")
                    if self._places.get(name) == entry.place:
                        yield Picture(name, _content(entry), self._labels[name])

    @contextlib.contextmanager
    def _told_as_one_line(self, file: Path) -> Iterator[None]:
        try:
            yield
        except DAMAGE as error:
            name = self.text if len(self._files) == 1 else file
            raise PixaceError(f"{name} cannot be read to its end: {error}; is it complete?") from error


def _guarded(file: Path) -> Iterator[Entry]:
    """The files in an archive, until they are more than an archive of pictures can hold."""
    unpacked, most = 0, max(BOMB_BYTES, BOMB_RATIO * file.stat().st_size)
    for entry in _entries(file):
        unpacked += entry.size
        if unpacked > most:
            raise PixaceError(f"{file} unpacks to more than {BOMB_RATIO} times its size and is not read")
        yield entry


def _entries(file: Path) -> Iterator[Entry]:
    return _zip_entries(file) if file.name.lower().endswith(".zip") else _tar_entries(file)


def _zip_entries(file: Path) -> Iterator[Entry]:
    with zipfile.ZipFile(file) as archive:
        for info in sorted(archive.infolist(), key=lambda info: info.header_offset):
            if not info.is_dir():

                def read(info: zipfile.ZipInfo = info) -> bytes:
                    with archive.open(info) as content:
                        return content.read(MAX_BYTES + 1)

                yield Entry(info.filename.replace("\\", "/"), info.file_size, info.header_offset, read)


def _tar_entries(file: Path) -> Iterator[Entry]:
    with _open_tar(file) as archive:
        while (member := archive.next()) is not None:
            archive.members.clear()  # pyright: ignore[reportAttributeAccessIssue]  # a kilobyte each
            if not member.isdir():

                def read(member: tarfile.TarInfo = member) -> bytes:
                    content = archive.extractfile(member) if member.isreg() else None
                    if content is None:
                        raise PixaceError("it is a link inside the archive, not a file; pack the files themselves")
                    return content.read(MAX_BYTES + 1)

                yield Entry(member.name, member.size, member.offset_data, read)


class _Header(tarfile.TarInfo):
    """A header that is damaged is an error; to `tarfile` it would be the end of the archive."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "_Header":
        try:
            return super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if any(buf):
                raise tarfile.ReadError(f"damaged at a header: {error}") from error
            raise


def _open_tar(file: Path) -> tarfile.TarFile:
    try:
        return tarfile.open(file, "r:", tarinfo=_Header)  # jumps over what is not read
    except tarfile.ReadError:
        return tarfile.open(file, "r|*", tarinfo=_Header)  # compressed: only ever goes forward


def _clean(name: str) -> str | None:
    """The path of an entry as of an unpacked file; None for hidden entries, and for what a Mac adds of its own."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if not parts or any(part.startswith(".") or part == "__MACOSX" for part in parts):
        return None
    return "/".join(parts)


def _key(name: str) -> str:
    """What the files of one WebDataset sample share: the path up to the first point in the file's own name."""
    folder, slash, base = name.rpartition("/")
    return folder + slash + base.partition(".")[0]


def _content(entry: Entry) -> bytes | PixaceError:
    try:
        if entry.size > MAX_BYTES:
            return PixaceError(f"it has {entry.size:,} bytes, more than the limit of {MAX_BYTES:,}")
        return entry.read()
    except PixaceError as error:
        return error
    except RuntimeError as error:  # the way of zipfile to say that a password is needed
        return PixaceError(f"it cannot be unpacked: {error}")
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        return PixaceError(f"it is damaged: {error}")
