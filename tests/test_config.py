"""Configurations: what they refuse, and that config.json says all of a model and is read strictly."""

import dataclasses
import json

import pytest
from tiny import VARIANTS

from pixace.config import (
    ModelConfig,
    ModelOptions,
    RunConfig,
    TokenizerConfig,
    TrainConfig,
    check_agrees,
)
from pixace.config_file import from_json, to_json
from pixace.errors import ConfigError

FILE = "model-weights/emoji/config.json"


def preset(arch="base", model_type="reformer", training=None, **options) -> RunConfig:
    tokenizer = TokenizerConfig()
    return RunConfig(tokenizer, ModelOptions(arch=arch, model_type=model_type, **options).build(tokenizer), training)


def written(config: RunConfig | None = None) -> dict:
    return json.loads(to_json(config or preset(training=TrainConfig(images="images")), {"pixace": "1"}))


@pytest.mark.subset
@pytest.mark.parametrize(("arch", "model_type"), VARIANTS)
@pytest.mark.parametrize(
    "training",
    [None, TrainConfig(), TrainConfig(images="x", lr=3e-4, clip=None, n_steps=7, ema=False, schedule="linear")],
)
def test_config_json_gives_the_same_configuration_back(arch, model_type, training):
    config = preset(arch, model_type, training, dtype="bfloat16", dropout=0.25)
    text = to_json(config, {"jax": "0.10.2"})
    assert from_json(text, FILE) == config
    assert json.loads(text)["versions"] == {"jax": "0.10.2"}


def test_config_json_names_every_switch_of_the_model():
    raw = written()
    for section, kind in (("tokenizer", TokenizerConfig), ("model", ModelConfig), ("training", TrainConfig)):
        assert list(raw[section]) == [field.name for field in dataclasses.fields(kind)]
    assert raw["model"]["residual"] == "reversible" and raw["model"]["d_ff"] == 2048


@pytest.mark.parametrize("section", ["tokenizer", "model", "training"])
def test_unknown_entries_are_named_with_the_file(section):
    raw = written()
    raw[section]["colour"] = 1
    with pytest.raises(ConfigError, match=f"{FILE}: unknown entries: colour"):
        from_json(json.dumps(raw), FILE)


@pytest.mark.parametrize("name", ["vocab_size", "d_model", "n_layers", "d_ff", "arch"])
def test_missing_entries_are_named_with_the_file(name):
    raw = written()
    del raw["model"][name]
    with pytest.raises(ConfigError, match=f"{FILE}: .*missing.*{name}"):
        from_json(json.dumps(raw), FILE)


@pytest.mark.parametrize("section", ["tokenizer", "model"])
@pytest.mark.parametrize("value", [None, [], "x", 3])
def test_a_missing_section_is_named_with_the_file(section, value):
    raw = written()
    raw[section] = value
    with pytest.raises(ConfigError, match=FILE):
        from_json(json.dumps(raw), FILE)
    del raw[section]
    with pytest.raises(ConfigError, match=FILE):
        from_json(json.dumps(raw), FILE)


@pytest.mark.parametrize(
    ("section", "name", "value"),
    [
        ("model", "n_layers", "6"),
        ("model", "n_layers", 6.0),
        ("model", "n_layers", True),
        ("model", "n_layers", None),
        ("model", "qk_norm", 1),
        ("model", "dropout", "0.1"),
        ("model", "arch", 3),
        ("tokenizer", "bitdepth", "5,4,4"),
        ("tokenizer", "bitdepth", [5, 4, "4"]),
        ("tokenizer", "bitdepth", [5, 4, 4.0]),
        ("tokenizer", "image_size", [32]),
        ("training", "lr", "fast"),
        ("training", "ema", "yes"),
    ],
)
def test_mistyped_entries_are_named_with_the_file(section, name, value):
    raw = written()
    raw[section][name] = value
    with pytest.raises(ConfigError, match=f"{FILE}: {name}=.* is not of type"):
        from_json(json.dumps(raw), FILE)


