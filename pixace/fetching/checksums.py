"""Whether a file on disk is the one that was expected, and what an error of the disk means."""

import contextlib
import errno
import hashlib
from collections.abc import Iterator
from pathlib import Path

from pixace.errors import PixaceError


class ChangedFile(PixaceError):
    """A file is not the expected one; `found` is its SHA-256, as far as it is known."""

    def __init__(self, message: str, found: str):
        super().__init__(message)
        self.found = found


def size_and_sha256(path: Path) -> tuple[int, str]:
    """Of a file, in bytes and hexadecimal digits. Raises `PixaceError` if it cannot be read."""
    try:
        with open(path, "rb") as file:
            return path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise PixaceError(f"cannot read {path}: {error.strerror or error}") from None


def check_file(path: Path, size: int | None, sha256: str | None, where: str) -> tuple[int, str]:
    """Size and SHA-256 of a file, once they are what they must be; `where` names its origin in errors.

    Raises:
        ChangedFile: the SHA-256 is another one.
        PixaceError: the size is, or the file cannot be read.
    """
    found_size, found = size_and_sha256(path)
    if size is not None and found_size != size:
        raise PixaceError(f"{where} has the wrong size: {found_size:,} bytes came, {size:,} were expected")
    if sha256 is not None and found != sha256:
        raise wrong_sum(where, found, sha256)
    return found_size, found


def wrong_sum(where: str, found: str, expected: str) -> ChangedFile:
    """The error for a file of another SHA-256 than the expected one."""
    return ChangedFile(f"{where} is not the expected file: its SHA-256 is {found}, not {expected}", found)


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Errors of the disk while `path` is written, in one line; those of the network must be told within."""
    try:
        yield
    except OSError as error:
        full = "the disk is full; what has come is kept, so make room and give the same command again"
        if error.errno == errno.ENOSPC:
            reason = f"{error.strerror}; make room" if "disk is full" in str(error.strerror) else full
        else:
            reason = error.strerror or str(error)
        raise PixaceError(f"cannot write {path}: {reason}") from error
