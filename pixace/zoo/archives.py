"""Pictures out of zip and tar archives, which may come from anywhere.

Nothing is ever unpacked to a name that the archive chooses: members are read into memory, one at a time and up to a
limit, and links, folders and devices are passed over.
"""

import lzma
import re
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from pixace.errors import PixaceError

LARGEST_PICTURE = 2**20  # bytes
MOST_MEMBERS = 200_000
MOST_BYTES = 2**33  # in all members, unpacked: what a tar file is read through for


class BadArchive(PixaceError):
    """An archive is damaged, or not what it should be."""


def pictures_in(archive: Path, pattern: re.Pattern[str], folder: str) -> Iterator[tuple[str, bytes]]:
    """Name and content of the pictures in an archive: regular members whose last part matches `pattern`.

    If any of them lies in a folder whose path ends with `folder`, only those count: an archive may hold the same
    pictures in several sizes.

    Raises:
        PixaceError: the archive is missing.
        BadArchive: it is damaged or none, holds too much or too large a picture, or two pictures of one name.
    """
    try:
        if zipfile.is_zipfile(archive):
            yield from _in_zip(archive, pattern, folder)
        else:
            yield from _in_tar(archive, pattern, folder)
    except FileNotFoundError:
        raise PixaceError(f"there is no {archive}") from None
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError) as error:
        raise BadArchive(f"{archive} is no whole zip or tar archive: {_line(error)}") from None
    except (OSError, NotImplementedError, ValueError) as error:
        raise BadArchive(f"{archive} cannot be read: {_line(error)}") from None


def _in_zip(archive: Path, pattern: re.Pattern[str], folder: str) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(archive) as opened:
        regular = {
            info.filename: info
            for info in opened.infolist()
            if not info.is_dir() and (info.external_attr >> 28) in (0, 0o10)  # the kind of file, where it is told
        }
        for path in _chosen(archive, list(regular), pattern, folder):
            with opened.open(regular[path]) as file:
                yield PurePosixPath(path).name, _limited(file.read(LARGEST_PICTURE + 1), path, archive)


def _in_tar(archive: Path, pattern: re.Pattern[str], folder: str) -> Iterator[tuple[str, bytes]]:
    """A tar file is read through once for the names and once for the contents: it may not fit into memory."""
    with tarfile.open(archive) as opened:
        names, total = [], 0
        for count, member in enumerate(opened):
            total += member.size
            if count >= MOST_MEMBERS or total > MOST_BYTES:
                raise BadArchive(f"{archive} holds too much: the limits are {MOST_MEMBERS:,} files and 8 GB")
            if member.isreg():
                names.append(member.name)
        chosen = set(_chosen(archive, names, pattern, folder))
        for member in opened:
            if member.name in chosen and member.isreg():
                file = opened.extractfile(member)
                content = b"" if file is None else file.read(LARGEST_PICTURE + 1)
                yield PurePosixPath(member.name).name, _limited(content, member.name, archive)


def _chosen(archive: Path, paths: list[str], pattern: re.Pattern[str], folder: str) -> list[str]:
    if len(paths) > MOST_MEMBERS:
        raise BadArchive(f"{archive} holds too much: the limit is {MOST_MEMBERS:,} files")
    matching = [path for path in paths if pattern.fullmatch(PurePosixPath(path).name)]
    inside = [path for path in matching if f"/{PurePosixPath(path).parent}".endswith(f"/{folder}")]
    chosen = inside or matching
    names = [PurePosixPath(path).name for path in chosen]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise BadArchive(f"{archive} holds two pictures of the name {twice}; which one is meant is not clear")
    return chosen


def _limited(content: bytes, path: str, archive: Path) -> bytes:
    if len(content) > LARGEST_PICTURE:
        raise BadArchive(f"{path[:200]} in {archive} is larger than the limit of {LARGEST_PICTURE:,} bytes")
    return content


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
