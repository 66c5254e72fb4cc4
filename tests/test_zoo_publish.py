"""`pixace publish`: what is written is the model, tells nothing of this computer, and comes back the same."""

import dataclasses
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from published import files_in, serve
from runs import make_pictures, quiet_train
from test_cli import answer
from test_export_command import make

import pixace
from pixace.checkpoints import load_config, weights_step
from pixace.sheets import read_metadata
from pixace.zoo.card import figures_at
from pixace.zoo.publish import publish_model

PUBLISHED = {"README.md", "config.json", "manifest.json", "sheet.png", "weights.safetensors"}
TOKENS = np.arange(2, 18)[None]


@pytest.mark.subset
def test_train_publish_serve_download_and_predict(server, here, capsys):
    images = make_pictures(here / "secret-pictures", 12, smooth=True)
    quiet_train("tiny", here / "w", images, n_steps=4, steps_per_eval=2, val_fraction=0.25)
    code, out, err = answer(capsys, "publish", "--model_name=tiny", "--weights_dir=w", "--out=site/tiny", "--seed=5")
    assert code == 0 and out.startswith("published in site/tiny"), err
    assert files_in(here / "site") == {f"tiny/{name}" for name in PUBLISHED}
    url = serve(server, here / "site" / "tiny", "/~somebody/tiny")
    code, out, err = answer(capsys, "download", url)
    assert code == 0 and out == "model in model-weights/tiny\n", err
    ours, theirs = pixace.load(here / "w" / "tiny"), pixace.load("tiny")
    tokens = np.random.default_rng(0).integers(2, 66, (2, 64))
    np.testing.assert_array_equal(ours.log_probs(tokens), theirs.log_probs(tokens))
    assert theirs.config == dataclasses.replace(ours.config, training=None)
    assert weights_step(here / "model-weights" / "tiny") == 4
    assert answer(capsys, "predict", "--model_name=tiny", "--batch_size=2", "--scale=10")[0] == 0
    with Image.open("collage.png") as drawn:
        assert drawn.size == (20, 10)


@pytest.fixture
def trained(here):
    """A model that seems to have been trained: figures, and paths that are nobody's business."""
    folder = make(here / "model-weights", "one", "base")
    figures = [{"step": s, "loss": 3.0, "gradient_norm": 1.0} for s in range(1, 12)]
    for step, loss in ((4, 2.5), (8, 2.25), (10, 1.0)):  # the weights are of step 9
        figures[step - 1] |= {"val_loss": loss, "val_bits_per_pixel": loss * 1.4427, "val_accuracy": 0.375}
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in figures) + '{"step": 12, "lo')
    return folder


def test_the_card_tells_figures_sums_and_training_and_no_path(trained, here, capsys):
    assert answer(capsys, "publish", "--model_name=one", "--out=out", "--n_samples=4", "--licence=mit")[0] == 0
    card = (here / "out" / "README.md").read_text()
    for told in (
        "2.250 nats a token (3.25 bits a pixel), 37.5% of tokens right, at step 8, on training pictures",
        "9 steps of 16 pictures",
        "4x4 pixels, cropped to a square",
        "hsv 2,2,2 bits, 66 token ids",
        "transformer (--arch=base), full attention, width 16, 1 layers, 1 heads",
        "library_name: pixace",
        "license: mit",
        "pixace predict --model_name=out",  # as it is called where it was put
        "![pictures drawn by the model](sheet.png)",
    ):
        assert told in card
    for name in ("config.json", "weights.safetensors", "sheet.png"):
        assert f"SHA-256 `{hashlib.sha256((here / 'out' / name).read_bytes()).hexdigest()}`" in card
    for file in (here / "out").iterdir():
        content = file.read_bytes()
        assert b"somebody" not in content and str(here).encode() not in content, file
    assert load_config(here / "out").training is None
    assert figures_at(trained, 3) == {} and figures_at(trained, 99)["val_loss"] == 1.0


