"""Runs learn, and what they show of it is the same everywhere."""

import json
import math

import numpy as np
import pytest
from runs import OPTIONS, arguments, events, make_pictures, metrics, quiet_train

from pixace.checkpoints import StateStore, load_config, load_weights
from pixace.cli.main import main
from pixace.config import ModelOptions, RunConfig, TokenizerConfig, TrainConfig
from pixace.dataset import load_tokens
from pixace.training import run as run_module
from pixace.training.check import check
from pixace.training.states import abstract_state
from pixace.training.validation import mean_figures

SCALARS = {"loss", "bits_per_pixel", "accuracy", "picture_accuracy", "learning_rate", "gradient_norm"}
SCALARS |= {"pictures_per_second"}
VALIDATED = {"val_loss", "val_bits_per_pixel", "val_accuracy", "val_picture_accuracy"}
LN_V = math.log(66)


def small_config() -> RunConfig:
    tokenizer = TokenizerConfig(image_size=8, bitdepth=(2, 2, 2))
    model = ModelOptions(model_type="transformer", d_model=16, n_layers=1, n_heads=2).build(tokenizer)
    return RunConfig(tokenizer, model, TrainConfig())


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return make_pictures(tmp_path_factory.mktemp("pictures") / "ramps", 24, smooth=True)


@pytest.fixture(scope="module")
def learnt(tmp_path_factory, images):
    folder = tmp_path_factory.mktemp("learnt")
    options = {"n_steps": 100, "steps_per_epoch": 50, "lr": 0.01, "batch_size": 8, "n_samples": 2, "val_fraction": 0.25}
    said = quiet_train("run", folder, images, **options)
    return folder / "run", said


def test_average_is_not_worse_than_the_last_weights(learnt, images):
    run, _ = learnt
    config = load_config(run)
    store, mesh = StateStore(run, keep=3), run_module.make_mesh(run_module.jax.local_devices()[:1])
    state, _ = store.restore(100, abstract_state(config, mesh))
    store.close()
    tokens = load_tokens(images, config.tokenizer).tokens
    losses = [
        mean_figures(weights, config.model, "blocks", mesh, tokens, 8)[0]
        for weights in (load_weights(run, config.model), state.parameters)
    ]
    assert losses[0] <= losses[1] * 1.02 < 0.7 * LN_V


def test_loss_at_step_0_is_said_beside_that_of_knowing_nothing(learnt):
    run, said = learnt
    first = metrics(run)[0]["loss"]
    assert f"loss at step 0: {first:.3f} nats a token (ln V = {LN_V:.3f})" in said
    assert first == pytest.approx(LN_V, abs=0.05)


def test_metrics_and_tensorboard_hold_the_same(learnt):
    run, _ = learnt
    lines, found = metrics(run), events(run)
    assert [set(line) - {"step"} for line in lines[4::5]] == [SCALARS | VALIDATED] * 20
    assert set(lines[0]) - {"step"} == SCALARS
    assert set(found.Tags()["scalars"]) == SCALARS | VALIDATED
    for tag in SCALARS | VALIDATED:
        values = [(event.step, event.value) for event in found.Scalars(tag)]
        assert values == [(line["step"], pytest.approx(line[tag], rel=1e-6)) for line in lines if tag in line], tag
    for line in lines:
        assert line["bits_per_pixel"] == pytest.approx(line["loss"] / math.log(2))
    text = found.Tensors("config/text_summary")[0].tensor_proto.string_val[0].decode()
    assert json.loads(text) == json.loads((run / "config.json").read_text())


def test_each_epoch_shows_samples_and_completions(learnt):
    run, _ = learnt
    for tag in ("samples", "completions"):
        assert [event.step for event in events(run).Images(tag)] == [50, 100]
        assert sorted(p.name for p in (run / "samples").glob(f"{tag}-*")) == [
            f"{tag}-{step:08d}.png" for step in (50, 100)
        ]


def test_validation_counts_each_picture_once(images):
    config = small_config()
    tokens = np.asarray(load_tokens(images, config.tokenizer).tokens)
    mesh = run_module.make_mesh(run_module.jax.local_devices()[:1])
    parameters = run_module.first_state(config, mesh).parameters
    whole = mean_figures(parameters, config.model, "blocks", mesh, tokens[:7], 7)
    assert mean_figures(parameters, config.model, "blocks", mesh, tokens[:7], 3) == pytest.approx(whole, rel=1e-5)


@pytest.mark.subset
def test_check_says_that_a_sound_pipeline_learns(tmp_path, images, capsys):
    options = {name: value for name, value in OPTIONS.items() if name != "n_samples"} | {"d_model": 32}
    assert check(tmp_path, images=str(images), **options, lr=0.01)
    assert capsys.readouterr().out.startswith("the model learns: loss")
    assert not list(tmp_path.iterdir())


def test_check_says_that_a_run_that_cannot_learn_does_not(tmp_path, images, capsys):
    with pytest.raises(SystemExit) as ended:
        main([*arguments("run", tmp_path / "models", images, lr=1e-9), "--check"])
    assert ended.value.code == 1
    assert "NOT shown" in capsys.readouterr().out
    assert not (tmp_path / "models").exists()