@pytest.mark.parametrize(
    ("section", "name", "value"),
    [
        ("model", "residual", "none"),
        ("model", "n_heads", 0),
        ("model", "dropout", 1.0),
        ("model", "vocab_size", 99),
        ("tokenizer", "tokenizer", "lab"),
        ("tokenizer", "bitdepth", [9, 9, 9]),
        ("tokenizer", "image_size", 31),
        ("training", "optimizer", "sgd"),
        ("training", "batch_size", 0),
    ],
)
def test_impossible_values_are_named_with_the_file(section, name, value):
    raw = written()
    raw[section][name] = value
    with pytest.raises(ConfigError, match=FILE):
        from_json(json.dumps(raw), FILE)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"x"', "{}", '{"format": 99}', '{"format": "1"}'])
def test_what_is_no_configuration_is_named(text):
    with pytest.raises(ConfigError, match=FILE):
        from_json(text, FILE)


def test_vocabularies_beyond_16_bits_are_refused():
    assert TokenizerConfig(bitdepth=(5, 5, 5)).vocab_size == 2**15 + 2
    with pytest.raises(ConfigError, match="bitdepth=6,5,5: the bits add up to 16, 15 are possible"):
        TokenizerConfig(bitdepth=(6, 5, 5))


@pytest.mark.parametrize("bits", [(5, 4), (5, 4, 4, 4), (5, 4, 0), (5, -4, 4), ()])
def test_bit_depths_are_three_positive_numbers(bits):
    with pytest.raises(ConfigError, match="three whole numbers"):
        TokenizerConfig(bitdepth=bits)


def test_defaults_are_those_of_the_source_project():
    config = preset("trax", "transformer")
    assert config.tokenizer == TokenizerConfig("hsv", (5, 4, 4), 32, "squash", False, "white")
    assert (config.tokenizer.vocab_size, config.tokenizer.n_tokens) == (8194, 1024)
    model = config.model
    assert (model.d_model, model.d_ff, model.n_layers, model.n_heads) == (512, 2048, 6, 8)
    assert (model.dropout, model.dtype, model.activation, model.residual) == (0.1, "float32", "relu", "plain")
    reformer = preset("trax", "reformer").model
    assert (reformer.d_head, reformer.d_value, reformer.activation) == (64, 64, "gelu")
    assert reformer.residual == "reversible" and not reformer.attention_bias
    assert (TrainConfig().steps_per_epoch, TrainConfig().n_epochs, TrainConfig().eval_every) == (1000, 10000, 100)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"image_size": 16}, "--image_size=16 contradicts the model, which has image_size=32"),
        ({"bitdepth": (4, 3, 3)}, "--bitdepth=4,3,3 contradicts the model, which has bitdepth=5,4,4"),
        (
            {"model_type": "transformer"},
            "--model_type=transformer contradicts the model, which has model_type=reformer",
        ),
        ({"n_layers": 7}, "--n_layers=7 contradicts the model, which has n_layers=6"),
    ],
)
def test_a_contradiction_names_both_values(given, said):
    with pytest.raises(ConfigError) as caught:
        check_agrees(preset(), given, "the model")
    assert str(caught.value) == said


def test_what_agrees_or_was_not_given_is_no_contradiction():
    same = {"image_size": 32, "bitdepth": (5, 4, 4), "model_type": "reformer", "n_layers": None, "dropout": 0.5}
    check_agrees(preset(), same, "the model")
    with pytest.raises(ConfigError, match=r"dropout=0\.5"):
        check_agrees(preset(), same, "the model", numbers_too=True)


def test_configurations_cannot_be_changed():
    for config in (TokenizerConfig(), ModelOptions(), TrainConfig(), preset()):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(config, dataclasses.fields(config)[0].name, None)


def test_the_length_of_a_run_fits_the_step_counter():
    assert TrainConfig(n_epochs=10**6, steps_per_epoch=10**6).total_steps == 2**31 - 1
    assert TrainConfig(n_steps=10**12).total_steps == 2**31 - 1
    assert TrainConfig(n_steps=7, n_epochs=3).total_steps == 7
