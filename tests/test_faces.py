"""Faces: found where they are and nowhere else, kept at every size, by windows, optimisers and canvases alike."""

import json
import sys
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
import skimage.data
from pictures import smooth
from PIL import Image
from test_cli import answer

from pixace import stylize
from pixace.errors import ConfigError
from pixace.progress import silent
from pixace.style.faces import face_mask, find_faces
from pixace.style.material import Material
from pixace.style.objective import Objective, Terms, measure
from pixace.style.options import make_options
from pixace.style.vgg import Network, NetworkConfig
from pixace.style.vgg_weights import random_weights

CONFIG = NetworkConfig(padding="replicate")
NETWORK = Network(random_weights("vgg19", until="relu1_1"), CONFIG)
LAYERS = {"content_layers": "relu1_1", "style_layers": "relu1_1", "statistic": "moments"}
FACE = (179 / 512, 62 / 512, 92 / 512, 105 / 512)  # of the astronaut, measured by eye
TERMS = Terms(
    network=CONFIG,
    content=(("relu1_1", 1.0),),
    style=(("relu1_1", 1.0),),
    content_weight=0.3,
    style_weight=2.0,
    tv_weight=0.1,
    content_distance="mse",
    statistic="gram_hw",
    tv="nine",
    keep_faces=5.0,
)


@cache
def astronaut() -> Image.Image:
    return Image.fromarray(skimage.data.astronaut()).reduce(2)


def overlap(a, b) -> float:
    """Intersection over union."""
    across, along = (max(0, min(a[i] + a[i + 2], b[i] + b[i + 2]) - max(a[i], b[i])) for i in (0, 1))
    return across * along / (a[2] * a[3] + b[2] * b[3] - across * along)


def mirrored(box):
    return 1 - box[0] - box[2], *box[1:]


def painted(**given):
    """The astronaut at 64 pixels in the style of waves."""
    given = {"size": "64", "min_size": None, "steps": 20, **LAYERS, **given}
    return stylize(astronaut(), smooth(64, 64), loaded=NETWORK, progress=silent, **given)


def test_a_face_is_found_where_it_is():
    (box,) = find_faces(astronaut())
    assert overlap(box, FACE) > 0.7
    assert find_faces(astronaut()) == [box], "the same again"


def test_faces_in_profile_are_found_to_either_side():
    left, right = (Image.fromarray(skimage.data.camera()[:, ::step]).resize((256, 256)) for step in (1, -1))
    (box,), (other,) = find_faces(left), find_faces(right)
    assert overlap(box, (190 / 512, 95 / 512, 75 / 512, 100 / 512)) > 0.4
    assert overlap(box, mirrored(other)) > 0.7


def test_two_faces_are_two():
    both = Image.new("RGB", (512, 256))
    both.paste(astronaut(), (0, 0))
    both.paste(astronaut().transpose(Image.Transpose.FLIP_LEFT_RIGHT), (256, 0))
    first, second = sorted(find_faces(both))
    assert overlap(first, (FACE[0] / 2, FACE[1], FACE[2] / 2, FACE[3])) > 0.6
    assert overlap(second, mirrored(first)) > 0.7


def test_where_no_faces_are_none_are_found():
    """One cascade alone sees a face in gravel."""
    assert find_faces(Image.fromarray(skimage.data.gravel())) == []
    assert find_faces(smooth(320, 240)) == [] == find_faces(Image.new("RGB", (9, 5)))


def test_a_mask_is_full_on_faces_and_falls_softly_at_any_size():
    faces = [FACE, (0.7, 0.6, 0.3, 0.3)]
    large = face_mask(faces, (400, 320))
    assert large.dtype == np.float32 and large.min() == 0 and large.max() == 1
    for left, top, width, height in faces:
        assert large[round(400 * (top + height / 2)), round(320 * (left + width / 2))] == 1
    assert np.abs(np.diff(large, axis=0)).max() < 0.1 and np.abs(np.diff(large)).max() < 0.1
    small = face_mask(faces, (50, 40))
    np.testing.assert_allclose(small, large.reshape(50, 8, 40, 8).mean((1, 3)), atol=0.05)
    assert not face_mask([], (3, 4)).any()


def test_faces_follow_the_cut_and_the_stretch_of_the_content():
    cut, stretched = (
        Material(astronaut(), [], [], [], make_options({"size": "128x256", "fit": fit, "keep_faces": 1.0}), 1024)
        for fit in ("crop", "stretch")
    )
    assert overlap(cut.faces[0], (2 * FACE[0] - 0.5, FACE[1], 2 * FACE[2], FACE[3])) > 0.7
    assert overlap(stretched.faces[0], FACE) > 0.7
    mask = cut.scene((64, 32)).faces
    assert mask is not None and mask.shape == (64, 32) and mask[14, 12] == 1


