"""Figures of a run: `metrics.jsonl` always, TensorBoard event files beside it.

After an interruption both are cut back to the step from which the run goes on, so that each step stands
in them once. Cutting needs no room, so it also works on a full disk.
"""

import contextlib
import json
import os
import socket
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pixace.errors import PixaceError


class Tracker:
    """Writes what a run reports into its folder.

    Every method raises `PixaceError` where the folder cannot be written.
    """

    def __init__(self, folder: Path, resume_step: int):
        """Cut records after `resume_step` (0: all of them) and append from there on."""
        self._folder = folder
        with self._writing():
            _cut_metrics(folder / "metrics.jsonl", resume_step)
            self._out = open(folder / "metrics.jsonl", "a", encoding="utf8")
        try:
            from tensorboardX import summary
            from tensorboardX.proto.event_pb2 import Event  # type: ignore[attr-defined]
            from tensorboardX.record_writer import RecordWriter
        except ImportError:
            print("tensorboardX is not installed: no TensorBoard files (pip install tensorboardX)", file=sys.stderr)
            self._board = None
            return
        self._summary, self._event = summary, Event
        with self._writing():
            cut_events(folder, resume_step, Event)
            # Records go to the file at once: tensorboardX's own writer keeps some in a queue that `flush` passes by.
            # Its name tells the time to the microsecond, since TensorBoard reads files in the order of their names.
            self._board = RecordWriter(str(folder / f"events.out.tfevents.{time.time():.6f}.{socket.gethostname()}"))
            self._record(file_version="brain.Event:2")

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """All figures of one step, in one line and one event; call once a step."""
        with self._writing():
            self._out.write(json.dumps({"step": step, **values}) + "\n")
        if self._board is not None:
            value = self._summary.Summary.Value
            entries = [value(tag=tag, simple_value=number) for tag, number in values.items()]
            self._record(step=step, summary=self._summary.Summary(value=entries))

    def picture(self, step: int, tag: str, rgb: np.ndarray) -> None:
        """A uint8 (H, W, 3) picture, shown in TensorBoard."""
        if self._board is not None:
            self._record(step=step, summary=self._summary.image(tag, rgb, dataformats="HWC"))

    def text(self, step: int, tag: str, text: str) -> None:
        """Text, shown in TensorBoard as it stands."""
        if self._board is not None:
            indented = "\n".join("    " + line for line in text.splitlines())
            self._record(step=step, summary=self._summary.text(tag, indented))

    def flush(self) -> None:
        """Hand everything to the operating system: it then outlives this process."""
        with self._writing():
            self._out.flush()
            if self._board is not None:
                self._board.flush()

    def close(self) -> None:
        """Flush and close."""
        with self._writing(), contextlib.ExitStack() as stack:
            stack.callback(self._out.close)
            if self._board is not None:
                stack.callback(self._board.close)

    def _record(self, **content: Any) -> None:
        assert self._board is not None
        with self._writing():
            self._board.write(self._event(wall_time=time.time(), **content).SerializeToString())

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = error.strerror or error
            raise PixaceError(f"cannot write the figures of the run in {self._folder}: {reason}") from None


def read_metrics(folder: Path) -> Iterator[dict[str, float]]:
    """The lines of `metrics.jsonl`, up to one that an interruption cut short."""
    file = folder / "metrics.jsonl"
    if file.exists():
        for _, values in _whole_lines(file):
            yield values


def _whole_lines(file: Path) -> Iterator[tuple[int, dict[str, float]]]:
    """Each line's end in the file, and what it says; ends before the first that is not whole."""
    end = 0
    with open(file, "rb") as lines:
        for line in lines:
            end += len(line)
            try:
                values = json.loads(line)
            except ValueError:
                return
            if not line.endswith(b"\n") or not isinstance(values, dict) or "step" not in values:
                return
            yield end, values


def _cut_metrics(file: Path, last_step: int) -> None:
    if not file.exists():
        return
    kept = 0
    for end, values in _whole_lines(file):
        if values["step"] > last_step:
            break
        kept = end
    os.truncate(file, kept)


def cut_events(folder: Path, last_step: int, event_type: Any) -> None:
    """Drop what the event files hold after `last_step` (0: all); torn records at the end of a file go too."""
    for file in folder.glob("events.out.tfevents.*"):
        kept = n_kept = 0
        for end, payload in _records(file):
            event = event_type()
            try:
                event.ParseFromString(payload)
            except Exception:  # google.protobuf.message.DecodeError, whichever protobuf tensorboardX was made for
                break
            if event.step > last_step:
                break
            kept, n_kept = end, n_kept + 1
        if last_step == 0 or n_kept < 2:  # nothing but the version record
            file.unlink()
        else:
            os.truncate(file, kept)


def _records(file: Path) -> Iterator[tuple[int, bytes]]:
    """Each whole TFRecord's end in the file, and its payload: length (8 bytes), checksum (4), payload, checksum (4)."""
    end, size = 0, file.stat().st_size
    with open(file, "rb") as data:
        while end + 12 <= size:
            (length,) = struct.unpack("<Q", data.read(12)[:8])
            end += 12 + length + 4
            if end > size:
                return
            payload = data.read(length)
            data.read(4)
            yield end, payload
