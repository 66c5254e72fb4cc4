"""`pixace export`: what is written is the model, for us and for Trax."""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from test_cli import answer
from tiny import tiny_config

import pixace
from pixace.checkpoints import load_config, save_config, save_weights
from pixace.config import ModelConfig, RunConfig, TokenizerConfig, TrainConfig
from pixace.models.spec import Parameters, abstract_parameters
from pixace.trax_files import read_trax

TOKENIZER = TokenizerConfig(bitdepth=(2, 2, 2), image_size=4, resize="crop")
SIZES: dict[str, dict[str, Any]] = {  # key and value widths that differ, one layer, one head
    "transformer": dict(model_type="transformer", n_layers=2, n_heads=4),
    "one": dict(model_type="transformer", n_layers=1, n_heads=1),
    "reformer": dict(model_type="reformer", n_layers=2, n_heads=2, d_ff=20),
    "widths": dict(model_type="reformer", n_layers=1, n_heads=1),
}


def make(folder: Path, name: str, arch: str = "trax") -> Path:
    config = tiny_config(arch, tokenizer=TOKENIZER, d_model=16, **SIZES[name])
    if name == "widths":
        config = dataclasses.replace(config, n_heads=3, d_head=5, d_value=7)
    save_config(folder / name, RunConfig(TOKENIZER, config, TrainConfig(images="/home/somebody/pictures")))
    save_weights(folder / name, noise(config), step=9)
    return folder / name


def noise(config: ModelConfig) -> Parameters:
    random = np.random.default_rng(0)
    shapes = abstract_parameters(config)
    return jax.tree.map(lambda x: random.standard_normal(x.shape, np.float32) / 4, shapes)


@pytest.mark.subset
@pytest.mark.parametrize("name", list(SIZES))
def test_a_model_exported_for_trax_and_imported_again_is_the_same_to_the_bit(here, capsys, name):
    folder = make(here / "model-weights", name)
    code, out, err = answer(capsys, "export", f"--model_name={name}", "--format=trax")
    assert code == 0 and out == f"saved {name}.pkl.gz and {name}.weights.npy.gz\n", err
    n_layers = SIZES[name]["n_layers"]
    each = 12 if SIZES[name]["model_type"] == "reformer" else 16
    assert len(read_trax(f"{name}.pkl.gz").weights) == 6 + each * n_layers
    code, _, err = answer(capsys, "import", f"--checkpoint={name}.pkl.gz", "--model_name=back")
    assert code == 0 and "guess" not in err, err
    back = here / "model-weights" / "back"
    assert (back / "weights.safetensors").read_bytes() == (folder / "weights.safetensors").read_bytes()
    assert load_config(back) == dataclasses.replace(load_config(folder), training=None)


def test_a_failure_leaves_an_empty_folder_that_was_there(here, capsys):
    make(here / "model-weights", "one", "base")
    (here / "kept").mkdir()
    assert answer(capsys, "export", "--model_name=one", "--format=trax", "--out=kept/x.pkl.gz")[0] == 1
    assert (here / "kept").is_dir()


@pytest.mark.parametrize("arch", ["trax", "base"])
def test_one_file_holds_a_whole_model_but_not_where_it_was_trained(here, capsys, arch):
    folder = make(here / "model-weights", "one", arch)
    code, out, err = answer(capsys, "export", "--model_name=one", "--out=sub/shared.safetensors")
    assert code == 0 and out == "saved sub/shared.safetensors\n", err
    file = here / "sub" / "shared.safetensors"
    assert b"somebody" not in file.read_bytes()
    mine, shared = pixace.load(folder), pixace.load(file)
    assert shared.config == dataclasses.replace(mine.config, training=None)
    tokens = np.arange(2, 18)[None]
    np.testing.assert_array_equal(mine.log_probs(tokens), shared.log_probs(tokens))
    code, _, err = answer(capsys, "import", f"--checkpoint={file}", "--model_name=back")
    assert code == 0, err
    back = here / "model-weights" / "back"
    assert (back / "weights.safetensors").read_bytes() == (folder / "weights.safetensors").read_bytes()
    code, _, err = answer(capsys, "predict", f"--checkpoint={file}", "--image_size=8")
    assert code == 2 and "--image_size=8 contradicts" in err and "image_size=4" in err


def test_python_gives_the_files_and_takes_paths(here):
    folder = make(here, "reformer")
    files = pixace.export_model(folder, "a.pkl.gz", "trax", None)
    assert [str(file) for file in files] == ["a.pkl.gz", "a.weights.npy.gz"] and all(f.is_file() for f in files)
    again = pixace.import_model("a.pkl.gz", "again", here, say=[].append)
    assert again == here / "again" and pixace.load("again", here).config.tokenizer.image_size == 4


@pytest.mark.parametrize(
    ("flags", "code", "said"),
    [
        (["--format=trax", "--model_name=base"], 1, "arch=base cannot be told in Trax"),
        (["--model_name=nobody"], 1, "'nobody'"),
        ([], 2, "--model_name=NAME"),
        (["--model_name=one", "--format=onnx"], 2, "trax"),
        (["--model_name=one", "--out=x.pkl.gz"], 2, "must end with .safetensors"),
        (["--model_name=one", "--out=x.safetensors", "--format=trax"], 2, "must end with .pkl.gz"),
        (["--model_name=one", "--out=there.safetensors"], 1, "there.safetensors exists already"),
        (["--model_name=one", "--format=trax", "--out=there.pkl.gz"], 1, "there.weights.npy.gz exists already"),
        (["--checkpoint=model-weights/one"], 2, "--out=FILE.safetensors"),
        (["--checkpoint=model-weights/one", "--model_name=base"], 2, "give one of them"),
    ],
)
def test_what_cannot_be_exported_is_told_in_a_line_and_leaves_nothing(here, capsys, flags, code, said):
    make(here / "model-weights", "one")
    make(here / "other", "one", "base").rename(here / "model-weights" / "base")
    (here / "there.safetensors").write_text("precious")
    (here / "there.weights.npy.gz").write_text("precious")
    before = sorted(p for p in here.rglob("*"))
    got, out, err = answer(capsys, "export", *flags)
    assert (got, out) == (code, "") and said in err and "Traceback" not in err, err
    assert sorted(p for p in here.rglob("*")) == before
    assert (here / "there.safetensors").read_text() == (here / "there.weights.npy.gz").read_text() == "precious"


def test_weights_without_a_configuration_say_what_is_missing(here, capsys):
    folder = make(here / "model-weights", "one")
    (folder / "config.json").unlink()
    code, _, err = answer(capsys, "predict", f"--checkpoint={folder / 'weights.safetensors'}")
    assert code == 1 and "without their configuration; put config.json beside it" in err