def objective(faces, tile=1024, size=(64, 112), terms=TERMS):
    content, style = (np.asarray(smooth(width, height), np.float32) / 255 for height, width in (size, (48, 40)))
    measured = measure(terms, NETWORK, jnp.asarray(style), 1024)
    return Objective(terms, NETWORK, size, tile, jnp.asarray(content), [measured], [1.0], None, faces)


def test_windows_and_kept_faces_change_neither_loss_nor_gradient():
    mask = face_mask([(0.3, 0.2, 0.4, 0.5)], (64, 112))
    whole, cut, without = objective(mask), objective(mask, 96), objective(None, terms=replace(TERMS, keep_faces=0.0))
    assert len(cut.windows) > 1
    seen = jnp.asarray(np.random.default_rng(0).random((64, 112, 3)), jnp.float32)
    (figures, gradient), (plain, _) = whole(seen), without(seen)
    for expected, found in zip((figures, gradient), cut(seen), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * float(jnp.abs(expected).max()))
    square = np.square(np.asarray(seen) - np.asarray(smooth(112, 64), np.float32) / 255)
    assert figures[4] == pytest.approx((mask[..., None] * square).mean(), rel=1e-4)
    np.testing.assert_allclose(figures[0], plain[0] + 5 * figures[4], rtol=1e-5)
    np.testing.assert_allclose(figures[1:4], plain[1:], rtol=1e-5)


def test_a_face_is_held_as_fast_beside_another_one():
    one, two = (objective(face_mask(faces, (64, 112))) for faces in ([FACE], [FACE, (0.6, 0.5, 0.2, 0.3)]))
    seen = jnp.full((64, 112, 3), 0.5)
    first, second = one(seen)[1], two(seen)[1]
    np.testing.assert_allclose(first[:24, :56], second[:24, :56], atol=1e-9)
    assert float(jnp.abs(first - second).max()) > 1e-4


@pytest.mark.parametrize(("optimizer", "canvas"), [("adam", "pixels"), ("lbfgs", "imstack")])
def test_a_kept_face_stays_and_the_rest_is_in_the_style(optimizer, canvas):
    said = []
    plain, kept = (
        painted(optimizer=optimizer, canvas=canvas, keep_faces=weight, say=said.append) for weight in (0.0, 100.0)
    )
    assert said == ["1 face kept"]
    content = np.asarray(astronaut().resize((64, 64), Image.Resampling.LANCZOS), np.float32) / 255
    face, rest = face_mask([FACE], (64, 64)) > 0.99, face_mask([FACE], (64, 64)) == 0

    def away(found, where):
        return np.abs(found.picture - content)[where].mean()

    assert away(kept, face) < 0.15 * away(plain, face)
    assert away(kept, rest) == pytest.approx(away(plain, rest), rel=0.3)
    assert kept.steps[-1]["faces"] < kept.steps[5]["faces"] and "faces" not in plain.steps[0]


def test_where_no_face_is_found_the_picture_is_as_without():
    said = []
    make = partial(stylize, smooth(64, 64), smooth(64, 64), loaded=NETWORK, progress=silent, say=said.append)
    given = {"size": "64", "min_size": None, "steps": 2, **LAYERS}
    plain, kept = (make(keep_faces=weight, **given) for weight in (0.0, 100.0))
    assert said == ["no face found in the content, so --keep_faces keeps nothing"]
    np.testing.assert_array_equal(kept.picture, plain.picture)


def test_faces_are_kept_at_every_scale_from_the_command_line(here, capsys):
    arrays = {f"block1_conv1_{part}": np.asarray(array) for part, array in NETWORK.weights["conv1_1"].items()}
    np.savez(here / "small.npz", **arrays)
    astronaut().save("a.png")
    smooth(64, 64).save("b.png")
    code, _, err = answer(
        capsys, "style", "--content=a.png", "--style=b.png", "--network=small.npz", "--size=64", "--min_size=40",
        "--steps=1", "--keep_faces=100", "--save_losses", *(f"--{name}={text}" for name, text in LAYERS.items()),
    )  # fmt: skip
    assert code == 0 and "1 face kept" in err.splitlines(), err
    lines = [json.loads(line) for line in Path("stylized.jsonl").read_text().splitlines()]
    assert len({line["height"] for line in lines}) == 2 and all(line["faces"] >= 0 for line in lines)


def test_mistakes_are_told(here, capsys, monkeypatch):
    for weight in ("-1", "nan", "inf"):
        code, _, err = answer(capsys, "style", "--content=a.png", f"--keep_faces={weight}")
        assert code == 2 and f"keep_faces={float(weight)}: it must not be negative" in err
    with pytest.raises(ConfigError, match="--keep_faces needs a content picture"):
        stylize(None, smooth(64, 64), loaded=NETWORK, keep_faces=1.0)
    for module in ("cv2", "cv2.data"):
        with monkeypatch.context() as patch, pytest.raises(ConfigError, match=r"pip install '\.\[faces\]'"):
            patch.setitem(sys.modules, module, None)
            painted(keep_faces=1.0)
