"""The model that comes with pixace: whole, small, as good as its card says, and drawn with by default."""

import hashlib
import json
import re
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from PIL import Image
from runs import make_pictures
from test_cli import answer

import pixace
from pixace.folders import embedded_model
from pixace.sheets import read_metadata
from pixace.zoo.emoji import is_held_out

MOST_BYTES = 4 * 2**20
PICTURES = 60  # held-out ones that the card's likelihood is checked on


@pytest.fixture(scope="module")
def card():
    return (embedded_model() / "README.md").read_text()


@pytest.mark.subset
def test_its_files_are_those_of_its_manifest_and_small():
    folder = embedded_model()
    manifest = {entry["name"]: entry for entry in json.loads((folder / "manifest.json").read_text())["files"]}
    assert {"weights.safetensors", "config.json", "sheet.png"} <= manifest.keys()
    for name, entry in manifest.items():
        content = (folder / name).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (entry["size"], entry["sha256"]), name
    assert manifest["weights.safetensors"]["size"] <= MOST_BYTES


def test_its_card_tells_licence_recipe_figures_and_checksums(card):
    assert "license: apache-2.0" in card and "Noto emoji" in card
    assert "scripts/emoji-model" in card and re.search(r"\d\.\d+ nats a token", card)
    assert hashlib.sha256((embedded_model() / "weights.safetensors").read_bytes()).hexdigest() in card


def test_the_package_takes_it_along(tmp_path):
    """What `setup.py` builds is what `pip install` leaves."""
    root = embedded_model().parents[3]
    command = [sys.executable, "setup.py", "--quiet", "build", f"--build-base={tmp_path}"]
    subprocess.run(command, cwd=root, check=True, capture_output=True)
    for part in embedded_model().iterdir():
        built = tmp_path / "lib" / part.relative_to(root)
        assert built.read_bytes() == part.read_bytes(), part.name


def test_predict_without_a_name_draws_nine_pictures(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code, _, err = answer(capsys, "predict", "--seed=3", "--scale=26", "--out_dir=each")
    assert code == 0, err
    pictures = sorted((tmp_path / "each").iterdir())
    assert len(pictures) == 9
    with Image.open(tmp_path / "collage.png") as sheet:
        assert sheet.size == (78, 78)
    drawn = {Image.open(path).tobytes() for path in pictures}
    assert len(drawn) == 9
    assert read_metadata("collage.png")["model"] == "emoji of pixace"
    again = pixace.get_predictor().predict(batch_size=9, seed=3, scale=26)
    with Image.open(tmp_path / "collage.png") as sheet:
        np.testing.assert_array_equal(np.asarray(again), np.asarray(sheet.convert("RGB")))


def test_a_model_of_ones_own_of_that_name_comes_first_when_it_is_named(tmp_path):
    pixace.download_model("emoji", weights_dir=tmp_path)
    assert pixace.load("emoji", tmp_path).folder == tmp_path / "emoji"
    assert pixace.load("emoji", tmp_path / "elsewhere").folder == embedded_model()
    assert pixace.get_predictor().model.folder == embedded_model()


def test_it_is_as_good_on_pictures_held_out_as_its_card_says(shared, tmp_path, card):
    with zipfile.ZipFile(shared / "data" / "emoji.zip") as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".png") and is_held_out(name))
        chosen = names[:: len(names) // PICTURES]
        tokenizer = pixace.load("emoji").tokenizer
        tokens = np.stack([tokenizer.encode(archive.read(name)) for name in chosen])
    log_probs = pixace.load("emoji").log_probs(tokens)
    losses = -np.take_along_axis(log_probs, tokens[..., None].astype(int), axis=-1)[..., 0].mean(axis=1)
    told = float(re.search(r"([\d.]+) nats a token", card)[1])
    assert abs(losses.mean() - told) < 3 * losses.std() / np.sqrt(len(losses))


def test_an_evaluation_of_it_leaves_the_package_as_it_is(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    make_pictures(tmp_path / "pictures", 3)
    before = sorted(embedded_model().rglob("*"))
    code, _, err = answer(capsys, "evaluate", "--model_name=emoji", "--images=pictures", "--n_samples=0")
    assert code == 0, err
    assert sorted(embedded_model().rglob("*")) == before
    assert json.loads((tmp_path / "emoji-evaluation" / "evaluation.json").read_text())["model"] == "emoji of pixace"
    for path in (tmp_path / "emoji-evaluation").iterdir():
        assert str(embedded_model()).encode() not in path.read_bytes(), path.name
