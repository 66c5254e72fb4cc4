"""The files in a zip or tar archive, one after another. It may come from anywhere; nothing of it gets onto the disk."""

import contextlib
import io
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from pixace.errors import PixaceError
from pixace.opening import MAX_PIXELS

ENDINGS = (".zip", ".tar", ".tar.gz", ".tgz")
MAX_BYTES = MAX_PIXELS  # of one file: a larger one is not read
# An archive that unpacks to more than this, and to so many times its own size, is no archive of pictures.
BOMB_BYTES, BOMB_RATIO = 2**30, 200
MOST_ENTRIES = 20_000_000
DAMAGED = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, NotImplementedError)


class BadArchive(PixaceError):
    """An archive is damaged, or not what it should be."""


@dataclass(frozen=True)
class Entry:
    """A file in an archive, readable until the next one is asked for.

    `place` says how far into the archive it lies; what is not `regular` is a link or a device.
    """

    name: str
    size: int
    place: int
    regular: bool
    open: Callable[[], IO[bytes]]

    def read(self, most: int | None = None) -> bytes:
        """Its content, of `MAX_BYTES` or `most`; raises `PixaceError` if it is damaged, larger, locked, or a link."""
        most = MAX_BYTES if most is None else most
        if not self.regular:
            raise PixaceError("it is a link inside the archive, not a file; pack the files themselves")
        too_large = PixaceError(f"it is larger than the limit of {most:,} bytes")
        if self.size > most:
            raise too_large
        try:
            with self.open() as opened:
                content = opened.read(most + 1)
        except DAMAGED as error:
            raise PixaceError(f"it is damaged: {error}") from None
        except RuntimeError as error:  # the way of zipfile to say that a password is needed
            raise PixaceError(f"it cannot be unpacked: {error}") from None
        if len(content) > most:  # more than was announced
            raise too_large
        return content


def entries(file: Path) -> Iterator[Entry]:
    """The entries of an archive but its folders, in the order in which they lie there; see `in_one_line` for errors."""
    name = file.name.lower()
    is_zip = name.endswith(".zip") or (not name.endswith(ENDINGS) and zipfile.is_zipfile(file))
    return _zip_entries(file) if is_zip else _tar_entries(file)


def guarded_entries(file: Path) -> Iterator[Entry]:
    """The same; raises `BadArchive` where they are more than an archive of pictures can hold."""
    unpacked, most = 0, max(BOMB_BYTES, BOMB_RATIO * file.stat().st_size)
    for count, entry in enumerate(entries(file)):
        unpacked += entry.size
        if unpacked > most or count >= MOST_ENTRIES:
            raise BadArchive(f"{file} unpacks to more than {BOMB_RATIO} times its size and is not read")
        yield entry


@contextlib.contextmanager
def in_one_line(called: str | Path) -> Iterator[None]:
    """Errors of an archive that cannot be gone through, as `BadArchive`."""
    try:
        yield
    except (*DAMAGED, OSError, ValueError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise BadArchive(f"{called} cannot be read to its end: {reason}; is it complete?") from error


def _zip_entries(file: Path) -> Iterator[Entry]:
    with zipfile.ZipFile(file) as archive:
        for info in sorted(archive.infolist(), key=lambda info: info.header_offset):
            if not info.is_dir():
                regular = (info.external_attr >> 28) in (0, 0o10)  # the kind of file, where it is told
                name = info.filename.replace("\\", "/")
                yield Entry(name, info.file_size, info.header_offset, regular, lambda info=info: archive.open(info))


def _tar_entries(file: Path) -> Iterator[Entry]:
    with _open_tar(file) as archive:
        while (member := archive.next()) is not None:
            archive.members.clear()  # pyright: ignore[reportAttributeAccessIssue]  # a kilobyte each
            if not member.isdir():
                yield Entry(
                    member.name,
                    member.size,
                    member.offset_data,
                    member.isreg(),
                    lambda member=member: archive.extractfile(member) or io.BytesIO(),  # None of what is no file
                )


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
