"""`pixace train --engine=trax`: Trax's loop learns on our data, stops and goes on, and its steps are ours."""

import json
import os
import signal
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from small import config_of, our_log_probs, tokens_of, trax_log_probs

import pixace
from pixace.checkpoints import load_config, load_weights
from pixace.config import TrainConfig
from pixace.errors import ConfigError, PixaceError
from pixace.models.spec import init_parameters, named
from pixace.training.optimizers import learning_rate
from pixace.training.step import init_state, train_step
from pixace.trax_engine.loop import TraxLoop
from pixace.trax_engine.models import initialise, make_model, tree_of

BOTH = ["transformer", "reformer"]
STEPS, FACTOR = 30, 2.0


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Colour ramps of 6 x 6 pixels, which a small model can learn."""
    folder, random = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    for i in range(16):
        ramp = np.linspace(*random.integers(0, 256, (2, 1, 3)), 6).astype(np.uint8).repeat(6, 1)
        Image.fromarray(ramp).save(folder / f"{i:02d}.png")
    return folder


def options_of(model_type, images, **changes):
    return {
        "engine": "trax",
        "model_type": model_type,
        "images": images,
        "val_fraction": 0.25,
        "image_size": 6,
        "bitdepth": (2, 2, 2),
        "d_model": 32,
        "n_layers": 2,
        "n_heads": 2,
        "batch_size": 4,
        "lr": FACTOR,
        "n_steps": STEPS,
        "steps_per_epoch": STEPS,
        "steps_per_eval": STEPS,
        "n_samples": 2,
        **changes,
    }


@pytest.fixture(scope="module", params=BOTH)
def trained(request, trax, images, tmp_path_factory):
    """A run without interruption: its options and folder."""
    options, home = options_of(request.param, images), tmp_path_factory.mktemp(request.param)
    said: list[str] = []
    assert pixace.train("whole", home, say=said.append, **options).step == STEPS
    assert any("Trax" in line for line in said)
    return options, home / "whole"


def figures(folder) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_loss_falls_and_the_folder_is_that_of_any_run(trained):
    _, folder = trained
    lines = figures(folder)
    assert [line["step"] for line in lines] == list(range(1, STEPS + 1))
    assert lines[-1]["loss"] < lines[0]["loss"] - 0.5
    assert lines[-1]["val_loss"] < lines[0]["loss"] - 0.5
    assert lines[3]["learning_rate"] == pytest.approx(FACTOR * 4 / 400 / 20)
    sheets = sorted(p.stem for p in (folder / "samples").iterdir())
    assert sheets == [f"completions-{STEPS:08d}", f"samples-{STEPS:08d}"]
    assert (folder / "checkpoints" / str(STEPS)).is_dir() and list(folder.glob("events*"))
    saved = load_config(folder)
    assert (saved.model.arch, saved.training.engine, saved.training.optimizer) == ("trax", "trax", "source")


def test_a_stopped_run_goes_on_as_if_it_had_not_been(trained):
    options, folder = trained

    def stop_at_5(done, total, text=""):
        if done == 5:
            os.kill(os.getpid(), signal.SIGTERM)

    first = pixace.train("parts", folder.parent, say=lambda line: None, progress=stop_at_5, **options)
    assert first.signal == signal.SIGTERM and 5 <= first.step < STEPS
    second = pixace.train("parts", folder.parent, say=lambda line: None, **options)
    assert second.step == STEPS
    whole, parts = (folder.parent / name for name in ("whole", "parts"))
    assert (parts / "weights.safetensors").read_bytes() == (whole / "weights.safetensors").read_bytes()
    assert [line["loss"] for line in figures(parts)] == [line["loss"] for line in figures(whole)]


def test_training_begins_from_given_weights(trained):
    options, folder = trained
    given = {**options, "checkpoint": folder, "n_steps": 1, "n_samples": 0}
    for name in ("image_size", "bitdepth", "d_model", "n_layers", "n_heads"):
        given.pop(name)
    pixace.train("tuned", folder.parent, say=lambda line: None, **given)
    before, after = (named(load_weights(f, load_config(f).model)) for f in (folder, folder.parent / "tuned"))
    for name, weight in after.items():  # one small step away from them
        np.testing.assert_allclose(weight, before[name], atol=1e-3, err_msg=name)
    assert figures(folder.parent / "tuned")[0]["loss"] < figures(folder)[0]["loss"] - 0.5


def test_the_saved_weights_are_those_of_trax(trained):
    _, folder = trained
    config = load_config(folder).model
    parameters, tokens = load_weights(folder, config), tokens_of(config, 2)
    judge = make_model(config, "eval")
    initialise(judge, 2, config.n_positions)
    judge.weights = tree_of(parameters, config, judge.weights)
    np.testing.assert_allclose(
        our_log_probs(parameters, config, tokens), trax_log_probs(judge, tokens), atol=1e-4, rtol=0
    )


@pytest.mark.parametrize("model_type", BOTH)
def test_our_steps_with_the_source_optimizer_equal_those_of_trax(trax, model_type):
    off = dict.fromkeys(("dropout", "attention_dropout", "position_dropout", "output_dropout"), 0.0)
    config = config_of(model_type, **off)
    training = TrainConfig(optimizer="source", clip=0.0, ema=False, lr=1.0, batch_size=4)
    total, batches = jnp.int32(3), [tokens_of(config, 4, seed) for seed in range(3)]
    coming = iter(batches)
    rate = lambda step: float(learning_rate(training, jnp.int32(step - 1), total))  # noqa: E731
    loop = TraxLoop(config, 4, 0, lambda: next(coming), rate)
    parameters = init_parameters(config, jax.random.key(0))
    start = {name: np.array(leaf) for name, leaf in named(parameters).items()}
    loop.parameters = parameters
    state = init_state(config, training, parameters)
    for i, batch in enumerate(batches):
        state, ours = train_step(config, training, "blocks", state, jnp.asarray(batch), total)
        loss, norm, _ = map(float, loop.step())
        assert float(ours[0]) == pytest.approx(loss, abs=1e-5)
        assert float(ours[3]) == pytest.approx(norm, rel=1e-4)
        theirs = named(loop.parameters)
        for name, leaf in named(state.parameters).items():
            # a key bias changes nothing, so that rounding alone moves it: 1e-7 is far below any other weight's step
            moved = np.abs(theirs[name] - start[name]).max()
            assert moved > 0, name
            np.testing.assert_allclose(
                leaf, theirs[name], atol=0.02 * moved + 1e-7, rtol=0, err_msg=f"{name}, step {i + 1}"
            )


def test_several_devices_are_refused(trax, monkeypatch):
    monkeypatch.setattr(jax, "local_device_count", lambda: 4)
    with pytest.raises(PixaceError, match="all 4"):
        TraxLoop(config_of("transformer"), 4, 0, lambda: None, lambda step: 0.1)


def test_going_on_with_the_other_engine_is_refused(trained):
    options, folder = trained
    with pytest.raises(ConfigError, match="--engine=trax, now it is jax"):
        pixace.train("whole", folder.parent, **{**options, "engine": "jax"})


def test_the_command_keeps_the_terminal_clean(trax, images, tmp_path):
    given = {**options_of("transformer", images, n_layers=1, n_steps=3, n_samples=0, bitdepth="2,2,2"), "device": "cpu"}
    flags = [f"--{name}={value}" for name, value in given.items()]
    place = [f"--weights_dir={tmp_path}", "--model_name=tiny"]
    train = [sys.executable, "-m", "pixace.cli.main", "train", *place, *flags]
    done = subprocess.run(train, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    begins = ("loading Trax", "device:", "steps by Trax", "transformer of", "loss at step 0", "training ", "done: 3")
    assert not [line for line in done.stderr.splitlines() if not line.startswith(begins)]
