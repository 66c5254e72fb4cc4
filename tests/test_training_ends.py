"""How long a run is, how it ends, how it goes on, and what it begins with."""

import dataclasses
import math
import shutil
from functools import partial
from types import SimpleNamespace

import pytest
import runs
from runs import OPTIONS, contents, latest, make_pictures, metrics, weights
from tiny import tiny_config, tiny_parameters

from pixace.checkpoints import load_config, save_config, save_weights, weights_step
from pixace.cli.main import main
from pixace.config import RunConfig, TokenizerConfig, TrainConfig
from pixace.errors import ConfigError, PixaceError
from pixace.training import plan as plan_module
from pixace.training import run as run_module
from pixace.training.loop import train
from pixace.training.plan import Plan

SHORT = {"n_steps": 5, "steps_per_epoch": 2}
STEP = {"optimizer": "adamw", "lr": 0.01}  # the same in all runs, so that their step is compiled once
quiet_train, arguments = partial(runs.quiet_train, **STEP), partial(runs.arguments, **STEP)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return make_pictures(tmp_path_factory.mktemp("pictures") / "noise")


@pytest.fixture(scope="module")
def finished(tmp_path_factory, images):
    folder = tmp_path_factory.mktemp("finished")
    quiet_train("run", folder, images, **SHORT)
    return folder / "run"


@pytest.fixture
def run(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "run")


@pytest.mark.subset
def test_last_step_is_saved_and_the_same_command_changes_nothing(run, images, capsys):
    assert latest(run) == weights_step(run) == metrics(run)[-1]["step"] == 5
    before = contents(run)
    with pytest.raises(SystemExit) as ended:
        main(arguments("run", run.parent, images, **SHORT))
    said = capsys.readouterr().err
    assert ended.value.code == 0
    assert f"{run} is trained already: 5 steps in" in said and "give a larger --n_steps to go on" in said
    assert contents(run) == before


def test_larger_n_steps_goes_on_and_wins_over_epochs(run, images):
    said = quiet_train("run", run.parent, images, **{**SHORT, "n_steps": 8}, n_epochs=1)
    assert any("going on from step 5, 3 steps to go" in line for line in said)
    assert latest(run) == 8 and [line["step"] for line in metrics(run)] == list(range(1, 9))
    training = load_config(run).training
    assert training is not None and training.n_steps == 8


def test_a_finished_run_needs_no_pictures(images, tmp_path):
    gone = tmp_path / "gone"
    shutil.copytree(images, gone)
    quiet_train("other", tmp_path, gone, **SHORT)
    shutil.rmtree(gone)
    assert "trained already" in quiet_train("other", tmp_path, gone, **SHORT)[-1]


def test_contradictions_say_both_values(run, images):
    with pytest.raises(ConfigError, match=r"--d_model=32 contradicts .*d_model=16"):
        quiet_train("run", run.parent, images, **{**SHORT, "d_model": 32})
    with pytest.raises(ConfigError, match=r"started with --batch_size=4, now it is 8"):
        quiet_train("run", run.parent, images, **{**SHORT, "batch_size": 8})


def test_checkpoint_starts_from_its_weights_sizes_and_bits(tmp_path):
    few = make_pictures(tmp_path / "few", 4)  # one batch, so that the first step sees what was validated on
    quiet_train("source", tmp_path, few, n_steps=40, steps_per_epoch=40)
    source = metrics(tmp_path / "source")
    given = {"batch_size": 4, "n_samples": 0}  # no sizes
    said = _train_bare("fresh", tmp_path, few, **given, n_steps=2, checkpoint=str(tmp_path / "source"))
    assert any("starting from the weights of" in line for line in said)
    first = metrics(tmp_path / "fresh")[0]["loss"]
    assert first == pytest.approx(source[-1]["val_loss"], abs=1e-4) and first < math.log(66) - 0.1
    assert any(f"loss at step 0: {first:.3f}" in line for line in said)
    assert load_config(tmp_path / "fresh").model == load_config(tmp_path / "source").model
    with pytest.raises(ConfigError, match=r"--d_model=32 contradicts .*source.*d_model=16"):
        _train_bare("other", tmp_path, few, **given, n_steps=2, checkpoint="source", d_model=32)
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(("attention", "window"), [("full", 0), ("local", 18), ("lsh", 18)])
def test_checkpoint_goes_on_at_another_size(images, tmp_path, attention, window):
    """Positions that turn with rows and columns have no weights, so what was learned on small pictures serves."""
    options = {"n_steps": 20, "attention": attention}
    quiet_train("small", tmp_path, images, **options, **({"window": 12} if window else {}))
    given = {"batch_size": 4, "n_samples": 0, "n_steps": 1, "checkpoint": str(tmp_path / "small")}
    _train_bare("large", tmp_path, images, **given, image_size=12)
    small, large = load_config(tmp_path / "small"), load_config(tmp_path / "large")
    assert (large.tokenizer.image_size, large.model.height, large.model.width) == (12, 12, 12)
    assert large.model.window == window  # as many rows as before
    assert dataclasses.replace(large.model, height=8, width=8, window=small.model.window) == small.model
    assert metrics(tmp_path / "large")[0]["loss"] < math.log(66) - 0.1  # nothing learned would be ln 66
    with pytest.raises(ConfigError, match="bitdepth"):
        _train_bare("other", tmp_path, images, **given, image_size=12, bitdepth=(3, 2, 2))


