"""Our `--arch=trax` computes what Trax computes, and weights go both ways, in memory and as files."""

import jax
import numpy as np
import pytest
from small import TOKENIZER, config_of, our_log_probs, shaken, tokens_of, trax_log_probs, trax_model

from pixace.config import ModelOptions, TokenizerConfig
from pixace.models.spec import named
from pixace.models.trax import config_from_trax, parameters_from_trax, trax_from_parameters
from pixace.trax_engine.models import initialise, make_model, parameters_of, tree_of
from pixace.trax_files import read_trax, write_trax

ODD = TokenizerConfig(bitdepth=(3, 1, 2), image_size=5)
CASES = {
    "transformer": config_of("transformer"),
    "transformer, one layer, one head": config_of("transformer", n_layers=1, n_heads=1, d_head=32, d_value=32),
    "transformer, odd sizes": config_of("transformer", ODD, d_model=18, n_heads=3, d_head=6, d_value=6, d_ff=13),
    "reformer": config_of("reformer"),
    "reformer, one layer, one head": config_of("reformer", n_layers=1, n_heads=1, d_head=32, d_value=32),
    "reformer, wide keys": config_of("reformer", n_heads=3, d_head=12, d_value=6),
    "reformer, wide values": config_of("reformer", ODD, d_model=22, n_heads=5, d_head=3, d_value=9, d_ff=7),
}
BOTH = ["transformer", "reformer"]


@pytest.mark.parametrize("name", CASES)
def test_log_probs_equal_those_of_trax(trax, name):
    config = CASES[name]
    model, tokens = trax_model(config), tokens_of(config, 2)
    ours = our_log_probs(parameters_of(model.weights, config), config, tokens)
    expected = trax_log_probs(model, tokens)
    assert np.ptp(expected) > 3  # the weights matter
    np.testing.assert_allclose(ours, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("model_type", BOTH)
def test_log_probs_equal_those_of_trax_at_its_default_sizes(trax, model_type):
    config = ModelOptions(model_type=model_type, arch="trax").build(TokenizerConfig())
    model = make_model(config, "eval")
    initialise(model, 1, config.n_positions)
    model.weights, tokens = shaken(model.weights, 0.01), tokens_of(config, 1)
    ours = our_log_probs(parameters_of(model.weights, config), config, tokens)
    np.testing.assert_allclose(ours, trax_log_probs(model, tokens), atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", CASES)
def test_weights_go_to_trax_and_back_unchanged(trax, name):
    config = CASES[name]
    model = trax_model(config)
    parameters = parameters_of(model.weights, config)
    again = tree_of(parameters, config, model.weights)
    jax.tree.map(np.testing.assert_array_equal, again, model.weights)
    for key, leaf in named(parameters_of(again, config)).items():
        np.testing.assert_array_equal(leaf, named(parameters)[key])


@pytest.mark.parametrize("model_type", BOTH)
def test_trax_loads_what_we_export_and_computes_the_same(trax, model_type, tmp_path):
    config = config_of(model_type)
    parameters = parameters_of(trax_model(config).weights, config)
    file, tokens = tmp_path / "model.pkl.gz", tokens_of(config, 2)
    write_trax(file, trax_from_parameters(parameters, config), step=7)
    model = make_model(config, "eval")
    signature = trax.shapes.ShapeDtype(tokens.shape, np.int32)
    model.init_from_file(str(file), weights_only=True, input_signature=signature)
    np.testing.assert_allclose(
        trax_log_probs(model, tokens), our_log_probs(parameters, config, tokens), atol=1e-4, rtol=0
    )


@pytest.mark.parametrize("model_type", BOTH)
def test_a_checkpoint_of_trax_loop_is_read_and_computes_the_same(trax, model_type, tmp_path):
    config = config_of(model_type)
    tokens = tokens_of(config, 2)
    batch = (tokens, tokens, np.ones(tokens.shape, np.float32))
    task = trax.training.TrainTask(
        iter([batch] * 4), trax.layers.WeightedCategoryCrossEntropy(), trax.optimizers.Adam(0.01)
    )
    model = make_model(config, "train")
    at_end = lambda step: step == 3  # noqa: E731
    loop = trax.training.Loop(model, task, output_dir=str(tmp_path), checkpoint_at=at_end, random_seed=0)
    loop.run(3)
    found = read_trax(tmp_path / "model.pkl.gz")
    read, _ = config_from_trax(found.weights, n_heads=config.n_heads, bitdepth=TOKENIZER.bitdepth, length=found.length)
    assert found.step == 3
    assert (read.model, read.tokenizer) == (config, TOKENIZER)
    judge = make_model(config, "eval")
    initialise(judge, 2, config.n_positions)
    judge.weights = loop.model.weights
    ours = our_log_probs(parameters_from_trax(found.weights, config), config, tokens)
    np.testing.assert_allclose(ours, trax_log_probs(judge, tokens), atol=1e-4, rtol=0)
