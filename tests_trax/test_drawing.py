"""`pixace predict --engine=trax`: Trax's models in predict mode draw what our engine draws."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from small import TOKENIZER, config_of, tokens_of, trax_model

from pixace.checkpoints import save_config, save_weights
from pixace.cli.main import main
from pixace.config import RunConfig, TokenizerConfig
from pixace.sampling.model import Model
from pixace.trax_engine.models import parameters_of

CASES = {
    "transformer": config_of("transformer"),
    "reformer": config_of("reformer"),
    "reformer, odd widths": config_of("reformer", n_layers=1, n_heads=3, d_head=12, d_value=6),
}


def models_of(config, tokenizer=TOKENIZER, parameters=None):
    """The same model with our engine and with Trax's."""
    parameters = parameters_of(trax_model(config).weights, config) if parameters is None else parameters
    return [Model(RunConfig(tokenizer, config), parameters, engine=engine) for engine in ("jax", "trax")]


@pytest.mark.parametrize("name", CASES)
def test_both_engines_draw_the_same_tokens(trax, name):
    ours, theirs = models_of(CASES[name])
    options = {"n": 4, "temperature": [0.0, 0.5, 1.0, 1.0], "seed": 3}
    drawn = theirs.sample(**options)
    assert drawn.dtype == np.uint16 and drawn.min() >= 2
    assert (drawn[1] != drawn[2]).any() and (drawn[2] != drawn[3]).any()
    np.testing.assert_array_equal(drawn, ours.sample(**options))


@pytest.mark.parametrize("name", ["transformer", "reformer"])
@pytest.mark.parametrize("cut", [1, 20, 35, 36])
def test_prompts_are_continued_wherever_they_are_cut(trax, name, cut):
    config = CASES[name]
    ours, theirs = models_of(config)
    prompts = tokens_of(config, 2)
    drawn = theirs.sample(prompts, cut=cut, temperature=0, top_k=3)
    np.testing.assert_array_equal(drawn[:, :cut], prompts[:, :cut])
    np.testing.assert_array_equal(drawn, ours.sample(prompts, cut=cut, temperature=0))


def test_a_picture_does_not_depend_on_those_beside_it(trax, monkeypatch):
    _, model = models_of(CASES["transformer"])
    together = model.sample(n=3, seed=1)
    monkeypatch.setattr(model.engine, "group", 2)
    np.testing.assert_array_equal(model.sample(n=3, seed=1), together)
    np.testing.assert_array_equal(model.sample(n=1, seed=1, index=[2]), together[2:])


def test_reserved_ids_are_never_drawn(trax):
    config = CASES["transformer"]
    parameters = parameters_of(trax_model(config).weights, config)
    favoured = dataclasses.replace(parameters, output_bias=parameters.output_bias.at[jnp.arange(2)].set(50.0))
    for temperature in (0, 1):
        assert models_of(config, parameters=favoured)[1].sample(n=2, temperature=temperature).min() >= 2


def test_pictures_of_more_pixels_than_trax_remembers_are_drawn_right(trax):
    tokenizer = TokenizerConfig(bitdepth=(2, 2, 2), image_size=46)  # 2,116 positions
    config = config_of("transformer", tokenizer, n_layers=1)
    ours, theirs = models_of(config, tokenizer)
    prompt = tokens_of(config, 1)
    cut = config.n_positions - 20
    options = {"cut": cut, "temperature": 0.5, "seed": 1}
    np.testing.assert_array_equal(theirs.sample(prompt, **options), ours.sample(prompt, **options))


@pytest.mark.parametrize("name", ["transformer", "reformer"])
def test_the_command_draws_the_same_sheet_with_both_engines(trax, name, tmp_path, capsys):
    config, folder = CASES[name], tmp_path / "model"
    folder.mkdir()
    save_config(folder, RunConfig(TOKENIZER, config))
    save_weights(folder, parameters_of(trax_model(config).weights, config), 0)
    prompt = tmp_path / "prompt.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (6, 6, 3), np.uint8)).save(prompt)
    sheets = []
    for engine in ("jax", "trax"):
        out = tmp_path / f"{engine}.png"
        flags = [f"--checkpoint={folder}", f"--prompt={prompt}", "--cut=50%", "--temperature=0,1"]
        with pytest.raises(SystemExit) as ended:
            main(["predict", *flags, "--seed=4", "--scale=12", f"--engine={engine}", f"--out={out}"])
        assert ended.value.code == 0
        sheets.append(np.asarray(Image.open(out)))
    np.testing.assert_array_equal(*sheets)
    assert capsys.readouterr().out.splitlines() == [f"seed 4, saved {tmp_path / e}.png" for e in ("jax", "trax")]
