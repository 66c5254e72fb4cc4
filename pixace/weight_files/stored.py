"""An array in a file that has been listed, and not yet read."""

import contextlib
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from safetensors import SafetensorError

from pixace.errors import PixaceError


@dataclass(frozen=True)
class Stored:
    """An array in a file: its shape, and what reads it.

    Look at the shape first: a file may claim any. Reading takes no more memory than the file and an array of that
    shape have; do it within `about`.
    """

    shape: tuple[int, ...]
    read: Callable[[], np.ndarray]


@contextlib.contextmanager
def about(path: Path) -> Iterator[None]:
    """Whatever is wrong with a file that is read inside becomes a `PixaceError` that names it."""
    try:
        yield
    except PixaceError as error:
        raise PixaceError(f"{path} cannot be read as weights: {error}") from None
    except (SafetensorError, zipfile.BadZipFile, ValueError, LookupError, EOFError, NotImplementedError) as error:
        text = (str(error).splitlines() or [type(error).__name__])[0]
        raise PixaceError(f"{path} cannot be read as weights: it is damaged or not whole ({text:.200})") from None
    except (OSError, RuntimeError) as error:  # zipfile has RuntimeError for archives with a password
        raise PixaceError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from None


def exactly(file: IO[bytes], count: int) -> bytes:
    """The next `count` bytes; raises `PixaceError` if there are fewer."""
    data = file.read(count)
    if len(data) < count:
        raise PixaceError("it ends too early; copy it again")
    return data
