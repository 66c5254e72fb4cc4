"""`pixace evaluate` end to end in a temporary folder."""

import dataclasses
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from runs import contents, events, make_pictures, quiet_train
from test_cli import answer
from tiny import tiny_config, tiny_parameters

import pixace
from pixace.checkpoints import load_config, save_config, save_weights
from pixace.config import RunConfig, TokenizerConfig, TrainConfig
from pixace.dataset import load_tokens, split
from pixace.errors import ConfigError, PixaceError
from pixace.evaluation.pictures import find_pictures_of
from pixace.tokenizer import Tokenizer

CHECKPOINTS = Path(__file__).parent / "golden" / "checkpoints"
TOKENIZER = TokenizerConfig(bitdepth=(2, 2, 2), image_size=8)
STEP = 7


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working folder with 24 pictures and the model `m`, which says that it held a quarter of them out."""
    monkeypatch.chdir(tmp_path)
    make_pictures(tmp_path / "pictures")
    make_model(TrainConfig(images="pictures", val_fraction=0.25))
    return tmp_path


def make_model(training: TrainConfig | None, name: str = "m", **options) -> Path:
    folder = Path("model-weights") / name
    config = tiny_config(tokenizer=TOKENIZER, d_model=16, n_layers=1, **options)
    save_config(folder, RunConfig(TOKENIZER, config, training))
    save_weights(folder, tiny_parameters(config), step=STEP)
    return folder


def evaluate(capsys, *flags: str) -> tuple[dict, str]:
    """The object that the command prints, and what it said; it must succeed. Nothing is drawn unless flags say so."""
    code, out, err = answer(capsys, "evaluate", "--json", "--n_samples=0", *flags)
    assert code == 0, err
    return json.loads(out), err


@pytest.mark.subset
def test_the_command_prints_saves_and_tracks_the_same_figures(here, capsys):
    code, out, err = answer(capsys, "evaluate", "--model_name=m", "--n_samples=5")
    assert code == 0 and "device: CPU" in err and "Traceback" not in err
    folder = here / "model-weights" / "m" / "evaluation"
    saved = json.loads((folder / "evaluation.json").read_text())
    assert (saved["step"], saved["pictures"], saved["skipped"]) == (STEP, 6, [])
    nats = saved["likelihood"]["nats_a_token"]["mean"]
    assert f"nats a token                    {nats:.4f}" in out
    assert f"{saved['bits_a_dimension']['mean']:.4f}" in out and f"{saved['fidelity']['psnr']:.2f} dB" in out
    assert "verdict" in out and "sliced Wasserstein" in out and "in model-weights/m/evaluation" in out
    names = {"loss_map", "best_and_worst", "nearest_training_pictures"}
    assert {file.stem for file in folder.glob("*.png")} == names
    for name in names:
        with Image.open(folder / f"{name}.png") as picture:
            assert min(picture.size) > 200
    board = events(folder)
    (scalar,) = board.Scalars("nats_a_token")
    assert scalar.step == STEP and scalar.value == pytest.approx(nats, rel=1e-6)
    assert set(board.Tags()["images"]) == names and "figures/text_summary" in board.Tags()["tensors"]


def test_no_picture_of_an_earlier_evaluation_stays(here, capsys):
    folder = here / "model-weights" / "m" / "evaluation"
    for n_samples, drawn in (5, {"nearest_training_pictures"}), (0, set()):
        evaluate(capsys, "--model_name=m", f"--n_samples={n_samples}")
        assert {file.stem for file in folder.glob("*.png")} == {"loss_map", "best_and_worst"} | drawn


def test_the_figures_are_those_of_the_model_and_its_tokens(here, capsys):
    found, _ = evaluate(capsys, "--model_name=m", "--batch_size=4", "--n_samples=5")
    model = pixace.load("m")
    tokens = np.asarray(split(load_tokens("pictures", TOKENIZER), 0.25)[1].tokens)
    of_token = -np.take_along_axis(model.log_probs(tokens), tokens[..., None].astype(int), -1)
    assert found["likelihood"]["nats_a_token"]["mean"] == pytest.approx(of_token.mean(), rel=1e-5)
    per_picture = of_token.mean(axis=(1, 2))
    expected = per_picture.std(ddof=1) / math.sqrt(6)
    assert found["likelihood"]["nats_a_token"]["error"] == pytest.approx(expected, rel=1e-4)
    bits = found["likelihood"]["bits_a_pixel"]["mean"] + found["cell_bits"]["mean"]
    assert found["bits_a_dimension"]["mean"] == pytest.approx(bits / 3)
    assert 10 < found["cell_bits"]["mean"] < 24
    assert found["drawn"]["pictures"] == 5 and found["drawn"]["copies"]["training_pictures"] == 18


def test_validation_pictures_are_those_that_training_held_out(here):
    quiet_train("t", here / "model-weights", here / "pictures", val_fraction=0.25, n_steps=1)
    config = load_config(here / "model-weights" / "t")
    found = find_pictures_of(config, None, None, with_training=True)
    learnt, held_out = split(load_tokens(here / "pictures", config.tokenizer), 0.25)
    np.testing.assert_array_equal(found.real.tokens, held_out.tokens)
    assert found.training is not None
    np.testing.assert_array_equal(found.training.tokens, learnt.tokens)
    tokenizer = Tokenizer(config.tokenizer)
    names, learnt_names = ([part.name(i) for i in range(len(part))] for part in (found.real, found.training))
    for row, name in zip(found.real.tokens, names, strict=True):
        np.testing.assert_array_equal(tokenizer.encode(here / "pictures" / name), row)
    assert not set(names) & set(learnt_names) and len(names) == 6


def test_validation_pictures_inside_the_training_folder_are_kept_apart(here, capsys):
    (here / "pictures" / "val").mkdir()
    for i in range(5):
        shutil.move(here / "pictures" / f"{i:03d}.png", here / "pictures" / "val")
    make_model(TrainConfig(images="pictures", val_images="pictures/val"))
    found, _ = evaluate(capsys, "--model_name=m", "--n_samples=5")
    assert found["pictures"] == 5 and "validation pictures in pictures/val" in found["images"]
    assert found["drawn"]["copies"]["training_pictures"] == 19
    named, _ = evaluate(capsys, "--model_name=m", "--images=pictures/val", "--train_images=pictures", "--n_samples=5")
    assert named["drawn"]["copies"]["training_pictures"] == 19
    assert named["likelihood"] == found["likelihood"]


def test_drawn_pictures_that_are_copies_are_found(here, capsys):
    learnt, held_out = split(load_tokens("pictures", TOKENIZER), 0.25)
    tokenizer = Tokenizer(TOKENIZER)
    (here / "drawn").mkdir()
    for i in range(6):
        rgb = tokenizer.decode(np.asarray((learnt if i < 4 else held_out).tokens[i - 4]))
        Image.fromarray(rgb[:, ::-1] if i % 2 else rgb).save(here / "drawn" / f"{i}.png")
    found, _ = evaluate(capsys, "--model_name=m", "--samples=drawn", "--n_samples=10")
    assert (found["drawn"]["pictures"], found["drawn"]["copies"]["duplicates"]) == (6, 4)
    assert found["drawn"]["copies"]["verdict"].startswith("4 of 6 drawn pictures are training pictures")
    assert found["drawn"]["source"] == "of drawn"


def test_the_same_seed_draws_and_measures_the_same(here, capsys):
    first, _ = evaluate(capsys, "--model_name=m", "--n_samples=5", "--seed=3")
    again, _ = evaluate(capsys, "--model_name=m", "--n_samples=5", "--seed=3")
    other, _ = evaluate(capsys, "--model_name=m", "--n_samples=5", "--seed=4")
    assert first["drawn"] == again["drawn"] != other["drawn"]
    assert len(events(here / "model-weights" / "m" / "evaluation").Scalars("nats_a_token")) == 1


def test_evaluating_leaves_the_run_as_it_was_and_training_goes_on(here, capsys):
    quiet_train("t", here / "model-weights", here / "pictures", val_fraction=0.25, n_steps=3)
    before = contents(here / "model-weights" / "t")
    evaluate(capsys, "--model_name=t")
    after = contents(here / "model-weights" / "t")
    assert {name: after[name] for name in before} == before
    assert all("/evaluation/" in name for name in after.keys() - before.keys())
    said = quiet_train("t", here / "model-weights", here / "pictures", val_fraction=0.25, n_steps=5)
    assert "going on from step 3" in "\n".join(said)
    evaluate(capsys, "--model_name=t")
    assert [s.step for s in events(here / "model-weights" / "t" / "evaluation").Scalars("nats_a_token")] == [3, 5]


@pytest.mark.parametrize("name", ["transformer", "reformer"])
def test_a_checkpoint_of_trax_is_measured(here, capsys, name):
    (here / "trax").mkdir()
    for ending in (".pkl.gz", ".weights.npy.gz"):
        shutil.copy(CHECKPOINTS / f"{name}{ending}", here / "trax" / f"model{ending}")
    found, err = evaluate(
        capsys,
        "--checkpoint=trax/model.pkl.gz",
        "--images=pictures",
        "--n_heads=2",
        "--bitdepth=2,2,2",
        "--n_samples=5",
    )
    assert found["pictures"] == 24 and found["step"] == 2 and found["tokens"].startswith("4x4 pixels")
    assert "the model does not say what it was trained on; --train_images=FOLDER names them" in err
    assert found["drawn"]["copies"] is None and found["drawn"]["patches"]["pictures"] == 5
    assert sorted(p.name for p in (here / "model-evaluation").iterdir()) == [
        "best_and_worst.png",
        "evaluation.json",
        "loss_map.png",
    ]
    assert sorted(p.name for p in (here / "trax").iterdir()) == ["model.pkl.gz", "model.weights.npy.gz"]


@pytest.mark.parametrize("options", [{"attention": "lsh", "window": 16}, {"attention": "local", "window": 16}])
def test_other_attentions_and_reformers_are_measured(here, capsys, options):
    make_model(TrainConfig(images="pictures", val_fraction=0.25), "other", model_type="reformer", **options)
    found, _ = evaluate(capsys, "--model_name=other", "--n_images=4")
    assert found["pictures"] == 4 and found["likelihood"]["nats_a_token"]["mean"] > 0


def test_python_gets_the_figures_in_a_frozen_object(here):
    said: list[str] = []
    found = pixace.evaluate("m", images="pictures", n_samples=0, n_images=3, out_dir="out", say=said.append)
    assert isinstance(found, pixace.Evaluation) and found.drawn is None and found.pictures == 3
    assert found.loss_map.shape == (8, 8)
    assert found.loss_map.mean() == pytest.approx(found.likelihood.nats_a_token.mean, rel=1e-5)
    assert sorted(file.name for file in found.files) == sorted(p.name for p in (here / "out").iterdir())
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.step = 3  # type: ignore[misc]
    assert any(line.startswith("device:") for line in said)


def test_a_model_folder_that_cannot_be_written_costs_a_line_each(here, capsys):
    (here / "model-weights" / "m" / "evaluation").write_text("in the way")
    before = contents(here / "model-weights")
    code, out, err = answer(capsys, "evaluate", "--model_name=m", "--n_samples=0")
    assert code == 0 and "nats a token" in out and "saved" not in out
    warnings = [line for line in err.splitlines() if line.startswith("warning")]
    assert len(warnings) == 2 and "--out_dir names another folder" in warnings[0] and "TensorBoard" in warnings[1]
    code, out, err = answer(capsys, "evaluate", "--model_name=m", "--n_samples=0", "--out_dir=out")
    assert code == 0 and "saved loss_map.png, best_and_worst.png, evaluation.json in out" in out
    assert err.count("warning") == 1 and contents(here / "model-weights") == before


def test_files_that_are_no_pictures_are_counted_and_listed(here, capsys):
    (here / "pictures" / "broken.png").write_bytes(b"no picture")
    found, _ = evaluate(capsys, "--model_name=m", "--images=pictures")
    assert found["pictures"] == 24 and [name for name, _ in found["skipped"]] == ["broken.png"]
    _, out, _ = answer(capsys, "evaluate", "--model_name=m", "--images=pictures", "--n_samples=0")
    assert "1 file skipped" in out


def test_few_pictures_give_no_patch_distance_but_all_else(here, capsys):
    found, err = evaluate(capsys, "--model_name=m", "--n_images=1", "--n_samples=5")
    assert found["drawn"]["patches"] is None and "no sliced Wasserstein distance" in err
    assert found["likelihood"]["nats_a_token"]["error"] is None and found["drawn"]["copies"]["held_out_pictures"] == 1


@pytest.mark.parametrize(
    ("flags", "code", "said"),
    [
        ([], 2, "--model_name=NAME"),
        (["--model_name=m", "--checkpoint=m"], 2, "give one of them"),
        (["--model_name=nobody"], 1, "no model 'nobody'"),
        (["--checkpoint=nowhere"], 1, "there is no nowhere"),
        (["--model_name=m", "--images=empty"], 1, "no pictures"),
        (["--model_name=m", "--images=nowhere"], 1, "nowhere"),
        (["--model_name=m", "--train_images=nowhere", "--images=pictures"], 1, "nowhere"),
        (["--model_name=m", "--samples=empty"], 1, "no pictures"),
        (["--model_name=m", "--n_images=0"], 2, "n_images=0: at least 1"),
        (["--model_name=m", "--n_samples=-1"], 2, "n_samples=-1: at least 0"),
        (["--model_name=m", "--batch_size=0"], 2, "batch_size=0"),
        (["--model_name=m", "--seed=-1"], 2, "seed=-1"),
        (["--model_name=m", "--temperature=-1"], 2, "temperature=-1"),
        (["--model_name=m", "--image_size=9"], 2, "--image_size=9 contradicts"),
        (["--model_name=m", "--out_dir=file"], 1, "cannot write file"),
        (["--model_name=m", "--device=tpu"], 1, "--device=tpu"),
        (["--model_name=plain"], 2, "was trained without validation pictures; give pictures"),
        (["--model_name=given"], 2, "was not trained here; give pictures to measure it on as --images=FOLDER"),
        (["--model_name=moved"], 1, "a part of them was held out"),
        (["--model_name=val"], 1, "validation pictures are gone: gone cannot be read"),
    ],
)
def test_what_cannot_be_measured_is_told_in_a_line(here, capsys, flags, code, said):
    (here / "empty").mkdir()
    (here / "file").write_text("")
    make_model(TrainConfig(images="pictures"), "plain")
    make_model(None, "given")
    make_model(TrainConfig(images="gone", val_fraction=0.5), "moved")
    make_model(TrainConfig(images="pictures", val_images="gone"), "val")
    got, out, err = answer(capsys, "evaluate", *flags)
    assert (got, out) == (code, "") and said in err and "Traceback" not in err, err
    assert sum(line.startswith("pixace evaluate: ") for line in err.splitlines()) == 1


def test_training_pictures_that_are_gone_cost_only_the_search_for_copies(here, capsys):
    make_model(TrainConfig(images="gone", val_images="pictures"), "val")
    found, err = evaluate(capsys, "--model_name=val", "--n_samples=5")
    assert found["drawn"]["copies"] is None and found["drawn"]["patches"] is not None
    assert "no search for copies: the model's training pictures are gone" in err


def test_python_raises_errors_of_its_own_kinds(here):
    with pytest.raises(ConfigError, match="n_samples=-1"):
        pixace.evaluate("m", n_samples=-1)
    with pytest.raises(PixaceError, match="no model"):
        pixace.evaluate("nobody")
