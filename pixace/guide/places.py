"""Where the files lie that a guide file names: nowhere but in its folder, unless the command line says so."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from pixace.errors import ConfigError, PixaceError
from pixace.folders import expanded

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:/+")


def resolve(value: str, folder: Path | None, others: Sequence[Path] = (), folders: bool = False) -> str:
    """A file that exists as its absolute path without symbolic links; an http(s) address as it is.

    Args:
        value: a path, from `folder` on, or an address.
        folder: that of the guide file; None where the command line gives the value, which may name any file.
        others: further folders in which the file may lie.
        folders: a folder will do, too.

    Raises:
        ConfigError: it lies elsewhere, or is an address of another kind.
        PixaceError: there is no such file.
    """
    if scheme := _SCHEME.match(value):
        if scheme[0].lower() not in ("http://", "https://"):
            raise ConfigError(f"{value}: addresses must begin with http:// or https://")
        return value
    path = _real(Path(), value) if folder is None else within(value, folder, others)
    if not os.path.exists(path):
        raise PixaceError(f"{value:.200} does not exist{f' in {folder}' if folder else ''}")
    if not os.path.isfile(path) and not (folders and os.path.isdir(path)):
        raise PixaceError(f"{value} is no file")
    return str(path)


def within(value: str, folder: Path, others: Sequence[Path] = ()) -> Path:
    """A path, from `folder` on, without symbolic links.

    Raises:
        ConfigError: it is in none of the folders.
    """
    path = _real(folder, value)
    if not any(path.is_relative_to(os.path.realpath(allowed)) for allowed in (folder, *others)):
        raise ConfigError(f"{value:.200} is outside {folder}, beyond which only the command line lets files reach")
    return path


def _real(folder: Path, value: str) -> Path:
    try:
        return Path(os.path.realpath(folder / expanded(value)))
    except (ValueError, OSError) as error:  # such as a NUL in it
        raise ConfigError(f"{value:.200} is no path: {error}") from None
