"""Style transfer where something goes wrong or ends early: what is saved, what is said, and which picture is named."""

import os
import signal
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from small_vgg import save_arrays
from test_cli import answer

from pixace.canvas.imstack import ImStack
from pixace.cli import style_train
from pixace.cli.style_pictures import picture_list
from pixace.errors import ConfigError, PixaceError
from pixace.progress import silent
from pixace.style import sweep as sweep_module
from pixace.style.descending import Diverged
from pixace.style.fast.apply import _name_results
from pixace.style.fast.config import FastConfig, FastTraining, TransformConfig
from pixace.style.fast.run import FastRun
from pixace.style.fast.training import train_fast_style
from pixace.style.transfer import stylize
from pixace.style.ui.jobs import Studio

LAYERS = {"content_layers": "relu1_1", "style_layers": "relu1_1", "min_size": None, "size": "24"}
FLAGS = [f"--{name}={value}" for name, value in LAYERS.items()]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return str(save_arrays(tmp_path_factory.mktemp("weights") / "small.npz", "relu1_1"))


@pytest.fixture
def run(capsys):
    """Exit code, output and error of a command line, run in this process."""
    return partial(answer, capsys)


@pytest.fixture
def pictures(here):
    """a.png, b.png (24 x 16 pixels) and one.png (1 x 1)."""
    random = np.random.default_rng(0)
    for name in ("a", "b"):
        Image.fromarray(random.integers(0, 256, (16, 24, 3), np.uint8)).save(here / f"{name}.png")
    Image.new("RGB", (1, 1), "red").save(here / "one.png")
    return here


def pixels(path) -> np.ndarray:
    with Image.open(path) as opened:
        return np.asarray(opened.convert("RGB"))


# Descent starts from the content, which is then not far from itself; after a long step it is, beyond float32.
BEYOND = {"content_weight": 3e38, "lr": 0.5, "steps": 5}


@pytest.mark.parametrize("average", [0.99, 0.0])
def test_the_best_picture_is_saved_where_the_loss_becomes_no_number(pictures, weights, run, average):
    flags = [f"--{name}={value}" for name, value in {**BEYOND, "average": average, "network": weights}.items()]
    code, _, err = run("style", "--content=a.png", "--style=b.png", *FLAGS, *flags, "--save_losses")
    lines = [line for line in err.splitlines() if line.startswith("pixace style:")]
    assert code == 1 and len(lines) == 1, err
    assert "the loss is inf at step 2 of 5; try a lower --lr" in lines[0] and "saved as stylized.png" in lines[0]
    np.testing.assert_array_equal(pixels("stylized.png"), pixels("a.png"))  # what the one good step looked at
    assert len(Path("stylized.jsonl").read_text().splitlines()) == 1


def test_python_gets_the_best_picture_with_the_error(pictures, weights):
    given: Any = {**LAYERS, **BEYOND, "network": weights, "progress": silent}
    with pytest.raises(Diverged, match="step 2 of 5") as caught:
        stylize("a.png", "b.png", **given)
    np.testing.assert_allclose(caught.value.best.picture, pixels("a.png") / 255, atol=1e-6)
    assert len(caught.value.best.steps) == 1


def test_ctrl_c_saves_the_pictures_of_a_sweep_that_are_done(pictures, weights, run, monkeypatch):
    calls = []

    def interrupted(*pictures, **given):
        calls.append(given)
        if len(calls) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return stylize(*pictures, **given)

    monkeypatch.setattr(sweep_module, "stylize", interrupted)
    code, out, err = run(
        "style", "--content=a.png", "--style=b.png", "--sweep=conv1_1,relu1_1", "--size=24", "--steps=1",
        f"--network={weights}", "--out=sheet.png",
    )  # fmt: skip
    assert code == 128 + signal.SIGINT and len(calls) == 2, err
    assert "saved sheet.png (1 of 4 pictures)" in out and "stopped" in err
    sheet = pixels("sheet.png")
    assert 2 * 256 < sheet.shape[1] < 3 * 256  # the content itself and one layer


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--content=a.png", "--style=one.png", "--style_layers=relu2_1"], "one.png (1x1)"),
        (["--content=a.png", "--style=b.png", "--content_layers=relu4_1"], "in the shape of a.png (24x16)"),
    ],
)
def test_a_picture_that_is_too_small_is_named_before_the_network_is_looked_for(pictures, run, given, said):
    size = "--size=10" if "relu4_1" in given[2] else "--size=24"
    code, _, err = run("style", *given, "--network=nothing.npz", "--min_size=none", size)
    assert code == 1 and said in err and "pixels an edge" not in err and "nothing.npz" not in err, err


