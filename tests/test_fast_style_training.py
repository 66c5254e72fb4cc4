"""Runs that train networks for fast style transfer: what they leave, and how they stop and go on."""

import json
import os
import shutil
import signal

import jax.numpy as jnp
import numpy as np
import pytest
from fast_style import EDGE, smooth, stripes, tiny_vgg
from PIL import Image

from pixace.cli import style_apply, style_train
from pixace.errors import ConfigError, PixaceError
from pixace.style.fast import run as run_module
from pixace.style.fast.config import FastTraining
from pixace.style.fast.model import load_model
from pixace.style.fast.step import METRICS, train_step
from pixace.style.fast.training import train_fast_style

SHORT = {
    "content_layers": "relu1_2",
    "style_layers": "relu1_1,relu1_2",
    "image_size": EDGE,
    "batch_size": 2,
    "width": 4,
    "n_residual": 1,
    "n_samples": 2,
    "steps_per_sample": 4,
    "flip": True,
    "device": "cpu",
}


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    """Pictures, two styles, and a file of weights as Keras names them."""
    folder = tmp_path_factory.mktemp("material")
    (folder / "photos").mkdir()
    for i, pixels in enumerate(smooth(5, seed=3)):
        Image.fromarray(pixels).save(folder / "photos" / f"{i}.png")
    for name, across in (("rows.png", False), ("columns.png", True)):
        Image.fromarray(np.rint(255 * stripes(across)).astype(np.uint8)).save(folder / name)
    arrays = {f"block1_{n.replace('1_', '')}_{kind}": w for n, layer in tiny_vgg().items() for kind, w in layer.items()}
    np.savez(folder / "vgg19.npz", **arrays)
    return folder


BOTH = ("rows.png", "columns.png")


def quiet(name, folder, material, styles=BOTH, **options) -> tuple[run_module.Result, list[str]]:
    said: list[str] = []
    given = {**SHORT, "images": material / "photos", "network": material / "vgg19.npz", **options}
    progress = given.pop("progress", lambda done, total, text="": None)
    paths = [material / style for style in styles]
    return train_fast_style(name, paths, folder, say=said.append, progress=progress, **given), said


def metrics(folder) -> list[dict]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{name: line[name] for name in ("step", *METRICS)} for line in lines]


def weights_of(folder) -> bytes:
    return (folder / "weights.safetensors").read_bytes()


