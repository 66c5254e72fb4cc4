"""How the progress of long work is shown."""

import io

import pytest

from pixace import progress
from pixace.progress import LINE_EVERY_S, Bar, byte_count, duration, silent


class Clock:
    """`time` with a hand that the test moves."""

    def __init__(self):
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.subset
def test_work_under_two_seconds_is_not_mentioned(clock, capsys):
    with Bar("drawing") as bar:
        for i in range(11):
            bar(i, 10)
            clock.now += 0.199
    assert capsys.readouterr() == ("", "")


def test_elsewhere_than_on_a_terminal_there_are_plain_lines_now_and_then(clock, capsys):
    with Bar("training") as bar:
        for i in range(0, 101):
            bar(i, 100, "loss 1.5")
            clock.now += 0.5
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert out == "" and err.isprintable() is False and "\x1b" not in err and "\r" not in err
    assert len(lines) == 100 * 0.5 / LINE_EVERY_S
    assert lines[0] == "training 10/100  loss 1.5  45s left"
    assert lines[-1] == "training 100/100  loss 1.5"


def test_work_that_goes_on_from_the_middle_is_timed_from_there(clock, capsys):
    with Bar("training") as bar:
        bar(900, 1000)
        clock.now += 10
        bar(910, 1000)
    assert capsys.readouterr().err == "training 910/1000  1m30s left\n"


def test_the_end_is_said_once_the_work_took_two_seconds(clock, capsys):
    with Bar("reading") as bar:
        bar(0, 3)
        clock.now += 2.1
        bar(3, 3, "1 skipped")
    assert capsys.readouterr().err == "reading 3/3  1 skipped\n"


def test_a_terminal_gets_a_bar_that_is_cleaned_up(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    with Bar("drawing") as bar:
        bar(1, 4, "row 1")
        bar(4, 4, "row 4")
    text = terminal.getvalue()
    assert "drawing" in text and "4/4" in text and "row 4" in text
    assert text.rstrip().endswith("\x1b[?25h") or "\x1b[?25l" not in text, "the cursor stays hidden"


def test_a_bar_ends_also_when_the_work_fails(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    with pytest.raises(ValueError, match="broken"), Bar("drawing") as bar:
        bar(1, 4)
        raise ValueError("broken")
    assert bar._rich.finished or not bar._rich.live.is_started


def test_silent_shows_nothing(capsys):
    silent(1, 2, "x")
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (59.4, "59s"), (59.6, "1m00s"), (61, "1m01s"), (3599.7, "1h00m"), (11111, "3h05m")],
)
def test_durations_for_people(seconds, text):
    assert duration(seconds) == text


def test_bytes_are_shown_with_their_rate_and_the_time_left(clock, capsys):
    with Bar("downloading a", in_bytes=True) as bar:
        bar(500_000_000, 575_000_000)  # begun by an earlier process
        clock.now += 10
        bar(525_000_000, 575_000_000)
    assert capsys.readouterr().err == "downloading a 525 MB of 575 MB  2.5 MB/s  20s left\n"


def test_bytes_of_an_unknown_total_are_shown_now_and_then(clock, capsys):
    with Bar("downloading a", in_bytes=True) as bar:
        for done in range(11):
            bar(done * 1000, 0)
            clock.now += 1
    assert capsys.readouterr().err.splitlines() == ["downloading a 5.0 kB  1.0 kB/s", "downloading a 10 kB  1.0 kB/s"]


def test_a_terminal_shows_bytes_too(clock, monkeypatch):
    screen = Terminal()
    monkeypatch.setattr(progress.sys, "stderr", screen)
    with Bar("downloading a", in_bytes=True) as bar:
        bar(0, 2_000_000)
        bar(1_000_000, 2_000_000)
        bar(1_000_000, 0)
    assert "downloading a" in screen.getvalue() and "MB" in screen.getvalue()


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (84_000, "84 kB"), (999_999, "1.0 MB"), (4.2e12, "4200 GB")],
)
def test_byte_counts_are_short(count, text):
    assert byte_count(count) == text


def test_in_a_notebook_one_line_changes(clock, monkeypatch):
    stream = type("OutStream", (io.StringIO,), {"__module__": "ipykernel.iostream"})()
    monkeypatch.setattr("sys.stderr", stream)
    with Bar("work") as bar:
        clock.now += LINE_EVERY_S
        bar(1, 3, "a longer text")
        clock.now += LINE_EVERY_S
        bar(3, 3)
    shown = stream.getvalue()
    first, second = shown.removesuffix("\n").split("\r")[1:]
    assert first.startswith("work 1/3  a longer text") and second.rstrip() == "work 3/3"
    assert len(second) == len(first), "something of the longer line stays"
    assert shown.count("\n") == 1
