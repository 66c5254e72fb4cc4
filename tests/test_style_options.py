"""Random views, weight decay, and pictures that show more of what a layer looks for."""

import json
from functools import partial
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from small_vgg import save_arrays
from test_cli import answer

from pixace.canvas.kinds import make_canvas
from pixace.errors import ConfigError
from pixace.sheets import read_metadata
from pixace.style import views
from pixace.style.descent import Descent, begin, step
from pixace.style.options import make_options
from pixace.style.transfer import stylize

LAYERS = {"content_layers": "relu1_1", "style_layers": "relu1_1", "min_size": None, "size": "24"}


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return str(save_arrays(tmp_path_factory.mktemp("weights") / "small.npz", "relu1_1"))


@pytest.fixture
def pictures(here):
    random = np.random.default_rng(0)
    for name in ("a", "b"):
        coarse = Image.fromarray(random.integers(0, 256, (4, 6, 3), np.uint8))
        coarse.resize((24, 16), Image.Resampling.BICUBIC).save(here / f"{name}.png")
    return here


def test_views_are_parts_of_the_size_and_shape_that_are_promised():
    found = views.random_views(np.random.default_rng(0), 2000, (60, 80), (30, 40))
    columns = np.linalg.norm(found[:, :, :2] @ [[30, 0], [0, 40]], axis=1)  # height and width of each part, turned
    turns = np.degrees(np.arctan2(found[:, 1, 0] / 1.0, found[:, 0, 0]))
    areas, ratios = np.linalg.det(found[:, :, :2]) * 30 * 40 / (60 * 80), columns[:, 1] / columns[:, 0]
    assert 0.08 <= areas.min() < 0.12 and 0.9 < areas.max() <= 1.0001
    assert 0.7 < ratios.min() < 0.85 and 1.2 < ratios.max() < 1.45  # of 3:4 to 4:3, where turning stretches a little
    assert 4.5 < np.abs(turns).max() < 6
    middle = found[:, :, 2] + 0.5
    assert (middle > 0).all() and (middle < [60, 80]).all()


def test_a_view_of_everything_is_the_picture_and_a_part_is_enlarged_linearly():
    random = np.random.default_rng(1)
    picture = random.random((6, 8, 3)).astype(np.float32)
    whole = np.array([[1, 0, 2.5], [0, 1, 3.5]], np.float32)
    half = np.array([[0.5, 0, 2.5], [0, 0.5, 3.5]], np.float32)  # the middle, twice as large
    seen = np.asarray(views.look(jnp.asarray(picture), jnp.asarray(np.stack([whole, half])), (6, 8)))
    np.testing.assert_allclose(seen[0], picture, atol=1e-6)
    expected = 0.75 * picture[2] + 0.25 * picture[3]  # row 2 of twice as many lies at 2.25
    np.testing.assert_allclose(seen[1][2, 3], 0.75 * expected[3] + 0.25 * expected[4], atol=1e-6)


def test_views_lower_the_loss_compile_once_and_repeat_with_the_seed(pictures, weights):
    compiled: Any = views._evaluate
    compiled.clear_cache()
    given = {**LAYERS, "network": weights, "steps": 12, "views": 2, "average": 0.0, "progress": lambda *_: None}
    first, again = (stylize("a.png", "b.png", weight_decay=0.01, **given) for _ in range(2))
    assert compiled._cache_size() == 1
    np.testing.assert_array_equal(first.picture, again.picture)
    losses = [line["loss"] for line in first.steps]
    assert np.mean(losses[-4:]) < 0.6 * losses[0] and all(a != b for a, b in pairwise(losses))


def test_weight_decay_is_that_of_adamw():
    descent = Descent("adam", 0.1, 0.0, weight_decay=0.5)
    still = lambda canvas: (jnp.zeros(1), jax.tree.map(jnp.zeros_like, canvas))  # noqa: E731
    state = begin(descent, make_canvas("pixels", np.full((4, 4, 3), 0.8, np.float32)), still)
    state, _ = step(descent, state, still)
    np.testing.assert_allclose(state.canvas(), 0.8 * (1 - 0.1 * 0.5), rtol=1e-6)


def test_the_recipe_has_them_and_lbfgs_does_without():
    recipe = make_options({"recipe": "imstack"})
    assert (recipe.views, recipe.weight_decay) == (4, 0.01)
    assert make_options({"recipe": "imstack", "optimizer": "lbfgs"}).views == 0
    with pytest.raises(ConfigError, match="views=2 is for --optimizer=adam"):
        make_options({"optimizer": "lbfgs", "views": 2})
    with pytest.raises(ConfigError, match="--views=0"):
        white = np.full((4, 4), 255, np.uint8)
        stylize(np.zeros((4, 4, 3)), np.zeros((4, 4, 3)), mask=white, recipe="imstack")


def test_a_dream_shows_more_of_what_a_channel_looks_for(pictures, weights, capsys):
    run = partial(answer, capsys, "style", "--content=a.png", f"--network={weights}", "--size=24", "--out=d.png")
    code, _, err = run("--dream=relu1_1,5", "--steps=8", "--save_losses")
    assert code == 0, err
    lines = [json.loads(line) for line in (pictures / "d.jsonl").read_text().splitlines()]
    assert len(lines) == 8 and lines[-1]["activation"] > 1.1 * lines[0]["activation"] > 0
    facts = json.loads(read_metadata("d.png")["style transfer"])
    assert facts["dream"] == "relu1_1,5" and facts["lr"] == 0.01
    for flags, said in (
        (["--dream=relu1_1,64"], "a number from 0 to 63"),
        (["--dream=relu1_1", "--sweep=all"], "--sweep and --dream each make another picture"),
        (["--dream=relu1_1", "--content=none"], "none"),
    ):
        code, _, err = run(*flags)
        assert code in (1, 2) and said in err