@pytest.fixture(scope="module")
def whole(tmp_path_factory, material):
    """A run of 6 steps that nothing interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    result, said = quiet("art", folder, material, n_steps=6)
    assert (result.step, result.signal) == (6, None) and "done: 6 steps" in said[-1]
    return folder / "art"


def test_a_run_leaves_all_that_is_promised(whole):
    assert sorted(int(path.name) for path in (whole / "checkpoints").iterdir()) == [6]
    assert [line["step"] for line in metrics(whole)] == list(range(1, 7))
    assert list(whole.glob("events.out.tfevents.*")) and (whole / "styles" / "1.png").exists()
    for step in (4, 6):
        with Image.open(whole / "samples" / f"{step:08d}.png") as sheet:
            assert sheet.size == (3 * (EDGE + 2), 2 * (EDGE + 2))  # a row a picture: itself, and in each style
    model = load_model(whole)
    assert (model.name, model.config.network.width, model.config.training.n_steps) == ("art", 4, 6)


def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(whole, material, tmp_path):
    def stop(done, total, text=""):
        if done == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    result, said = quiet("art", tmp_path, material, n_steps=6, progress=stop)
    assert result.signal == signal.SIGTERM and 2 <= result.step < 6
    assert f"stopped by SIGTERM after step {result.step}, saved; the same command goes on" in said[-1]
    result, said = quiet("art", tmp_path, material, n_steps=6)
    assert result.step == 6 and any("going on from step" in line for line in said)
    assert weights_of(tmp_path / "art") == weights_of(whole)
    assert metrics(tmp_path / "art") == metrics(whole)


def test_more_steps_are_those_of_a_longer_run(whole, material, tmp_path):
    quiet("art", tmp_path, material, n_steps=3)
    quiet("art", tmp_path, material, n_steps=6)
    assert weights_of(tmp_path / "art") == weights_of(whole) and metrics(tmp_path / "art") == metrics(whole)


def test_a_finished_run_says_so_and_needs_nothing(whole, material, tmp_path):
    shutil.copytree(whole, tmp_path / "art")
    (tmp_path / "art" / "weights.safetensors").unlink()
    said: list[str] = []
    result = train_fast_style("art", (), tmp_path, device="cpu", say=said.append)
    assert result.step == 6 and "trained already: 6 steps" in said[-1] and "larger --n_steps" in said[-1]
    assert weights_of(tmp_path / "art") == weights_of(whole)


def test_a_run_goes_on_without_the_file_of_its_style(whole, material, tmp_path):
    shutil.copytree(whole, tmp_path / "art")
    config = json.loads((tmp_path / "art" / "config.json").read_text())
    config["styles"] = ["gone.png", "too.png"]
    (tmp_path / "art" / "config.json").write_text(json.dumps(config))
    assert quiet("art", tmp_path, material, styles=(), n_steps=7)[0].step == 7


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"width": 8}, "started with --width=4, now it is 8"),
        ({"batch_size": 4}, "started with --batch_size=2, now it is 4"),
        ({"styles": ("columns.png",)}, "started with --style=.*rows.png, .*columns.png, now it is .*columns.png"),
        ({"n_style": 1}, "unknown training options: n_style"),
        ({"n_styles": 1}, "unknown training options: n_styles"),
        ({"lr": "fast"}, "lr='fast' is not of type float"),
    ],
)
def test_contradictions_say_both_values(whole, material, options, said):
    before = weights_of(whole)
    with pytest.raises(ConfigError, match=said):
        quiet("art", whole.parent, material, **options)
    assert weights_of(whole) == before


def test_a_loss_that_is_no_number_stops_the_run(whole, material, tmp_path, monkeypatch):
    shutil.copytree(whole, tmp_path / "art")

    def step(*arguments):
        state, figures = train_step(*arguments)
        return state, jnp.where(state.step < 8, figures, jnp.nan)

    monkeypatch.setattr(run_module, "train_step", step)
    with pytest.raises(PixaceError, match=r"the loss is nan at step 8; the last good checkpoint is that of step 6;"):
        quiet("art", tmp_path, material, n_steps=20)
    assert weights_of(tmp_path / "art") == weights_of(whole)
    assert [line["step"] for line in metrics(tmp_path / "art")] == list(range(1, 8))


def test_time_ends_a_run(material, tmp_path):
    told: list[int] = []
    watch = lambda done, total, text="": told.append(total)  # noqa: E731
    result, _ = quiet("art", tmp_path, material, n_steps=10_000, max_minutes=1e-6, progress=watch)
    assert told[-1] == 1  # not the 10,000 that there is no time for
    assert result.step == 1 and load_model(tmp_path / "art").config.training.n_steps == 10_000


def test_pictures_that_cannot_be_read_are_listed(material, tmp_path):
    shutil.copytree(material / "photos", tmp_path / "photos")
    (tmp_path / "photos" / "9.png").write_bytes(b"no picture")
    _, said = quiet("art", tmp_path, material, n_steps=1, images=tmp_path / "photos")
    assert any("left out: 1, listed in" in line for line in said)
    assert "9.png" in (tmp_path / "art" / "skipped.txt").read_text()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"styles": ()}, "no style: give a picture of it as --style"),
        ({"images": None}, "no pictures to train on"),
        ({"images": "missing"}, "missing"),
        ({"network": "missing.npz"}, "there is no file of weights missing.npz"),
        ({"style_layers": None}, "not enough for .*relu4_3"),
        ({"styles": ("photos",)}, "is a folder, not a picture"),
    ],
)
def test_what_is_missing_is_told_and_leaves_nothing(material, tmp_path, options, said):
    with pytest.raises(PixaceError, match=said):
        quiet("art", tmp_path, material, n_steps=1, **options)
    assert not (tmp_path / "art").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"content_layers": "relu9_9"}, "no layer 'relu9_9'"),
        ({"layers": "deep"}, "layers='deep' is not known"),
        ({"statistic": "median"}, "statistic='median' is not known"),
        ({"image_size": 8}, "image_size=8"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"lr": 0.0}, "lr=0.0"),
        ({"style_weight": -1.0}, "style_weight=-1.0"),
        ({"style_weight": float("nan")}, "style_weight=nan"),
        ({"max_minutes": 0.0}, "max_minutes=0.0"),
        ({"seed": -1}, "seed=-1"),
    ],
)
def test_options_that_make_no_sense_are_told(options, said):
    with pytest.raises(ConfigError, match=said):
        FastTraining(**options)


def test_layers_are_the_sources_or_those_of_a_set():
    names = lambda weighted: {name: weight for name, weight in weighted}  # noqa: C416, E731
    content, style = FastTraining().layers_of("vgg16")
    assert names(content) == {"relu3_3": 1} and names(style) == dict.fromkeys(
        ("relu1_2", "relu2_2", "relu3_3", "relu4_3"), 1
    )
    content, style = FastTraining(layers="shallow", content_layers="conv_2_2").layers_of("vgg19")
    assert names(content) == {"relu2_2": 1} and sum(names(style).values()) == pytest.approx(1)


# ---- the command


def test_command_trains_two_styles_and_applies_both(material, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    flags = [f"--{name.replace('_', '-')}={str(value).lower()}" for name, value in SHORT.items()]
    sources = [f"--data-dir={material / 'photos'}", f"--vgg={material / 'vgg19.npz'}"]
    styles = [f"--style={material / 'rows.png'},{material / 'columns.png'}"]
    assert style_train.run(["--model=two", *styles, *sources, *flags, "--n-steps=2"]) == 0
    said = capsys.readouterr().err
    assert "for 2 styles, 5 pictures of 16 pixels" in said and "model in style-models/two" in said
    photo = str(material / "photos" / "0.png")
    assert style_apply.run(["--model=two", photo, "--style-weights=1,1", "--device=cpu"]) == 0
    assert (tmp_path / "styled" / "0_two.png").exists()
    with Image.open(tmp_path / "style-models" / "two" / "samples" / "00000002.png") as sheet:
        assert sheet.size == (3 * (EDGE + 2), 2 * (EDGE + 2))


def test_command_names_the_run_by_the_time_and_counts_a_signal(material, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = {}

    def train(name, styles, weights_dir, **options):
        given.update(options, name=name, styles=styles, weights_dir=weights_dir)
        return run_module.Result(tmp_path, 1, None, signal.SIGINT)

    monkeypatch.setattr("pixace.style.fast.training.train_fast_style", train)
    assert style_train.run(["--style=a.jpg", "--style", "b.jpg", "--style-weight", "1e4", "--noema"]) == 130
    assert len(given.pop("name").split("_")) == 2
    assert given == {
        "styles": ["a.jpg", "b.jpg"],
        "weights_dir": "style-models",
        "device": "auto",
        "deterministic": False,
        "style_weight": 1e4,
        "ema": False,
    }


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--padding-mode=mirror"], "padding_mode"),
        (["--n_styles=2"], "n_styles"),
        (["--lr=fast"], "--lr=fast: a number is needed"),
        (["--model=a/b", "--style=a.jpg"], "must be a plain name"),
        (["--images=photos"], "no style"),
        (["--style=a.jpg"], "no pictures to train on"),
        (["--style=a.jpg", "--images=photos", "word"], "word"),
    ],
)
def test_bad_flags_are_told(tmp_path, monkeypatch, flags, said):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PixaceError, match=said):
        style_train.run(flags)
    assert not any(tmp_path.iterdir())


def test_a_run_that_was_killed_before_it_saved_begins_with_the_styles_of_now(tmp_path, material):
    (tmp_path / "anew" / "styles").mkdir(parents=True)
    shutil.copy(material / "columns.png", tmp_path / "anew" / "styles" / "0.png")
    quiet("anew", tmp_path, material, styles=("rows.png",), n_steps=1)
    with Image.open(tmp_path / "anew" / "styles" / "0.png") as kept, Image.open(material / "rows.png") as meant:
        assert np.asarray(kept).std(1).max() < np.asarray(meant.resize(kept.size)).std(0).max()
        np.testing.assert_array_equal(np.asarray(kept), np.asarray(meant.resize(kept.size, Image.Resampling.LANCZOS)))
