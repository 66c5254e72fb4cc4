"""Figures of a run: `metrics.jsonl` always, TensorBoard event files beside it.

After an interruption both are cut back to the step from which the run goes on, so that each step stands
in them once.
"""

import json
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np

from pixace.folders import write_atomically


class Tracker:
    """Writes what a run reports into its folder."""

    def __init__(self, folder: Path, resume_step: int):
        """Cut records after `resume_step` (0: all of them) and append from there on."""
        self._file = folder / "metrics.jsonl"
        _cut_metrics(self._file, resume_step)
        self._out = open(self._file, "a", encoding="utf8")
        try:
            from tensorboardX import SummaryWriter
            from tensorboardX.proto import event_pb2, summary_pb2  # their classes are made when imported
        except ImportError:
            print("tensorboardX is not installed: no TensorBoard files (pip install tensorboardX)", file=sys.stderr)
            self._board = None
            return
        cut_events(folder, resume_step, event_pb2.Event)  # type: ignore[attr-defined]
        self._board: Any = SummaryWriter(str(folder), flush_secs=30)
        self._summary = summary_pb2.Summary  # type: ignore[attr-defined]

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """All figures of one step, in one line and one event; call once a step."""
        print(json.dumps({"step": step, **values}), file=self._out)
        if self._board is not None:
            entries = [self._summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]
            self._board.file_writer.add_summary(self._summary(value=entries), step)

    def picture(self, step: int, tag: str, rgb: np.ndarray) -> None:
        """A uint8 (H, W, 3) picture, shown in TensorBoard."""
        if self._board is not None:
            self._board.add_image(tag, rgb, step, dataformats="HWC")

    def text(self, step: int, tag: str, text: str) -> None:
        """Text, shown in TensorBoard as it stands."""
        if self._board is not None:
            self._board.add_text(tag, "\n".join("    " + line for line in text.splitlines()), step)

    def flush(self) -> None:
        """Hand everything to the operating system: it then outlives this process."""
        self._out.flush()
        if self._board is not None:
            self._board.flush()

    def close(self) -> None:
        """Flush and close."""
        self.flush()
        self._out.close()
        if self._board is not None:
            self._board.close()


def read_metrics(folder: Path) -> list[dict[str, float]]:
    """The lines of `metrics.jsonl`, without one that an interruption cut short."""
    file = folder / "metrics.jsonl"
    lines = []
    for line in file.read_text(encoding="utf8").splitlines() if file.exists() else []:
        try:
            lines.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return lines


def _cut_metrics(file: Path, last_step: int) -> None:
    if not file.exists():
        return
    kept = [line for line in read_metrics(file.parent) if line["step"] <= last_step]
    text = "".join(json.dumps(line) + "\n" for line in kept)
    write_atomically(file, lambda path: path.write_text(text, encoding="utf8"))


def cut_events(folder: Path, last_step: int, event_type: type) -> None:
    """Drop what the event files hold after `last_step`; torn records at the end of a file go too."""
    for file in folder.glob("events.out.tfevents.*"):
        kept = []
        for record, payload in _records(file.read_bytes()):
            event = event_type()
            event.ParseFromString(payload)
            if event.step <= last_step and (last_step > 0 or event.HasField("file_version")):
                kept.append(record)
        if last_step == 0 or len(kept) < 2:  # nothing but the version line
            file.unlink()
        else:
            write_atomically(file, lambda path, kept=kept: path.write_bytes(b"".join(kept)))


def _records(data: bytes) -> list[tuple[bytes, bytes]]:
    """TFRecords: length (8 bytes), its checksum (4), payload, its checksum (4)."""
    records, at = [], 0
    while at + 12 <= len(data):
        (length,) = struct.unpack_from("<Q", data, at)
        end = at + 12 + length + 4
        if end > len(data):
            break
        records.append((data[at:end], data[at + 12 : end - 4]))
        at = end
    return records
