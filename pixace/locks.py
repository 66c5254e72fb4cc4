"""A lock between processes: the system lets go of it when its owner ends, however that ends."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from pixace.errors import PixaceError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

POLL_S = 0.1


@contextlib.contextmanager
def locked(path: Path, waiting: Callable[[str], object]) -> Iterator[None]:
    """Hold the lock file `path` (made where it is missing, never removed) while the body runs.

    Args:
        path: the lock file; its folder is made.
        waiting: called once with the owner's process number where another process holds the lock; it is then
            waited for.

    Raises:
        PixaceError: if the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open(path, "a+")
    except OSError as error:
        raise PixaceError(f"cannot write {path}: {error.strerror or error}") from None
    with file:
        if fcntl is not None:
            told = False
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if not told:
                        file.seek(0)
                        waiting(file.read().strip() or "unknown")
                        told = True
                    time.sleep(POLL_S)
                except OSError as error:
                    raise PixaceError(f"cannot lock {path}: {error.strerror or error}") from None
            with contextlib.suppress(OSError):  # on a full disk the lock holds without a name on it
                file.truncate(0)
                file.write(str(os.getpid()))
                file.flush()
        yield
