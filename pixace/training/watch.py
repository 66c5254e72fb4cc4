"""Guards around a run: one process a folder, a wish to stop, and a loss that must stay sane."""

import contextlib
import math
import os
import signal
from collections import deque
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import numpy as np

from pixace.errors import PixaceError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


class FolderLock:
    """Holds a run's folder; the system lets go of it when the process ends, however it ends."""

    def __init__(self, folder: Path):
        path = folder / ".lock"
        while True:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                self._file = open(path, "a+")
            except OSError as error:
                raise PixaceError(f"cannot write the model's folder {folder}: {error.strerror or error}") from None
            if fcntl is None:
                return
            self._take(folder)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(self._file.fileno()), os.stat(path)):
                    break
            self._file.close()  # its owner removed the folder in the meantime: ours is another file
        with contextlib.suppress(OSError):  # on a full disk the lock holds without a name on it
            self._file.truncate(0)
            self._file.write(str(os.getpid()))
            self._file.flush()

    def _take(self, folder: Path) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # type: ignore[union-attr]
        except BlockingIOError:
            self._file.seek(0)
            owner = self._file.read().strip()
            self._file.close()
            raise PixaceError(
                f"another run (process {owner or 'unknown'}) is training in {folder}; "
                "wait for it, stop it, or choose another --model_name"
            ) from None
        except OSError as error:
            self._file.close()
            raise PixaceError(f"cannot lock {folder / '.lock'}: {error.strerror or error}") from None

    def release(self) -> None:
        """Let go of the folder."""
        with contextlib.suppress(OSError):
            self._file.close()


class StopSignals:
    """Turns the first SIGTERM or Ctrl-C into `self.caught`; a second one acts at once."""

    def __init__(self) -> None:
        self.caught: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "StopSignals":
        for number in (signal.SIGTERM, signal.SIGINT):
            try:
                self._before[number] = signal.signal(number, self._catch) or signal.SIG_DFL
            except ValueError:  # not in the main thread: a notebook's own handling stays
                break
        return self

    def _catch(self, number: int, frame: FrameType | None) -> None:
        self.caught = number
        self._restore()

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


class Diverged(Exception):
    """The loss is not a number, or it has left what the run had learnt; the text says which and when."""


class LossWatch:
    """Sees every step's loss; raises `Diverged` on NaN and on a jump that stays.

    A jump that stays: the mean of the last `WINDOW` losses lies more than half-way back from the best such mean
    to `ln_vocab`, the loss of knowing nothing, more than half a nat, and far outside the noise of such means.
    One loss beyond three times `ln_vocab` and more is a jump at once. A shorter spike is left to recover.
    """

    WINDOW = 200

    def __init__(self, ln_vocab: float):
        self._ln_vocab = ln_vocab
        self._recent: deque[float] = deque(maxlen=self.WINDOW)
        self._best, self._deviation = math.inf, 0.0
        self._cap = math.inf

    def see(self, step: int, loss: float, gradient_norm: float) -> None:
        """Take note of one step's figures."""
        if not math.isfinite(gradient_norm):
            raise Diverged(f"loss {loss} and gradient norm {gradient_norm} at step {step}")
        self.calm(step, loss)
        if not self._recent:  # what counts as knowing nothing: some models begin above `ln_vocab`
            self._best = max(loss, self._ln_vocab)
            self._cap = self._best + 1.0  # a few wild losses must not move a mean
        self._recent.append(min(loss, self._cap))
        if len(self._recent) < self.WINDOW:
            return
        window = np.array(self._recent)
        mean = float(window.mean())
        if mean < self._best:
            self._best, self._deviation = mean, float(window.std())
        if mean > self._border(8 * self._deviation / math.sqrt(self.WINDOW)):
            raise Diverged(f"the loss went from {self._best:.2f} up to {mean:.2f} and stayed there, by step {step}")

    def calm(self, step: int, loss: float) -> bool:
        """Whether a loss does not look like the start of a jump; raises `Diverged` if it cannot be anything else."""
        if not math.isfinite(loss):
            raise Diverged(f"the loss is {loss} at step {step}")
        if loss > 3 * self._ln_vocab + 10:
            raise Diverged(f"the loss jumped to {loss:.2f} at step {step}")
        return loss <= self._border(4 * self._deviation)

    def _border(self, noise: float) -> float:
        return max((self._best + self._ln_vocab) / 2, self._best + max(0.5, noise))
