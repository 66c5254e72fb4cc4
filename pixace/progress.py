"""One way to show that work goes on: a bar on a terminal (rich), one changing line in a notebook, else plain lines."""

import sys
import time
from types import TracebackType
from typing import Protocol

LINE_EVERY_S = 5.0


class Progress(Protocol):
    """What long work reports to; any object with this method will do."""

    def __call__(self, done: int, total: int, text: str = "") -> None:
        """`done` of `total` parts are finished; `text` says more, such as the loss."""


def silent(done: int, total: int, text: str = "") -> None:
    """A `Progress` that shows nothing."""


class Bar:
    """A `Progress` on standard error; use it as a context manager around the work.

    With `in_bytes` the parts are bytes, shown with their rate; a total of 0 is then one that is not known.
    """

    def __init__(self, label: str, in_bytes: bool = False):
        self.label, self.in_bytes = label, in_bytes
        self._terminal = sys.stderr.isatty()
        self._notebook = type(sys.stderr).__module__.startswith("ipykernel")
        self._shown = 0  # characters of the line in a notebook
        self._started = self._last = time.monotonic()
        self._first_done: int | None = None
        self._rich = None

    def __enter__(self) -> "Bar":
        return self

    def __call__(self, done: int, total: int, text: str = "") -> None:
        if self._first_done is None or done < self._first_done:
            self._first_done = done
        if self._terminal:
            self._draw(done, total, text)
        elif 0 < total <= done or time.monotonic() - self._last >= LINE_EVERY_S:
            if time.monotonic() - self._started < 2.0:
                return  # work that is over before anyone wonders needs no line
            self._last = time.monotonic()
            amount = f"{done}/{total}"
            if self.in_bytes:
                amount = f"{byte_count(done)} of {byte_count(total)}" if total else byte_count(done)
                text = f"{byte_count(self._rate(done))}/s"
            parts = [f"{self.label} {amount}", text, self._time_left(done, total)]
            self._print("  ".join(part for part in parts if part))

    def _print(self, line: str) -> None:
        if self._notebook:
            print(f"\r{line.ljust(self._shown)}", end="", file=sys.stderr, flush=True)
            self._shown = len(line)
        else:
            print(line, file=sys.stderr, flush=True)

    def _rate(self, done: int) -> float:
        return (done - (self._first_done or 0)) / max(time.monotonic() - self._started, 1e-9)

    def _time_left(self, done: int, total: int) -> str:
        finished = done - (self._first_done or 0)
        if finished <= 0 or done >= total:
            return ""
        return f"{duration((time.monotonic() - self._started) / finished * (total - done))} left"

    def _draw(self, done: int, total: int, text: str) -> None:
        if self._rich is None:
            from rich.console import Console
            from rich.progress import (
                BarColumn,
                DownloadColumn,
                MofNCompleteColumn,
                TextColumn,
                TimeRemainingColumn,
                TransferSpeedColumn,
            )
            from rich.progress import Progress as RichProgress

            columns = [TextColumn(self.label), BarColumn()]
            if self.in_bytes:
                columns += [DownloadColumn(), TransferSpeedColumn()]
            else:
                columns += [MofNCompleteColumn(), TextColumn("{task.fields[text]}")]
            self._rich = RichProgress(*columns, TimeRemainingColumn(), console=Console(stderr=True))
            self._task = self._rich.add_task("", total=total or None, completed=done, text=text)
            self._rich.start()
        self._rich.update(self._task, completed=done, total=total or None, text=text)

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._rich is not None:
            self._rich.stop()
        if self._shown:
            print(file=sys.stderr)


def duration(seconds: float) -> str:
    """Seconds for people: 45s, 12m30s, 3h05m, 12 days, 40 years."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds}s"
    if seconds < 3600:
        return f"{seconds // 60}m{seconds % 60:02d}s"
    hours, days, years = seconds // 3600, seconds / 86400, seconds / (365 * 86400)
    if days < 3:
        return f"{hours}h{seconds % 3600 // 60:02d}m"
    return f"{days:,.0f} days" if years < 3 else f"{years:,.0f} years"


def byte_count(count: float) -> str:
    """Bytes for people: 512 B, 84 kB, 1.2 MB, 575 MB."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5 or unit == "GB":
            break
        count /= 1000
    return f"{count:.1f} {unit}" if count < 9.95 and unit != "B" else f"{count:.0f} {unit}"
