"""Our `--arch=trax` against what Trax itself wrote and computed (see golden/make_trax.py), and back."""

import dataclasses
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import tiny_config

from pixace.config import ModelOptions, TokenizerConfig
from pixace.errors import ConfigError, PixaceError
from pixace.exchange import find_model
from pixace.models.spec import abstract_parameters
from pixace.models.transformer import log_probs
from pixace.models.trax import config_from_trax, parameters_from_trax, trax_from_parameters

GOLDEN = Path(__file__).parent / "golden"
CASES = ["transformer", "transformer_one", "reformer", "reformer_widths"]


def load(name):
    data = np.load(GOLDEN / f"trax_{name}.npz")
    arguments = json.loads(str(data["arguments"]))
    options = ModelOptions(
        arch="trax",
        model_type=name.split("_")[0],
        d_model=arguments["d_model"],
        n_layers=arguments["n_layers"],
        n_heads=arguments["n_heads"] if arguments["d_model"] % arguments["n_heads"] == 0 else 1,
        d_ff=arguments["d_ff"],
    )
    config = options.build(TokenizerConfig(bitdepth=(2, 2, 2), image_size=4))
    width = arguments["d_model"] // arguments["n_heads"]
    config = dataclasses.replace(
        config,
        n_heads=arguments["n_heads"],
        d_head=arguments.get("d_attention_key", width),
        d_value=arguments.get("d_attention_value", width),
    )
    weights = [data[key] for key in sorted(data.files) if key.startswith("weight_")]
    return data, config, weights


@pytest.mark.parametrize("name", CASES)
def test_log_probs_equal_trax(name):
    data, config, weights = load(name)
    parameters = parameters_from_trax(weights, config)
    with jax.default_matmul_precision("highest"):
        ours = log_probs(parameters, config, jnp.asarray(data["tokens"], jnp.int32))
    np.testing.assert_allclose(ours, data["log_probs"], atol=1e-4, rtol=0)


def test_wrong_number_of_layers_is_refused():
    _, config, weights = load("transformer")
    with pytest.raises(PixaceError, match="too few"):
        parameters_from_trax(weights, dataclasses.replace(config, n_layers=3))
    with pytest.raises(PixaceError, match="left over"):
        parameters_from_trax([*weights, weights[0]], config)
    with pytest.raises(PixaceError, match=r"array 3 has shape \(1,\), the transformer needs \(16,\)"):
        parameters_from_trax([*weights[:3], weights[3][:1], *weights[4:]], config)


@pytest.mark.parametrize("form", ["", "-single"])
@pytest.mark.parametrize("name", ["transformer", "reformer"])
def test_checkpoints_of_trax_give_its_log_probs(name, form):
    data = np.load(GOLDEN / "checkpoints" / f"{name}.npz")
    said: list[str] = []
    path = GOLDEN / "checkpoints" / f"{name}{form}.pkl.gz"
    found = find_model(path, given={"n_heads": 2}, say=said.append)
    assert found.config.tokenizer == TokenizerConfig(bitdepth=(2, 2, 2), image_size=4)
    assert any("bitdepth=2,2,2 is guessed" in line for line in said)
    assert any("16 of 20 positions" in line for line in said) == (name == "reformer")
    parameters, step = found.load()
    assert step == (0 if form else 2)
    with jax.default_matmul_precision("highest"):
        ours = log_probs(parameters, found.config.model, jnp.asarray(data["tokens"], jnp.int32))
    np.testing.assert_allclose(ours, data["log_probs"], atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", CASES)
def test_the_arrays_tell_the_configuration_and_come_back_bit_for_bit(name):
    _, config, weights = load(name)
    found, guesses = config_from_trax(weights, n_heads=config.n_heads, image_size=4, bitdepth=(2, 2, 2))
    assert found.model == config and found.training is None and guesses == []
    back = trax_from_parameters(parameters_from_trax(weights, config), config)
    assert len(back) == len(weights)
    for a, b in zip(back, weights, strict=True):
        assert a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def test_positions_of_old_files_have_one_more_axis():
    _, config, weights = load("transformer_one")
    old = [weights[0], weights[1][None], *weights[2:]]
    assert config_from_trax(old, n_heads=1)[0].model == config
    for a, b in zip(jax.tree.leaves(parameters_from_trax(old, config)), weights[:2], strict=False):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("bits", "split"),
    [
        (3, (1, 1, 1)),
        (7, (3, 2, 2)),
        (8, (3, 3, 2)),
        (10, (4, 3, 3)),
        (13, (5, 4, 4)),
        (15, (5, 5, 5)),
    ],
)
def test_bits_are_split_as_usual_and_the_guess_is_told(bits, split):
    found, guesses = config_from_trax(arrays(vocab=2**bits + 2))
    assert found.tokenizer.bitdepth == split and found.tokenizer.tokenizer == "hsv"
    assert any("is guessed" in line and str(2**bits + 2) in line for line in guesses)


