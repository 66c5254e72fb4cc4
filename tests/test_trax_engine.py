"""`--engine=trax` where Trax is not installed, and what it allows; tests_trax compares it with Trax itself."""

import dataclasses
import importlib.util
from pathlib import Path

import jax
import pytest
from runs import make_pictures
from tiny import TOKENIZER, tiny_config

from pixace.checkpoints import save_config, save_weights
from pixace.cli.main import main
from pixace.config import ENGINES, ModelOptions, RunConfig, TokenizerConfig, TrainConfig
from pixace.errors import ConfigError
from pixace.models.spec import init_parameters
from pixace.sampling.model import load
from pixace.training.settings import resolve
from pixace.trax_engine.options import FIXED, check_model


@pytest.fixture
def no_trax(monkeypatch):
    """As on a machine without Trax, whatever is installed here."""
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "trax" else find(name, *rest))


@pytest.fixture
def images(tmp_path) -> Path:
    return make_pictures(tmp_path / "images", 8)


def make_model(folder: Path, arch: str, **training) -> Path:
    """A folder that holds a small model, with initial weights."""
    tokenizer = TokenizerConfig(bitdepth=(2, 2, 2), image_size=8)
    model = ModelOptions("transformer", arch, d_model=16, n_layers=1, n_heads=2).build(tokenizer)
    folder.mkdir()
    save_config(folder, RunConfig(tokenizer, model, TrainConfig(**training) if training else None))
    save_weights(folder, init_parameters(model, jax.random.key(0)), 1)
    return folder


def failure(arguments: list[str], capsys) -> tuple[int, list[str]]:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    code = ended.value.code
    assert isinstance(code, int)
    return code, [line for line in capsys.readouterr().err.splitlines() if not line.startswith("device:")]


def new_run(**given) -> RunConfig:
    return resolve(None, {"images": "anywhere", "engine": "trax", **given}, Path("nowhere"))[0]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("model_type", ["transformer", "reformer"])
def test_dropout_of_given_weights_changes_all_the_rates_that_belong_together(tmp_path, engine, model_type):
    config = tiny_config("trax", model_type)
    save_config(tmp_path / "given", RunConfig(TOKENIZER, config))
    given = {"images": "anywhere", "checkpoint": "given", "dropout": 0.3, "engine": engine}
    changed = resolve(None, given, tmp_path)[0].model
    rates = ("dropout", "attention_dropout", "position_dropout", "output_dropout")
    assert changed == dataclasses.replace(config, **{name: 0.3 for name in rates if getattr(config, name)})
    assert changed.attention_dropout == 0.3


def test_training_without_trax_says_how_to_install_it_and_leaves_nothing(no_trax, images, tmp_path, capsys):
    flags = [f"--images={images}", f"--weights_dir={tmp_path / 'models'}", "--model_name=new", "--image_size=8"]
    code, lines = failure(["train", "--engine=trax", *flags], capsys)
    assert code == 1 and len(lines) == 1
    assert lines[0].startswith("pixace train: --engine=trax needs Trax") and "pip install '.[trax]'" in lines[0]
    assert not (tmp_path / "models" / "new").exists()


def test_predicting_without_trax_says_how_to_install_it(no_trax, tmp_path, capsys):
    make_model(tmp_path / "small", "trax")
    flags = [f"--weights_dir={tmp_path}", "--model_name=small", f"--out={tmp_path / 'out.png'}"]
    code, lines = failure(["predict", "--engine=trax", *flags], capsys)
    assert code == 1 and len(lines) == 1
    assert lines[0].startswith("pixace predict: --engine=trax needs Trax") and "pip install '.[trax]'" in lines[0]
    assert not (tmp_path / "out.png").exists()


def test_the_saved_configuration_says_what_trax_does():
    config = new_run()
    assert (config.model.arch, config.model.dropout, config.model.attention) == ("trax", 0.1, "full")
    training = config.training
    assert training is not None
    found = {name: getattr(training, name) for name in FIXED if hasattr(training, name)}
    expected = dict(optimizer="source", weight_decay=1e-5, clip=0.0, accumulate=1, ema=False)
    assert (training.engine, found) == ("trax", expected)


@pytest.mark.parametrize(
    "given, values",
    [
        ({"arch": "base"}, "arch=trax only, not base"),
        ({"attention": "local"}, "attention=full only, not local"),
        ({"dtype": "bfloat16"}, "dtype=float32 only, not bfloat16"),
        ({"optimizer": "muon"}, "optimizer=source only, not muon"),
        ({"weight_decay": 0.1}, "weight_decay=1e-05 only, not 0.1"),
        ({"clip": 1.0}, "clip=0.0 only, not 1.0"),
        ({"accumulate": 2}, "accumulate=1 only, not 2"),
        ({"ema": True}, "ema=False only, not True"),
        ({"residual": "remat", "model_type": "transformer"}, "residual=remat"),
    ],
)
def test_what_trax_has_no_counterpart_of_is_refused(given, values):
    with pytest.raises(ConfigError, match=values):
        new_run(**given)
    name = next(iter(given))
    if name in FIXED:  # its own value may be given
        assert new_run(**{name: FIXED[name]}) == new_run()


def test_options_that_only_change_data_or_the_learning_rate_are_free():
    config = new_run(flip=True, schedule="cosine", lr=0.01, warmup_steps=3, dropout=0.0, batch_size=2)
    assert config.training is not None and config.training.flip and config.training.schedule == "cosine"
    assert config.model.dropout == config.model.attention_dropout == 0.0


def test_a_run_of_our_engine_does_not_go_on_with_trax(tmp_path):
    folder = make_model(tmp_path / "ours", "trax", images="anywhere")
    with pytest.raises(ConfigError, match="started with --engine=jax, now it is trax"):
        resolve(folder, {"engine": "trax"}, tmp_path)


def test_models_that_trax_cannot_compute_are_refused(tmp_path):
    make_model(tmp_path / "base", "base")
    with pytest.raises(ConfigError, match="arch=trax; the model has arch=base"):
        _ = load("base", tmp_path, engine="trax").engine
    odd = ModelOptions(arch="trax", d_model=15, n_heads=3).build(TokenizerConfig())
    with pytest.raises(ConfigError, match="even d_model; it has d_model=15"):
        check_model(odd, "it")


def test_an_unknown_engine_is_refused(tmp_path):
    make_model(tmp_path / "any", "trax")
    with pytest.raises(ConfigError, match="choose one of jax, trax"):
        load("any", tmp_path, engine="torch")


def test_a_base_model_as_the_beginning_of_a_trax_run_is_refused(tmp_path):
    folder = make_model(tmp_path / "base", "base")
    with pytest.raises(ConfigError, match=r"models of arch=trax; the model in .* has arch=base"):
        new_run(checkpoint=str(folder))
