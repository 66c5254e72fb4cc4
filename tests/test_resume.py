"""A run that is killed or stopped at any moment ends as if nothing had happened."""

import os
import random
import signal
import time

import pytest
from runs import arguments, events, latest, make_pictures, metrics, quiet_train, start, wait_for_step, weights

from pixace.cli.main import main
from pixace.errors import PixaceError

ALL = {"dropout": 0.2, "flip": True, "accumulate": 2, "steps_per_epoch": 2, "n_samples": 1}
PLAIN = {**ALL, "optimizer": "adamw", "steps_per_epoch": 500, "n_samples": 0}
N_STEPS = 20


def same_metrics(run, other) -> None:
    """Both hold each step once, in order, with the same figures, in the lines and in TensorBoard."""
    lines, others = metrics(run), metrics(other)
    assert [line["step"] for line in lines] == list(range(1, N_STEPS + 1))
    for line in (*lines, *others):
        line.pop("pictures_per_second")
    assert lines == others
    found = events(run)
    for tag in found.Tags()["scalars"]:
        steps = [event.step for event in found.Scalars(tag)]
        assert steps == [line["step"] for line in others if tag in line or tag == "pictures_per_second"], tag
    for tag in ("samples", "completions"):
        assert [event.step for event in found.Images(tag)] == list(range(2, N_STEPS + 1, 2))


def test_killed_run_ends_bit_for_bit_like_one_never_killed(tmp_path):
    images, chance = make_pictures(tmp_path / "pictures"), random.Random(0)
    options = {**ALL, "optimizer": "muon", "n_steps": N_STEPS, "keep": 1}
    quiet_train("whole", tmp_path, images, **options)
    run, killed = tmp_path / "killed", []
    for _ in range(2):
        with start("killed", tmp_path, images, **options) as process:
            wait_for_step(process, run, latest(run) + 2)
            time.sleep(chance.uniform(0, 0.15))
            process.kill()
        killed.append(latest(run))
    assert killed[0] < N_STEPS  # so at least one kill came in the middle
    with start("killed", tmp_path, images, **options) as process:
        assert process.wait(60) == 0, process.stderr.read()
    assert weights(run) == weights(tmp_path / "whole")
    same_metrics(run, tmp_path / "whole")
    assert not list(run.glob(".pixace-*")) and latest(run) == N_STEPS


def test_signals_save_first_and_a_second_run_is_refused(tmp_path, capsys):
    images, run = make_pictures(tmp_path / "pictures"), tmp_path / "stopped"
    options = {**PLAIN, "n_steps": 800}
    with start("stopped", tmp_path, images, **options, save_minutes=0.001) as process:
        wait_for_step(process, run, 2)
        with pytest.raises(SystemExit) as ended:
            main(arguments("stopped", tmp_path, images, **options))
        assert ended.value.code == 1
        assert f"another run (process {process.pid}) is training in {run}" in capsys.readouterr().err
        process.send_signal(signal.SIGTERM)
        said = process.communicate(timeout=60)[1]
    assert process.returncode == 143
    assert f"stopped by SIGTERM after step {latest(run)}, saved" in said
    stopped = latest(run)
    assert metrics(run)[-1]["step"] == stopped < 800

    with start("stopped", tmp_path, images, **options, save_minutes=0.001) as process:
        wait_for_step(process, run, stopped + 2)
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert f"going on from step {stopped}" in said and f"stopped by SIGINT after step {latest(run)}, saved" in said
    assert "Traceback" not in said

    quiet_train("stopped", tmp_path, images, **options, save_minutes=10.0)
    quiet_train("whole", tmp_path, images, **options)
    assert [line["step"] for line in metrics(run)] == list(range(1, 801))
    assert weights(run) == weights(tmp_path / "whole")


def test_signal_before_the_first_step_leaves_a_run_that_can_begin_again(tmp_path, monkeypatch):
    from pixace.training import run as loop

    images = make_pictures(tmp_path / "pictures")
    monkeypatch.setattr(loop, "Plan", lambda *given: os.kill(os.getpid(), signal.SIGINT) or 1)
    with pytest.raises(KeyboardInterrupt):  # nothing is caught until there is something to save
        quiet_train("early", tmp_path, images, **PLAIN, n_steps=9)
    monkeypatch.undo()
    quiet_train("early", tmp_path, images, **PLAIN, n_steps=9)
    assert latest(tmp_path / "early") == 9


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT])
def test_signal_during_a_step_is_heeded_after_it(tmp_path, monkeypatch, signal_number):
    from pixace.training import run as loop

    images, real = make_pictures(tmp_path / "pictures"), loop.train_step

    def step(*given):
        os.kill(os.getpid(), signal_number)  # as if the step were being compiled
        return real(*given)

    monkeypatch.setattr(loop, "train_step", step)
    said = quiet_train("early", tmp_path, images, **PLAIN, n_steps=9)
    assert f"stopped by {signal.Signals(signal_number).name} after step 1, saved" in said[-1]
    assert latest(tmp_path / "early") == 1 and len(metrics(tmp_path / "early")) == 1


def test_failed_start_leaves_no_folder(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(PixaceError):
        quiet_train("none", tmp_path, tmp_path / "empty", n_steps=2)
    assert not (tmp_path / "none").exists()
