"""What goes wrong in a run is said in a line or two, and nothing that was saved is lost."""

import shutil
import subprocess
from functools import partial

import jax
import numpy as np
import pytest
import runs
from runs import contents, latest, make_pictures, metrics, weights

from pixace.checkpoints import StateStore, load_config, load_weights
from pixace.cli.main import main
from pixace.errors import PixaceError
from pixace.training import run as run_module
from pixace.training.states import abstract_state
from pixace.training.step import TrainState
from pixace.training.watch import LossWatch

STEP = {"optimizer": "adamw", "lr": 0.03}  # the same in nearly all runs, so that their step is compiled once
quiet_train, arguments = partial(runs.quiet_train, **STEP), partial(runs.arguments, **STEP)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return make_pictures(tmp_path_factory.mktemp("pictures") / "noise")


def fails(capsys, *given, **options) -> str:
    """The error of a command that ends with exit code 1: two lines at most and no traceback."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main(arguments(*given, **options))
    said = capsys.readouterr().err
    error = said[said.index("pixace train: ") :].strip()
    assert ended.value.code == 1 and "Traceback" not in said and error.count("\n") < 2, said
    return error


def broken_step(at: int, break_state):
    """`train_step` that breaks the state after some step; the figures of that step are still good."""
    real = run_module.train_step

    def step(model, config, implementation, state, tokens, total):
        done = int(state.step)
        state, figures = real(model, config, implementation, state, tokens, total)
        if done + 1 >= at:
            state = TrainState(state.step, break_state(state.parameters), state.optimizer, state.average)
        return state, figures

    return step


def assert_all_saved_is_finite(run) -> None:
    config = load_config(run)
    store = StateStore(run, keep=3)
    mesh = run_module.make_mesh(jax.local_devices()[:1])
    for step in store.steps():
        state, _ = store.restore(step, abstract_state(config, mesh))
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state)), step
    store.close()
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(load_weights(run, config.model)))


@pytest.mark.parametrize("options", [{"steps_per_epoch": 1}, {"steps_per_epoch": 5}, {"n_steps": 5}])
def test_nan_stops_the_run_and_is_never_saved(tmp_path, images, capsys, monkeypatch, options):
    """The loss of step 5 is good, the weights after it are not: whether or not they are due to be saved."""
    monkeypatch.setattr(run_module, "train_step", broken_step(5, lambda w: jax.tree.map(lambda x: x * np.nan, w)))
    options = {"n_steps": 9, "steps_per_epoch": 2, "ema": True, **options}
    error = fails(capsys, "nan", tmp_path, images, **options)
    run = tmp_path / "nan"
    if latest(run):
        assert f"the last good checkpoint is {run / 'checkpoints' / str(latest(run))}" in error
        assert_all_saved_is_finite(run)
    else:
        assert "nothing was saved yet" in error and not (run / "weights.safetensors").exists()
    assert latest(run) == {1: 4, 5: 0, 2: 4}[options["steps_per_epoch"]]
    monkeypatch.undo()
    quiet_train("nan", tmp_path, images, **{**options, "n_steps": 9})
    assert [line["step"] for line in metrics(run)] == list(range(1, 10))


def test_a_huge_learning_rate_stops_with_an_error(tmp_path, images, capsys):
    error = fails(capsys, "wild", tmp_path, images, n_steps=600, steps_per_epoch=50, lr=1e30, warmup_steps=1)
    assert "training stopped" in error and "lower --lr" in error


def test_a_jump_that_stays_names_a_checkpoint_from_before_it(tmp_path, images, capsys, monkeypatch):
    monkeypatch.setattr(LossWatch, "WINDOW", 40)
    at = LossWatch.WINDOW + 60
    shuffle = broken_step(at, lambda w: jax.tree.map(lambda x: np.flip(x, axis=0) * 2, w))
    monkeypatch.setattr(run_module, "train_step", shuffle)
    options = {"n_steps": 300, "steps_per_epoch": 20}
    error = fails(capsys, "jump", tmp_path, make_pictures(tmp_path / "easy", 4, smooth=True), **options)
    assert "and stayed there" in error or "the loss jumped" in error
    assert f"checkpoints/{latest(tmp_path / 'jump')}; " in error and latest(tmp_path / "jump") < at


def test_disk_that_fills_up_leaves_what_was_saved(tmp_path, images, capsys):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("needs the right to mount a small disk")
    try:
        options = {"n_steps": 20, "steps_per_epoch": 2, "ema": True}
        for _ in range(2):  # and again with the disk full from the start
            error = fails(capsys, "full", disk, images, **options)
            assert "disk is full" in error or "No space left on device" in error
            saved = latest(disk / "full")
            assert saved >= 2
            assert_all_saved_is_finite(disk / "full")
        shutil.copytree(disk / "full", tmp_path / "roomy")
        said = quiet_train("roomy", tmp_path, images, **options)
        assert any(f"going on from step {saved}," in line for line in said)
        quiet_train("whole", tmp_path, images, **options)
        assert weights(tmp_path / "roomy") == weights(tmp_path / "whole")
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def test_folder_that_cannot_be_written_is_a_clear_error(tmp_path, images, capsys):
    (tmp_path / "file").write_text("")
    assert f"cannot write the model's folder {tmp_path / 'file'}" in fails(capsys, "file", tmp_path, images, n_steps=2)
    assert "cannot write" in fails(capsys, "run", tmp_path / "file", images, n_steps=2)
    disk = tmp_path / "read_only"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("the rest needs the right to mount")
    try:
        assert "Read-only file system" in fails(capsys, "run", disk, images, n_steps=2)
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def test_broken_pictures_are_counted_listed_and_left_out(tmp_path):
    images = make_pictures(tmp_path / "pictures", 12)
    for i in range(7):
        (images / f"broken{i}.png").write_bytes((images / "000.png").read_bytes()[:40])
    (images / "notes.txt").write_text("not a picture")
    said = quiet_train("run", tmp_path, images, n_steps=2)
    log = (tmp_path / "run" / "skipped.txt").read_text().splitlines()
    assert any("left out: 7" in line for line in said) and len(log) == 7
    assert all(f"broken{i}.png" in line for i, line in enumerate(log))
    assert any("12 pictures" in line for line in said) and sum(".png: " in line for line in said) == 5
    assert latest(tmp_path / "run") == 2


def test_damaged_config_and_torn_metrics(tmp_path, images, capsys):
    quiet_train("run", tmp_path, images, n_steps=4, steps_per_epoch=2)
    run, given = tmp_path / "run", {"n_steps": 6, "steps_per_epoch": 2}
    file = run / "metrics.jsonl"
    file.write_text(file.read_text()[:-20])
    quiet_train("run", tmp_path, images, **given)
    assert [line["step"] for line in metrics(run)] == [1, 2, 3, 5, 6]  # only the damaged line is lost
    config = (run / "config.json").read_text()
    for text in (config[:300], "", "[]", "{}"):
        (run / "config.json").write_text(text)
        before = contents(run)
        with pytest.raises(PixaceError, match=r"config.json"):
            quiet_train("run", tmp_path, images, **given)
        assert contents(run) == before


def test_what_a_killed_writer_left_is_removed(tmp_path, images):
    quiet_train("run", tmp_path, images, n_steps=2)
    (tmp_path / "run" / ".pixace-123-abc.safetensors").write_bytes(b"half")
    quiet_train("run", tmp_path, images, n_steps=4)
    assert not list((tmp_path / "run").glob(".pixace-*"))