def arrays(vocab: int = 66, positions: int = 16, width: int = 16) -> list[np.ndarray]:
    """Arrays of a one-layer TransformerLM, all zero."""
    weights = load("transformer_one")[2]
    weights[0], weights[1] = np.zeros((vocab, width), np.float32), np.zeros((positions, width), np.float32)
    return weights


def test_sizes_are_found_in_positions_in_training_or_in_what_is_given():
    def edge(positions, **given):
        return config_from_trax(arrays(positions=positions), **given)[0].tokenizer.image_size

    assert [edge(16), edge(25), edge(20, length=16), edge(64, length=16), edge(20, image_size=3)] == [4, 5, 4, 4, 3]
    assert any("first 9 of 20" in line for line in config_from_trax(arrays(positions=20), image_size=3)[1])
    with pytest.raises(ConfigError, match=r"20 positions, which make no square .* --image_size"):
        edge(20)
    with pytest.raises(ConfigError, match="--image_size=5 needs 25 positions, the model has 20"):
        edge(20, image_size=5)


def test_heads_of_a_transformer_are_guessed_and_must_divide_its_width():
    found, guesses = config_from_trax(arrays())
    assert (found.model.n_heads, found.model.d_head, found.model.d_value) == (8, 2, 2)
    assert any("n_heads=8 is guessed" in line for line in guesses)
    assert config_from_trax(arrays(), n_heads=4)[0].model.d_head == 4
    for wrong in (3, 0, -2):
        with pytest.raises(ConfigError, match=f"--n_heads={wrong} does not divide .* 16"):
            config_from_trax(arrays(), n_heads=wrong)


def test_what_contradicts_the_arrays_is_told_with_both_values():
    transformer, reformer = load("transformer")[2], load("reformer_widths")[2]
    with pytest.raises(ConfigError, match=r"--model_type=reformer .* transformer"):
        config_from_trax(transformer, model_type="reformer")
    with pytest.raises(ConfigError, match=r"--model_type=transformer .* reformer"):
        config_from_trax(reformer, model_type="transformer")
    with pytest.raises(ConfigError, match=r"--n_heads=2 .* n_heads=3"):
        config_from_trax(reformer, n_heads=2)
    with pytest.raises(ConfigError, match=r"--bitdepth=4,3,3 does not fit the model's 66 .* 6"):
        config_from_trax(transformer, bitdepth=(4, 3, 3))


@pytest.mark.parametrize("vocab", [1, 2, 3, 6, 64, 67, 2**16 + 2])
def test_vocabularies_that_are_no_pictures_are_refused(vocab):
    with pytest.raises(PixaceError, match=f"{vocab} token ids"):
        config_from_trax(arrays(vocab=vocab))


def test_arrays_of_another_kind_of_model_are_refused():
    weights = load("transformer")[2]
    for wrong in ([], weights[:7], weights[1:], weights[:-1], [np.zeros(())] * 38, weights + weights[-5:]):
        with pytest.raises(PixaceError, match="not those of Trax's"):
            config_from_trax(wrong)
    with pytest.raises(PixaceError, match="single number"):
        config_from_trax([*weights[:14], np.zeros(()), *weights[15:]])


def test_a_model_of_our_own_recipe_cannot_be_told_in_trax():
    config = tiny_config("base")
    with pytest.raises(PixaceError, match="arch=base cannot be told in Trax"):
        trax_from_parameters(abstract_parameters(config), config)
