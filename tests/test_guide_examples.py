"""Each guide file of examples/guide is read without a fault, and draws: in short, and with a small CLIP."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_clip import write_clip

from pixace.clip.weights import load_clip
from pixace.guide.kinds import CONSTRAINTS, EFFECTS, POST_EFFECTS
from pixace.guide.reading import read_guides
from pixace.guide.run import draw

FOLDER = Path(__file__).parents[1] / "examples" / "guide"
SERIES = ("schedule", "subject", "quick")  # three files of one run
NAMES = [*sorted({path.stem for path in FOLDER.glob("*.yaml")} - {*SERIES}), "+".join(SERIES)]
SIZES = {"geometry": "40 25", "growing": "{0: 24}.get(int(t*2), 32)"}


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return load_clip(write_clip(tmp_path_factory.mktemp("clip")))


@pytest.fixture
def read(server):
    def read(name, **given):
        overrides = {"verbose": "0", "epochs": "2", "start_epoch": "0", "resolution": SIZES.get(name, "32"), **given}
        if "+" in name:
            Image.new("RGBA", (9, 7), (200, 100, 0, 128)).save(kept := io.BytesIO(), "PNG")
            overrides["targets[0].features[1].image"] = server.put("/face.png", kept.getvalue())
        return read_guides([FOLDER / f"{part}.yaml" for part in name.split("+")], overrides)

    return read


@pytest.mark.parametrize("name", NAMES)
def test_an_example_draws(name, read, clip):
    guide = read(name).guide
    told = []
    drawn = draw(guide, [clip], allow_local=True, on_epoch=told.append)
    height, width = (25, 40) if name == "geometry" else (32, 32)
    assert drawn.picture.shape == (height, width, 3) and len(told) == 2
    assert np.isfinite([epoch.loss for epoch in told]).all() and drawn.picture.std() > 0
    assert {place for place, _ in told[0].seen} == {i for i, t in enumerate(guide.targets) if t.start in (0, 0.0)}


def test_the_examples_have_every_effect_and_constraint():
    """With one exception: what mirrors always is for those who know that they want it."""
    guides = [read_guides([path]).guide for path in FOLDER.glob("*.yaml")]
    targets = [target for guide in guides for target in guide.targets]
    assert {e.kind for t in targets for e in t.transforms} == {*EFFECTS} - {"flip"}
    assert {e.kind for t in targets for e in t.constraints} == {*CONSTRAINTS}
    assert {e.kind for guide in guides for e in guide.postproc} >= {*POST_EFFECTS} - {
        *("random_perspective", "flip", "random_flip")
    }
