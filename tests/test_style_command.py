"""`pixace style` and `stylize` end to end, by a small network of random weights."""

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_vgg import save_arrays
from test_cli import answer

from pixace import stylize
from pixace.errors import ConfigError, PixaceError
from pixace.sheets import read_metadata
from pixace.style.source_names import run_gatys_optimization

QUICK = ("--content_layers=relu2_1", "--style_layers=relu1_1,relu2_1", "--size=48", "--min_size=none", "--steps=12")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Weights as Keras names them, up to conv2_1."""
    return save_arrays(tmp_path_factory.mktemp("weights") / "small.npz", "relu2_1")


@pytest.fixture
def run(capsys):
    """Exit code, output and error of a command line, run in this process."""
    return partial(answer, capsys)


@pytest.fixture
def pictures(here):
    random = np.random.default_rng(0)
    for name, (height, width) in {"a": (40, 60), "b": (50, 50), "c": (30, 70)}.items():
        coarse = random.integers(0, 256, (5, 7, 3), np.uint8)
        Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC).save(here / f"{name}.png")
    return here


def opened(path):
    with Image.open(path) as picture:
        picture.load()
        return picture


def n_frames(path):
    with Image.open(path) as picture:
        return picture.n_frames


def lines_of(path):
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def options(weights, **more):
    return {
        "network": str(weights),
        "content_layers": "relu2_1",
        "style_layers": "relu1_1,relu2_1",
        "size": "48",
        "min_size": None,
        "steps": 10,
        "progress": lambda *_: None,
        **more,
    }


def test_a_picture_in_the_style_of_another(pictures, weights, run):
    code, out, err = run(
        "style", "--content=a.png", "--style=b.png,c.png", "--style_weights=3,1", f"--network={weights}", *QUICK,
        "--save_gif", "--save_frames", "--save_losses", "--every=4", "--out=new/s.png",
    )  # fmt: skip
    assert code == 0, err
    assert opened("new/s.png").size == (48, 32)
    assert sorted(os.listdir("new/s_frames")) == ["00001.png", "00004.png", "00008.png", "00012.png"]
    assert n_frames("new/s.gif") > 3
    lines = lines_of("new/s.jsonl")
    assert [line["step"] for line in lines] == list(range(1, 13))
    assert lines[-1]["loss"] < lines[0]["loss"] and {"content", "style", "tv"} <= lines[0].keys()
    assert json.loads(read_metadata("new/s.png")["style transfer"])["style_weights"] == "3,1"
    assert "saved new/s.png, new/s.jsonl, new/s_frames, new/s.gif (12 steps" in out


def test_the_names_of_the_source_project_are_taken(pictures, weights, run):
    code, _, err = run(
        "style", "--content_src=a.png", "--style_src=b.png", "--recipe=gatys", f"--network={weights}",
        "--content_labels=conv_2_1", "--style_labels=conv_1_1,conv_2_1", "--image_size=(32, 40)", "--nocenter_crop",
        "--num_steps=2", "--lbfgs_iters=3", "--init_noise", "--save_fp=g.png", "--save_all",
    )  # fmt: skip
    assert code == 0, err
    assert opened("g.png").size == (40, 32)
    settings = json.loads(read_metadata("g.png")["style transfer"])
    wanted = {"optimizer": "lbfgs", "steps": 6, "init": "noise", "fit": "stretch", "statistic": "gram_chw"}
    assert wanted.items() <= settings.items()


def test_the_source_projects_call(pictures, weights):
    picture = run_gatys_optimization(
        "a.png", "b.png", (32, 32), content_labels=None, style_labels=["conv_1_1", "conv_2_1"], num_steps=2,
        lbfgs_iters=4, save_fp="k.png", save_losses=True, network=str(weights),
    )  # fmt: skip
    assert picture.size == (32, 32) and len(lines_of("k.jsonl")) == 8
    with pytest.raises(ConfigError, match="save_fp"):
        run_gatys_optimization("a.png", "b.png", save_gif=True)


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_the_same_seed_gives_the_same_picture(pictures, weights, optimizer):
    first, again, other = (
        stylize("a.png", "b.png", **options(weights, init="noise", seed=seed, optimizer=optimizer))
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first.picture, again.picture)
    assert np.abs(first.picture - other.picture).max() > 0.01


@pytest.mark.parametrize("statistic", ["wasserstein", "moments", "gram_hw", "gram_chw", "cosine"])
def test_every_statistic_comes_nearer_to_the_style(pictures, weights, statistic):
    found = stylize(None, "b.png", **options(weights, statistic=statistic, optimizer="lbfgs", tv_weight=0.0))
    assert found.steps[-1]["style"] < 0.5 * found.steps[0]["style"]


def test_content_alone_is_found_again(pictures, weights):
    given = options(weights, init="noise", optimizer="lbfgs", steps=60, content_layers="relu1_1", size="24")
    found = stylize("a.png", content_weight=1.0, tv_weight=0.0, **given)
    true = np.asarray(opened("a.png").resize((24, 16), Image.Resampling.LANCZOS)) / 255
    assert np.abs(found.picture - true).mean() < 0.05


@pytest.mark.parametrize("canvas", ["pixels", "imstack", "fourier", "laplacian"])
def test_scales_go_on_from_what_the_last_one_found(pictures, weights, canvas):
    sizes = []
    given = options(weights, canvas=canvas, min_size=24, steps=4)
    found = stylize("a.png", "b.png", on_step=lambda step: sizes.append(step.size), **given)
    assert sizes == [(16, 24)] * 8 + [(23, 34)] * 4 + [(32, 48)] * 4 and found.picture.shape == (32, 48, 3)


def test_windows_give_the_same_picture(pictures, weights):
    given = options(weights, size="128x96", steps=3, style_size=50)
    whole, cut = (stylize("a.png", "b.png", tile=tile, **given) for tile in (1024, 96))
    assert whole.picture.shape == (96, 128, 3)
    difference = np.abs(cut.picture - whole.picture)  # Adam's first steps hang on signs: rounding shows in a few pixels
    assert difference.mean() < 1e-4 and np.quantile(difference, 0.999) < 2e-3


def test_colours_of_the_content_stay(pictures, weights):
    content = np.asarray(opened("a.png").resize((48, 32), Image.Resampling.LANCZOS)) / 255
    plain = stylize("a.png", "b.png", **options(weights))
    for color in ("luminance", "grey", "match"):
        found = stylize("a.png", "b.png", color=color, **options(weights))
        shift = np.abs(found.picture.mean((0, 1)) - content.mean((0, 1))).max()
        assert shift < 0.06, color
        assert np.abs(found.picture - plain.picture).max() > 0.02


def test_a_mask_keeps_the_rest(pictures, weights):
    mask = np.zeros((40, 60), np.uint8)
    mask[:, :30] = 255
    found = stylize("a.png", "b.png", mask=mask, style_mask=np.full((50, 50), 255, np.uint8), **options(weights))
    content = np.asarray(opened("a.png").resize((48, 32), Image.Resampling.LANCZOS), np.float32) / 255
    np.testing.assert_allclose(found.picture[:, 30:], content[:, 30:], atol=1e-6)
    assert np.abs(found.picture[:, :20] - content[:, :20]).max() > 0.05


def test_a_sweep_has_a_column_for_each_layer(pictures, weights, run):
    code, _, err = run(
        "style", "--content=a.png", "--style=b.png", "--sweep=relu1_1,relu2_1", f"--network={weights}", "--size=24",
        "--steps=3", "--out=sweep.png",
    )  # fmt: skip
    assert code == 0, err
    assert opened("sweep.png").width > 3 * 256


def test_a_set_of_layers_wins_over_those_of_the_recipe(pictures, weights, run):
    given = ("style", "--content=a.png", "--style=b.png", "--recipe=gatys", "--layers=shallow", f"--network={weights}")
    code, _, err = run(*given)
    assert code == 1 and "not enough for relu3_1, relu3_3;" in err, err  # the recipe asks for relu4_3
    code, _, err = run(*given, "--sweep=relu1_1", "--size=24", "--steps=1", "--out=sweep.png")
    assert code == 0, err


def test_saliency_stands_beside_the_picture(pictures, weights, run):
    code, _, err = run(
        "style", "--content=a.png", "--saliency=relu2_1", f"--network={weights}", "--size=48", "--out=s.png"
    )
    assert code == 0, err
    both = np.asarray(opened("s.png"), int)
    assert both.shape == (32, 96, 3) and np.abs(both[:, :48] - both[:, 48:]).mean() > 5


@pytest.mark.parametrize(
    ("given", "code", "said"),
    [
        ([], 2, "which pictures?"),
        (["train.png"], 2, "pixace style train.png"),
        (["--content=a.png", "--style=b.png", "--layers=default"], 1, "is not enough for"),
        (["--content=a.png", "--style=b.png", "--content_layers=relu9_1"], 2, "no layer 'relu9_1'"),
        (["--content=a.png", "--style=b.png", *QUICK, "--style_weights=1,2"], 2, "1 styles need a weight each"),
        (["--content=a.png", "--style=b.png", *QUICK, "--mask=a.png,b.png"], 2, "2 of --mask for 1 styles"),
        (["--style=b.png", *QUICK, "--color=luminance"], 2, "needs a content picture"),
        (["--content=a.png", "--style=b.png", *QUICK, "--size=0x9"], 2, "size=0x9"),
        (["--content=a.png", "--style=b.png", *QUICK, "--out=a.xyz"], 2, "pictures cannot be written"),
        (["--content=a.png", "--style=none.png", *QUICK], 1, "none.png does not exist"),
        (
            ["--content=a.png", "--style=b.png", *QUICK, "--style_weight=3e38", "--style_layers=relu1_1:1000"],
            1,
            "the loss is",
        ),
        (["--content=a.png", "--style=b.png", *QUICK, "--content_weight=0", "--style_weight=0"], 2, "nothing is left"),
        (["--style=b.png", "--saliency=relu1_1"], 2, "--saliency looks at the content"),
    ],
)
def test_mistakes_are_told_in_a_line(pictures, weights, run, given, code, said):
    found, _, err = run("style", *given, f"--network={weights}")
    lines = [line for line in err.splitlines() if line.startswith("pixace style:")]
    assert found == code and len(lines) == 1 and said in lines[0], err
    assert not os.path.exists("stylized.png")


def test_frames_that_are_there_already_are_not_mixed_with_new_ones(pictures, weights, run):
    os.makedirs("stylized_frames")
    Path("stylized_frames/00001.png").touch()
    code, _, err = run("style", "--content=a.png", "--style=b.png", "--save_frames", f"--network={weights}", *QUICK)
    assert code == 1 and "holds frames already" in err


def test_unknown_options_are_told(pictures):
    with pytest.raises(ConfigError, match="stepz is no option"):
        stylize("a.png", "b.png", stepz=3)
    with pytest.raises(PixaceError, match=r"nothing\.npz"):
        stylize("a.png", "b.png", network="nothing.npz")


def test_ctrl_c_saves_what_was_found(pictures, weights):
    command = [sys.executable, "-m", "pixace.cli.main", "style", "--content=a.png", "--style=b.png", *QUICK[:-1]]
    command += [f"--network={weights}", "--steps=100000", "--save_losses"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 90
    while not (os.path.exists("stylized.jsonl") and os.path.getsize("stylized.jsonl")):
        assert process.poll() is None and time.monotonic() < until, process.communicate()[1]
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGINT and "what was found so far is saved" in err
    assert opened("stylized.png").size == (48, 32)


def test_a_run_that_fails_leaves_an_older_file_of_figures_alone(pictures, weights, run):
    Path("old.jsonl").write_text("figures of another run\n")
    code, _, err = run("style", "--content=gone.jpg", "--style=b.png", "--out=old.png", "--save_losses", *QUICK)
    assert code == 1 and "gone.jpg" in err
    assert Path("old.jsonl").read_text() == "figures of another run\n"


@pytest.mark.parametrize("kind", ["--sweep=relu1_1", "--saliency=relu1_1"])
def test_an_ending_that_is_no_pictures_is_told_before_any_work(pictures, run, kind, monkeypatch):
    monkeypatch.setattr("pixace.cli.style._sweep", None)
    monkeypatch.setattr("pixace.cli.style._saliency", None)
    code, _, err = run("style", "--content=a.png", kind, "--out=x.xyz")
    assert code == 2 and "x.xyz" in err