def test_checkpoint_with_learned_positions_keeps_its_size(images, tmp_path):
    tokenizer = TokenizerConfig(image_size=OPTIONS["image_size"], bitdepth=OPTIONS["bitdepth"])
    model = tiny_config("trax", tokenizer=tokenizer, d_model=16, n_layers=1)
    save_config(tmp_path / "small", RunConfig(tokenizer, model, None))
    save_weights(tmp_path / "small", tiny_parameters(model), step=1)
    with pytest.raises(ConfigError, match=r"--image_size=12 contradicts .*small.*image_size=8"):
        _train_bare("large", tmp_path, images, n_steps=1, checkpoint=str(tmp_path / "small"), image_size=12)
    assert not (tmp_path / "large").exists()


def _train_bare(name, folder, images, **options) -> list[str]:
    said: list[str] = []
    train(name, folder, images=str(images), say=said.append, **{**STEP, **options})
    return said


@pytest.fixture
def clock(monkeypatch):
    """The time that a plan sees, in seconds: each step takes a tenth, the first one more."""
    now, real = [0.0], run_module.train_step

    def step(*given):
        now[0] += 0.1 if now[0] else 5.0
        return real(*given)

    monkeypatch.setattr(run_module, "train_step", step)
    monkeypatch.setattr(plan_module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


def test_max_minutes_ends_the_run_with_the_schedule(tmp_path, images, clock):
    options = {"max_minutes": 0.5, "steps_per_epoch": 100}
    quiet_train("timed", tmp_path, images, **options)
    run, lines = tmp_path / "timed", metrics(tmp_path / "timed")
    rates = [line["learning_rate"] for line in lines]
    assert max(rates) > 0.009 and rates[-1] < 0.001 * max(rates)
    assert latest(run) == lines[-1]["step"] == len(lines) == pytest.approx(250, abs=2)
    before = contents(run)
    said = quiet_train("timed", tmp_path, images, **options)
    assert "trained already" in said[-1] and "--max_minutes" in said[-1]
    assert contents(run) == before
    quiet_train("timed", tmp_path, images, **{**options, "max_minutes": 10.0, "n_steps": len(lines) + 3})
    assert latest(run) == len(lines) + 3  # whichever comes first


def test_too_few_minutes_still_make_a_model(tmp_path, images):
    quiet_train("timed", tmp_path, images, max_minutes=1e-6)
    assert latest(tmp_path / "timed") == 1 and weights(tmp_path / "timed")


def test_plan_follows_the_pace_of_the_run(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(plan_module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    config = TrainConfig(max_minutes=10.0)
    plan, step = Plan(config, {}), 0
    plan.begin()
    while step < plan.total and plan.minutes_left > 0:
        step += 1
        now[0] += 30 if step == 1 else 0.1 if step < 1000 else 0.2  # compiles; then runs half as fast
        now[0] += 5 if step % 500 == 0 else 0  # a sample sheet
        plan.see(step)
    assert step == pytest.approx(plan.total, rel=0.02) and plan.minutes == pytest.approx(10, rel=0.02)
    facts = {name: value for name, value in plan.facts().items() if value is not None}
    assert Plan(config, facts).finished(step)
    assert not Plan(TrainConfig(max_minutes=20.0), facts).finished(step)
    assert Plan(config, {**facts, "minutes": 5.0}).finished(plan.total)  # as long as was planned, though it was quicker
    assert not Plan(TrainConfig(n_steps=step + 1), facts).finished(step)


def test_a_run_that_saved_nothing_may_begin_again_with_other_values(tmp_path):
    images = make_pictures(tmp_path / "images")
    with pytest.raises(PixaceError, match="lower --lr"):
        quiet_train("a", tmp_path, images, n_steps=30, lr=1e30)
    quiet_train("a", tmp_path, images, n_steps=3)
    assert latest(tmp_path / "a") == 3


def test_reading_the_pictures_is_no_training_time(tmp_path, images, clock, monkeypatch):
    original = run_module.load_pictures

    def slow(*arguments):
        clock[0] += 3600.0
        return original(*arguments)

    monkeypatch.setattr(run_module, "load_pictures", slow)
    quiet_train("a", tmp_path, images, max_minutes=0.05)
    assert latest(tmp_path / "a") == pytest.approx(30, abs=2)


def test_sheets_that_cannot_be_drawn_cost_no_checkpoint(tmp_path, monkeypatch):
    def fail(*arguments):
        raise RuntimeError("RESOURCE_EXHAUSTED: out of memory")

    monkeypatch.setattr("pixace.training.run.draw_previews", fail)
    said = quiet_train("a", tmp_path, make_pictures(tmp_path / "images"), n_steps=2, n_samples=1)
    assert latest(tmp_path / "a") == 2
    assert any("--n_samples=0" in line for line in said)


def test_validation_pictures_inside_the_training_folder_are_not_trained_on(tmp_path):
    images = make_pictures(tmp_path / "images", count=6)
    make_pictures(images / "val", count=3)
    said = quiet_train("a", tmp_path, images, n_steps=1, val_images=str(images / "val"))
    assert any("6 pictures" in line for line in said)