def test_commas_in_the_name_of_a_file_are_its_own(here):
    (here / "a,b.png").touch()
    (here / "d, e,f.png").touch()
    assert picture_list(["a,b.png", "c.png, d, e,f.png"]) == ["a,b.png", "c.png", "d, e,f.png"]
    assert picture_list(["x.png,a,b.png,", "b.png"]) == ["x.png", "a,b.png", "b.png"]
    assert picture_list(None) == []


def test_results_keep_the_ending_of_their_pictures():
    names = ["x/a.JPG", "a.png", "y/a.jpg", "b.gif", "c.webp", "http://a.test/d?e=1"]
    kept, forced = ([path.name for _, path in _name_results(names, Path("o"), "m", end)] for end in (None, ".tif"))
    assert kept == ["a_m.JPG", "a_m.png", "a_m-2.jpg", "b_m.png", "c_m.webp", "d?e=1_m.png"]
    assert forced == ["a_m.tif", "a_m-2.tif", "a_m-3.tif", "b_m.tif", "c_m.tif", "d?e=1_m.tif"]


def test_the_source_projects_training_flags_are_taken(monkeypatch, capsys):
    found = {}
    monkeypatch.setattr(
        "pixace.style.fast.training.train_fast_style",
        lambda name, styles, folder, **given: found.update(given, styles=styles) or FastRunResult,
    )
    given = ["--style=s.png", "--use-avg-pool", "--anisotropic", "--epochs=2", "--tensorboard", "--num-workers=3"]
    assert style_train.run(given) == 0
    assert found["pooling"] == "average" and found["tv"] == "absolute" and found["epochs"] == 2
    assert found["styles"] == ["s.png"] and not {"tensorboard", "num_workers", "use_avg_pool"} & found.keys()
    said = capsys.readouterr().err
    assert "always written" in said and "--num_workers changes nothing" in said
    with pytest.raises(ConfigError, match="--use_avg_pool is --pooling=average, not --pooling=l2"):
        style_train.run(["--use_avg_pool", "--pooling=l2"])


class FastRunResult:
    signal = None


def test_epochs_are_passes_over_the_pictures(pictures):
    (pictures / "photos").mkdir()
    for i in range(5):
        Image.new("RGB", (20, 20), (40 * i, 0, 0)).save(pictures / "photos" / f"{i}.png")
    said: list[str] = []
    config = FastConfig(TransformConfig(), FastTraining(images="photos", image_size=16, batch_size=2), ("a.png",))
    run = FastRun(pictures, config, None, said.append, epochs=3)
    assert len(run._count_steps(3)) == 5
    assert run.config.training.n_steps == run.training.n_steps == 8  # 15 pictures, two at a time
    assert "8 steps" in said[-1]
    with pytest.raises(ConfigError, match="give one of them"):
        train_fast_style("m", "a.png", pictures, epochs=2, n_steps=3)


def test_training_looks_at_its_pictures_before_the_network(pictures):
    small: Any = dict(width=1, n_residual=0, image_size=16, device="cpu", say=lambda line: None)
    with pytest.raises(PixaceError, match="photoz"):
        train_fast_style("m", "a.png", pictures, images="photoz", network="nothing.npz", **small)
    with pytest.raises(PixaceError, match=r"nothing\.png"):
        train_fast_style("m", "nothing.png", pictures, images="photoz", network="nothing.npz", **small)


@pytest.mark.parametrize("out_size", [20, 100, (48, 130)])
def test_the_layers_of_a_stack_go_from_coarse_to_fine_whatever_the_size(out_size):
    layers = ImStack(init_image=np.full((40, 40, 3), 0.3, np.float32), out_size=out_size).layers
    areas = [layer.shape[0] * layer.shape[1] for layer in layers]
    assert areas == sorted(areas)
    whole = out_size if isinstance(out_size, tuple) else (out_size, out_size)
    place = [layer.shape[:2] for layer in layers].index(whole)
    assert all(np.abs(layer).max() < 1e-5 for layer in layers[place + 1 :])


def test_a_sheet_that_is_too_large_names_a_flag_that_there_is(pictures, run):
    code, _, err = run("refine", "a.png", "b.png", "--size=20000")
    assert code == 2 and "--size" in err and "--scale" not in err


def test_the_page_begins_with_the_layers_that_the_weights_have(here, weights):
    shallow = Studio(str(save_arrays(here / "shallow.npz", "relu3_3")))
    assert "ends at conv3_3" in shallow.load() and shallow.layers == "shallow"
    tiny = Studio(weights)
    assert tiny.load() == "" and tiny.layers == ""
