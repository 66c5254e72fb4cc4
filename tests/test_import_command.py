"""`pixace import`, and Trax checkpoints given where a model is asked for."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from runs import make_pictures
from test_cli import answer

import pixace
from pixace.checkpoints import load_config, weights_step
from pixace.errors import ConfigError, PixaceError

CHECKPOINTS = Path(__file__).parent / "golden" / "checkpoints"


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working folder with the checkpoints, named as Trax names them, each in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    for name in ("transformer", "reformer"):
        for ending in (".pkl.gz", ".weights.npy.gz"):
            (tmp_path / name).mkdir(exist_ok=True)
            shutil.copy(CHECKPOINTS / f"{name}{ending}", tmp_path / name / f"model{ending}")
    return tmp_path


def picture() -> np.ndarray:
    with Image.open("collage.png") as sheet:
        return np.asarray(sheet)


@pytest.mark.subset
@pytest.mark.parametrize("name", ["transformer", "reformer"])
def test_an_imported_model_is_whole_and_draws(here, capsys, name):
    code, out, err = answer(
        capsys, "import", f"--checkpoint={name}/model.pkl.gz", "--model_name=mine", "--n_heads=2", "--bitdepth=2,2,2"
    )
    assert code == 0 and "guessed" not in err, err
    assert f"{name} of " in out and "2 layers, 2 heads, 4x4 pixels of 2,2,2 bits, step 2" in out
    folder = here / "model-weights" / "mine"
    assert sorted(p.name for p in folder.iterdir()) == ["config.json", "weights.safetensors"]
    config = load_config(folder)
    assert config.training is None and config.model.arch == "trax" and config.model.dropout == 0.1
    assert weights_step(folder) == 2
    code, out, err = answer(capsys, "predict", "--model_name=mine", "--batch_size=2", "--scale=6", "--seed=1")
    assert code == 0 and picture().shape == (6, 12, 3), err


def test_what_had_to_be_guessed_is_told(here, capsys):
    code, _, err = answer(capsys, "import", "--checkpoint=transformer/model.pkl.gz", "--model_name=mine")
    assert code == 0
    assert "n_heads=8 is guessed" in err and "bitdepth=2,2,2 is guessed" in err


@pytest.mark.parametrize("name", ["transformer", "reformer"])
def test_predict_takes_a_checkpoint_of_trax_directly(here, capsys, name):
    sheets = []
    answer(capsys, "import", f"--checkpoint={name}/model.pkl.gz", "--model_name=mine", "--n_heads=2")
    wanted = ("--batch_size=2", "--scale=6", "--seed=1", "--n_heads=2")
    for which in (
        ["--model_name=mine"],
        [f"--checkpoint={name}/model.pkl.gz"],
        [f"--checkpoint={name}"],
        [f"--model_name={name}", "--weights_dir=."],  # as the source project has its models
    ):
        code, _, err = answer(capsys, "predict", *which, *wanted)
        assert code == 0, err
        sheets.append(picture())
    assert all(np.array_equal(sheet, sheets[0]) for sheet in sheets) and sheets[0].std() > 0


def test_training_starts_from_a_checkpoint_of_trax(here, capsys):
    pictures = make_pictures(here / "pictures", 4)
    flags = [
        "--noema",
        "--optimizer=adamw",
        "--lr=1e-12",
        "--n_steps=1",
        "--batch_size=2",
        "--n_samples=0",
        f"--images={pictures}",
        "--weights_dir=w",
    ]
    code, _, err = answer(capsys, "train", "--model_name=go", "--checkpoint=reformer/model.pkl.gz", *flags)
    assert code == 0 and err.count("is guessed") == 1, err
    assert "starting from the weights of reformer/model.pkl.gz" in err
    tokens = np.arange(2, 18)[None]
    trained, given = pixace.load("go", "w"), pixace.load("reformer/model.pkl.gz", say=lambda line: None)
    np.testing.assert_allclose(trained.log_probs(tokens), given.log_probs(tokens), atol=1e-4)
    contradicting = ["--model_name=other", "--checkpoint=reformer/model.pkl.gz", "--image_size=8"]
    code, _, err = answer(capsys, "train", *contradicting, *flags)
    assert code == 2 and "--image_size=8 needs 64 positions, the model has 20" in err
    assert not (here / "w" / "other").exists()


def test_a_model_that_is_there_is_not_written_over(here, capsys):
    flags = ["import", "--checkpoint=reformer/model.pkl.gz", "--model_name=mine", "--bitdepth=2,2,2"]
    assert answer(capsys, *flags)[0] == 0
    before = {p: p.read_bytes() for p in (here / "model-weights" / "mine").iterdir()}
    code, out, err = answer(capsys, *flags)
    assert (code, out) == (1, "") and "holds a model already; choose another --model_name" in err
    assert {p: p.read_bytes() for p in (here / "model-weights" / "mine").iterdir()} == before


def test_what_fails_half_way_leaves_nothing(here, monkeypatch):
    def full(*_):
        raise PixaceError("the disk is full")

    monkeypatch.setattr("pixace.exchange.save_config", full)
    with pytest.raises(PixaceError, match="full"):
        pixace.import_model("reformer/model.pkl.gz", "mine", say=[].append)
    assert not list((here / "model-weights").iterdir())
    monkeypatch.undo()
    monkeypatch.chdir(here)
    pixace.import_model("reformer/model.pkl.gz", "mine", say=[].append)
    monkeypatch.setattr("pixace.exchange.write_trax", lambda out, *_: full(out.write_text("half")))
    with pytest.raises(PixaceError, match="full"):
        pixace.export_model("mine", "out.pkl.gz", "trax")
    assert not list(here.glob("out*"))


def test_a_model_may_lie_beside_the_checkpoint_it_comes_from(here, capsys):
    code, _, err = answer(
        capsys, "import", "--checkpoint=reformer/model.pkl.gz", "--model_name=reformer", "--weights_dir=."
    )
    assert code == 0, err
    assert (here / "reformer" / "config.json").is_file() and (here / "reformer" / "model.pkl.gz").is_file()


@pytest.mark.parametrize(
    ("flags", "code", "said"),
    [
        (["--checkpoint=reformer/model.pkl.gz"], 2, "--model_name=NAME"),
        (["--model_name=x"], 2, "--checkpoint=model.pkl.gz"),
        (["--checkpoint=reformer/model.pkl.gz", "--model_name=a/b"], 2, "plain name"),
        (["--checkpoint=gone.pkl.gz", "--model_name=x"], 1, "there is no gone.pkl.gz"),
        (["--checkpoint=reformer/model.weights.npy.gz", "--model_name=x"], 1, "give the .pkl.gz file"),
        (["--checkpoint=bad.pkl.gz", "--model_name=x"], 1, "bad.pkl.gz cannot be read as a Trax checkpoint"),
        (["--checkpoint=reformer/model.pkl.gz", "--model_name=x", "--model_type=transformer"], 2, "reformer"),
        (["--checkpoint=reformer/model.pkl.gz", "--model_name=x", "--bitdepth=5,4,4"], 2, "--bitdepth=5,4,4"),
        (["--checkpoint=alone.safetensors", "--model_name=x"], 1, "alone.safetensors is damaged"),
    ],
)
def test_what_cannot_be_imported_is_told_in_a_line_and_leaves_nothing(here, capsys, flags, code, said):
    (here / "bad.pkl.gz").write_bytes(b"nothing")
    (here / "alone.safetensors").write_bytes(b"nothing")
    got, out, err = answer(capsys, "import", *flags)
    assert (got, out) == (code, "") and said in err and "Traceback" not in err, err
    assert not (here / "model-weights").exists()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"bitdepth": "2,2,2"}, "bitdepth='2,2,2' is not of type tuple"),
        ({"n_heads": "2"}, "n_heads='2' is not of type int"),
        ({"nheads": 2}, "nothing is known of a model by the name of nheads"),
    ],
)
def test_what_python_is_told_wrongly_is_refused(here, given, said):
    with pytest.raises(ConfigError, match=said):
        pixace.load("reformer/model.pkl.gz", given=given)
