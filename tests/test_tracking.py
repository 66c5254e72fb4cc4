"""Figures of a run stand in its files once, whatever interrupted it."""

import json

import numpy as np
import pytest
from runs import events, metrics

from pixace.errors import PixaceError
from pixace.tracking import Tracker, read_metrics


def write(folder, resume: int, steps) -> None:
    tracker = Tracker(folder, resume)
    for step in steps:
        tracker.scalars(step, {"loss": 1.0 / step})
        if step % 2 == 0:
            tracker.picture(step, "samples", np.full((4, 4, 3), step, np.uint8))
    tracker.close()


@pytest.mark.subset
def test_each_step_stands_once_after_interruptions(tmp_path):
    write(tmp_path, 0, range(1, 8))
    write(tmp_path, 4, range(5, 10))  # within the same second as the first
    write(tmp_path, 6, range(7, 13))
    assert [line["step"] for line in metrics(tmp_path)] == list(range(1, 13))
    found = events(tmp_path)
    assert [(e.step, e.value) for e in found.Scalars("loss")] == [(s, pytest.approx(1 / s)) for s in range(1, 13)]
    assert [e.step for e in found.Images("samples")] == [2, 4, 6, 8, 10, 12]


def test_what_is_flushed_is_in_the_files(tmp_path):
    tracker = Tracker(tmp_path, 0)
    for step in range(1, 500):
        tracker.scalars(step, {"loss": 1.0})
    tracker.flush()
    assert len(metrics(tmp_path)) == 499
    assert len(events(tmp_path).Scalars("loss")) == 499
    tracker.close()


@pytest.mark.parametrize("torn", [b'{"step": 8, "lo', b'{"step": 8, "loss": 1.0}', b"\0\0\0", b"\xff\xfe\n", b"12\n"])
def test_torn_last_line_is_dropped(tmp_path, torn):
    write(tmp_path, 0, range(1, 8))
    with open(tmp_path / "metrics.jsonl", "ab") as file:
        file.write(torn)
    assert [line["step"] for line in read_metrics(tmp_path)] == list(range(1, 8))
    write(tmp_path, 9, [10])
    assert [line["step"] for line in metrics(tmp_path)] == [*range(1, 8), 10]


def test_torn_event_file_is_cut_to_its_whole_records(tmp_path):
    write(tmp_path, 0, range(1, 8))
    file = next(tmp_path.glob("events.*"))
    for damage in (file.read_bytes()[:-5], file.read_bytes()[:-5] + b"\0" * 40, file.read_bytes() + b"\xff" * 30):
        file.write_bytes(damage)
        write(tmp_path, 8, [])
        assert [e.step for e in events(tmp_path).Scalars("loss")][:6] == [1, 2, 3, 4, 5, 6]


def test_beginning_anew_drops_all(tmp_path):
    write(tmp_path, 0, range(1, 8))
    write(tmp_path, 0, [1])
    assert [line["step"] for line in metrics(tmp_path)] == [1]
    assert [e.step for e in events(tmp_path).Scalars("loss")] == [1]


def test_text_is_in_tensorboard(tmp_path):
    tracker = Tracker(tmp_path, 0)
    tracker.text(0, "config", '{\n "a": 1\n}')
    tracker.close()
    text = events(tmp_path).Tensors("config/text_summary")[0].tensor_proto.string_val[0].decode()
    assert json.loads(text) == {"a": 1}


def test_folder_that_cannot_be_written_is_a_clear_error(tmp_path):
    (tmp_path / "metrics.jsonl").mkdir()
    with pytest.raises(PixaceError, match=f"cannot write the figures of the run in {tmp_path}"):
        Tracker(tmp_path, 0)
