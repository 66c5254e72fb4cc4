"""Our `--arch=trax` against log-probabilities that Trax itself computed (see golden/make_trax.py)."""

import dataclasses
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pixace.config import ModelOptions, TokenizerConfig
from pixace.errors import PixaceError
from pixace.models.transformer import log_probs
from pixace.models.trax import parameters_from_trax

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
