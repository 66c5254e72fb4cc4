"""The guards around a run: the lock of its folder, stop signals, and the watch over the loss."""

import math
import os
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

from pixace.errors import PixaceError
from pixace.training.watch import Diverged, FolderLock, LossWatch, StopSignals

LN_V = math.log(66)


def watch_all(losses, gradient_norm=1.0) -> int:
    """The step at which the watch raised, 0 if it did not."""
    watch = LossWatch(LN_V)
    for step, loss in enumerate(losses, 1):
        try:
            watch.see(step, float(loss), gradient_norm)
        except Diverged:
            return step
    return 0


def memorising(steps: int, seed: int = 0) -> np.ndarray:
    """From ln V down to almost nothing, with noise in proportion and in addition."""
    random = np.random.default_rng(seed)
    return LN_V * np.exp(-np.arange(steps) / 200) * random.lognormal(0, 0.2, steps) + 0.02 * random.random(steps)


def test_watch_lets_spikes_that_recover_pass():
    losses = memorising(5000)
    for at in range(500, 5000, 450):
        losses[at : at + 100] += 5.0 * np.exp(-np.arange(100) / 25)
    losses[3000] = 20.0
    assert watch_all(losses) == 0


@pytest.mark.parametrize("share", [0.05, 0.5, 0.8])
def test_watch_lets_pictures_of_very_different_difficulty_pass(share):
    random = np.random.default_rng(1)
    hard = random.random(30_000) < share  # one picture a step: either almost empty or noise
    assert watch_all(np.where(hard, 0.9 * LN_V, 0.01)) == 0


def test_watch_lets_a_plateau_and_a_start_above_ln_v_pass():
    random = np.random.default_rng(2)
    assert watch_all(LN_V + 0.3 * random.standard_normal(3000)) == 0
    assert watch_all(LN_V + 2 * np.exp(-np.arange(3000) / 300) + 0.2 * random.standard_normal(3000)) == 0
    assert watch_all(0.8 * LN_V + 0.4 * random.standard_normal(20_000)) == 0


@pytest.mark.subset
@pytest.mark.parametrize("jump", [LN_V, 0.8 * LN_V, 3 * LN_V])
def test_watch_stops_at_a_jump_that_stays(jump):
    losses = memorising(2000)
    losses[1000:] = jump + 0.1 * np.random.default_rng(3).standard_normal(1000)
    assert 1000 < watch_all(losses) <= 1000 + LossWatch.WINDOW


def test_watch_stops_at_a_run_that_only_got_worse():
    assert 0 < watch_all([LN_V, 6, 8, *[11.0] * 400]) <= 2 * LossWatch.WINDOW


def test_watch_stops_at_once_at_nan_and_at_an_absurd_loss():
    assert watch_all([4, 3, math.nan, 3]) == 3
    assert watch_all([4, 3, math.inf]) == 3
    assert watch_all([4, 3, 1000.0]) == 3
    assert watch_all([4, 3], gradient_norm=math.nan) == 1


def test_watch_is_not_calm_at_the_start_of_a_jump():
    watch = LossWatch(LN_V)
    for step, loss in enumerate(memorising(1000), 1):
        watch.see(step, loss, 1.0)
        assert step <= LossWatch.WINDOW or watch.calm(step, loss)
    assert not watch.calm(1000, LN_V)
    with pytest.raises(Diverged):
        watch.calm(1000, math.nan)


def test_lock_names_its_owner_and_ends_with_it(tmp_path):
    code = "import sys, pathlib; from pixace.training.watch import FolderLock as L;"
    code += "lock = L(pathlib.Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], **pipes) as process:
        process.stdout.readline()
        with pytest.raises(PixaceError, match=f"process {process.pid}.*{tmp_path}"):
            FolderLock(tmp_path)
        process.kill()
    FolderLock(tmp_path).release()
    FolderLock(tmp_path).release()


def test_lock_is_not_of_a_file_that_its_owner_removed(tmp_path, monkeypatch):
    """Between our opening the file and locking it, the first owner may remove the whole folder."""
    folder, real = tmp_path / "run", FolderLock._take

    def take(self, where):
        if not hasattr(take, "done"):
            take.done = True
            (folder / ".lock").unlink()
            folder.rmdir()
        real(self, where)

    monkeypatch.setattr(FolderLock, "_take", take)
    lock = FolderLock(folder)
    with pytest.raises(PixaceError, match=f"process {os.getpid()}"):
        FolderLock(folder)
    lock.release()


def test_lock_where_a_file_stands_is_a_clear_error(tmp_path):
    (tmp_path / "run").write_text("")
    with pytest.raises(PixaceError, match="cannot write the model's folder"):
        FolderLock(tmp_path / "run")


def test_first_signal_is_noted_and_the_second_acts():
    before = signal.getsignal(signal.SIGINT)
    with StopSignals() as signals:
        os.kill(os.getpid(), signal.SIGINT)
        assert signals.caught == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_signals_outside_the_main_thread_are_left_alone():
    def use() -> None:
        with StopSignals() as signals:
            found.append(signals.caught)

    found: list = []
    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert found == [None]