def test_the_sheet_is_what_the_published_weights_draw(trained, here):
    publish_model("one", "out", n_samples=5, seed=3, temperature=0.5, dtype="bfloat16")
    model = pixace.load(here / "out")
    pictures = model.tokenizer.decode(model.sample(n=5, seed=3, temperature=0.5))
    with Image.open("out/sheet.png") as sheet:
        assert sheet.size == (3 * 192, 2 * 192)
        pixels = np.asarray(sheet)
    middles = [192 * i + round(192 / 6 * (1.5 + j)) for i in range(3) for j in range(4)]
    for i, picture in enumerate(pictures):
        rows, columns = middles[4 * (i // 3) :][:4], middles[4 * (i % 3) :][:4]
        np.testing.assert_array_equal(pixels[np.ix_(rows, columns)], picture)
    assert read_metadata("out/sheet.png") == {"seed": "3", "temperature": "0.5"}


def test_bfloat16_halves_the_file_and_comes_back(server, trained, here):
    publish_model("one", "full", n_samples=0)
    folder = publish_model("one", "half", n_samples=0, dtype="bfloat16")
    sizes = [(here / name / "weights.safetensors").stat().st_size for name in ("full", "half")]
    assert sizes[1] < 0.6 * sizes[0] and files_in(folder) == PUBLISHED - {"sheet.png"}
    back = pixace.download_model(serve(server, folder, "/half"))
    ours, theirs = pixace.load("one").log_probs(TOKENS), pixace.load(back).log_probs(TOKENS)
    assert theirs.dtype == np.float32 and 0 < np.abs(ours - theirs).max() < 0.2
    np.testing.assert_array_equal(theirs, pixace.load(here / "half").log_probs(TOKENS))


def test_an_edited_card_does_not_matter(server, trained, here):
    folder = publish_model("one", "out", n_samples=0)
    (folder / "README.md").write_text("mine")
    assert pixace.download_model(serve(server, folder, "/one"), save_as="two").is_dir()


def test_an_exported_file_and_a_model_without_figures_are_published_too(here, capsys):
    make(here / "model-weights", "reformer")
    pixace.export_model("reformer", "x.safetensors")
    assert answer(capsys, "publish", "--checkpoint=x.safetensors", "--out=out", "--n_samples=0")[0] == 0
    card = Path("out/README.md").read_text()
    assert "# out\n" in card and "| validation | not measured |" in card and "| training | 9 steps |" in card


@pytest.mark.parametrize(
    ("flags", "code", "said"),
    [
        (["--out=o"], 2, "which model?"),
        (["--model_name=one"], 2, "--out=FOLDER is needed"),
        (["--model_name=one", "--checkpoint=x", "--out=o"], 2, "give one of them"),
        (["--model_name=one", "--out=o", "--dtype=float16"], 2, "bfloat16"),
        (["--model_name=one", "--out=o", "--licence=mine: all"], 2, "apache-2.0"),
        (["--model_name=one", "--out=o", "--n_samples=-1"], 2, "--n_samples=-1"),
        (["--model_name=one", "--out=o", "--temperature=-1"], 2, "temperature=-1"),
        (["--model_name=nobody", "--out=o"], 1, "'nobody'"),
        (["--model_name=one", "--out=."], 2, "name of a new folder"),
        (["--model_name=one", "--out=there"], 1, "there exists already"),
        (["--model_name=one", "--out=file"], 1, "file exists already"),
        (["--model_name=one", "--out=file/o"], 1, "cannot write"),
    ],
)
def test_what_cannot_be_published_is_told_and_leaves_nothing(here, capsys, flags, code, said):
    make(here / "model-weights", "one", "base")
    (here / "there").mkdir()
    (here / "there" / "x").write_bytes(b"x")
    (here / "file").write_bytes(b"x")
    before = files_in(here)
    got, out, err = answer(capsys, "publish", *flags)
    assert got == code and out == "" and said in err and "Traceback" not in err, err
    assert files_in(here) - {n for n in files_in(here) if n.startswith("cache/")} == before
    assert not (here / "o").exists()
