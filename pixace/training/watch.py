"""Guards around a run: one process a folder, a wish to stop, and a loss that must stay sane."""

import math
import os
import signal
import statistics
from collections import deque
from pathlib import Path
from types import FrameType, TracebackType

from pixace.errors import PixaceError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


class FolderLock:
    """Holds a run's folder; the system lets go of it when the process ends, however it ends."""

    def __init__(self, folder: Path):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = open(folder / ".lock", "a+")
        except OSError as error:
            raise PixaceError(f"cannot write the model's folder {folder}: {error.strerror or error}") from None
        if fcntl is None:
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.seek(0)
            owner = self._file.read().strip()
            self._file.close()
            raise PixaceError(
                f"another run (process {owner or 'unknown'}) is training in {folder}; "
                "wait for it, stop it, or choose another --model_name"
            ) from None
        self._file.truncate(0)
        self._file.write(str(os.getpid()))
        self._file.flush()

    def release(self) -> None:
        """Let go of the folder."""
        self._file.close()


class StopSignals:
    """Turns the first SIGTERM or Ctrl-C into `self.caught`; a second Ctrl-C acts at once."""

    def __init__(self) -> None:
        self.caught: int | None = None
        self._before: dict[int, object] = {}

    def __enter__(self) -> "StopSignals":
        for number in (signal.SIGTERM, signal.SIGINT):
            try:
                self._before[number] = signal.signal(number, self._catch)
            except ValueError:  # not in the main thread: a notebook's own handling stays
                break
        return self

    def _catch(self, number: int, frame: FrameType | None) -> None:
        self.caught = number
        signal.signal(number, self._before[number])  # type: ignore[arg-type]

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]


class Diverged(Exception):
    """The loss is not a number, or it has left what the run had learnt; the text says which and when."""


class LossWatch:
    """Sees every step's loss; raises `Diverged` on NaN and on a jump that stays.

    A jump: the median of the last `WINDOW` losses lies more than half-way back from the best such median
    to `ln_vocab`, the loss of knowing nothing; or one loss is beyond twice that and more.
    """

    WINDOW = 15

    def __init__(self, ln_vocab: float):
        self._ln_vocab = ln_vocab
        self._recent: deque[float] = deque(maxlen=self.WINDOW)
        self._best = math.inf

    def see(self, step: int, loss: float, gradient_norm: float) -> None:
        """Take note of one step's figures."""
        if not (math.isfinite(loss) and math.isfinite(gradient_norm)):
            raise Diverged(f"loss {loss} and gradient norm {gradient_norm} at step {step}")
        if loss > 3 * self._ln_vocab + 10:
            raise Diverged(f"the loss jumped to {loss:.2f} at step {step}")
        self._recent.append(loss)
        if len(self._recent) < self.WINDOW:
            return
        middle = statistics.median(self._recent)
        self._best = min(self._best, middle)
        if self._best < self._ln_vocab and middle > (self._best + self._ln_vocab) / 2 and middle > self._best + 0.5:
            raise Diverged(f"the loss went from {self._best:.2f} back up to {middle:.2f} by step {step}")

    @property
    def uneasy(self) -> bool:
        """Whether the last loss looks like the start of a jump: not a moment to save."""
        if not self._recent or not math.isfinite(self._best):
            return False
        return self._recent[-1] > max((self._best + self._ln_vocab) / 2, self._best + 0.5)
