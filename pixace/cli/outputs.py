"""Whether results can be written, asked before the work that makes them."""

import tempfile
from pathlib import Path

from pixace.errors import ConfigError, PixaceError

LONGEST_EDGE = {".jpg": 65500, ".jpeg": 65500, ".webp": 16383, ".gif": 65535}  # pixels that a format can hold


def check_writable(path: Path, is_folder: bool = False) -> None:
    """Raise `PixaceError` if a file, or files in a folder, cannot be made at `path`."""
    if path.exists() and path.is_dir() != is_folder:
        raise PixaceError(f"cannot write {path}: it is a {'file' if is_folder else 'folder'}")
    folder = path if is_folder else path.parent
    while not folder.exists():
        folder = folder.parent
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise PixaceError(f"cannot write {path}: {error.strerror or error}") from None


def check_size(out: str, width: int, height: int) -> None:
    """Raise `ConfigError` if a picture of so many pixels is more than the format of `out` or this program can hold."""
    from pixace.opening import MAX_PIXELS  # which brings Pillow

    ending = Path(out).suffix.lower()
    if width * height > MAX_PIXELS or max(width, height) > LONGEST_EDGE.get(ending, MAX_PIXELS):
        raise ConfigError(
            f"the sheet would have {width} x {height} pixels, more than {ending} or this program can hold; "
            f"give a smaller --scale or fewer pictures"
        )
