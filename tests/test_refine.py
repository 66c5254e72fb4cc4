"""Large pictures of small drawings: the tokens come back, and they are nearer to the truth than bicubic ones."""

import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from test_cli import answer

from pixace.canvas.kinds import KINDS
from pixace.canvas.resizing import resize
from pixace.config import TokenizerConfig
from pixace.errors import ConfigError
from pixace.refine.cells import cells_of, outside
from pixace.refine.refine import Settings, refine, share_kept
from pixace.tokenizer import Tokenizer, psnr

QUICK = Settings(steps=30, lr=0.05)


def scene(edge: int) -> np.ndarray:
    """Sky, a hill with a slanted edge, a sun: smooth shades and sharp borders, drawn at four times the size."""
    y, x = np.mgrid[: 4 * edge, : 4 * edge] / (4 * edge)
    sky = np.stack([0.35 + 0.3 * y, 0.55 + 0.2 * y, 0.9 - 0.1 * y], -1)
    hill = np.stack([0.2 + 0.2 * x, 0.45 - 0.2 * y, 0.15 + 0 * x], -1)
    picture = np.where((y > 0.35 + 0.5 * x)[..., None], hill, sky)
    picture = np.where((np.hypot(x - 0.7, y - 0.25) < 0.13)[..., None], [0.95, 0.8, 0.3], picture)
    return np.asarray(Image.fromarray(np.uint8(255 * picture)).resize((edge, edge), Image.Resampling.BOX))


def tokenizer(size=16, **options) -> Tokenizer:
    return Tokenizer(TokenizerConfig(image_size=size, **options))


@pytest.mark.parametrize(
    "options",
    [{}, {"bitdepth": (4, 3, 3)}, {"bitdepth": (1, 1, 1)}, {"bitdepth": (2, 5, 1)}, {"tokenizer": "rgb"}],
    ids=str,
)
def test_a_colour_is_in_the_cell_of_its_token_and_in_no_other(options):
    codes = tokenizer(**options)
    colours = np.random.default_rng(0).integers(0, 256, (20000, 3), np.uint8)
    colours[:2000] = colours[:2000, :1]  # greys
    tokens = codes.encode_rgb(colours)
    canonical = codes.encode_rgb(codes.decode_tokens(tokens)) == tokens  # of tokens with one colour, the one it becomes
    colours, tokens = colours[canonical], tokens[canonical]
    beyond = np.asarray(outside(colours / np.float32(255), cells_of(tokens, codes))).max(-1)
    assert beyond.max() < 1e-5, "a colour is outside its own cell"
    others = np.roll(tokens, 1)
    strange = (codes.decode_tokens(others) != codes.decode_tokens(tokens)).any(-1)
    beyond = np.asarray(outside(colours / np.float32(255), cells_of(others, codes))).max(-1)
    assert strange.sum() > 100 and (beyond[strange] > 0).mean() > 0.99, "the rest lie on the border"


@pytest.mark.parametrize("level", [0, 3])
def test_the_distance_from_a_cell_has_a_slope_however_the_compiler_rounds(level):
    """Without optimisation a compared number may be worked out twice, with other rounding."""
    codes, picture = tokenizer(8), np.random.default_rng(0).random((16, 16, 3), np.float32)
    cells = cells_of(codes.encode(scene(32)).reshape(8, 8), codes)

    def beyond(picture):
        return jnp.square(outside(resize(picture, (8, 8), "bicubic"), cells)).sum()

    options = {"xla_backend_optimization_level": level}
    if jax.__version__.startswith("0.10."):
        options["xla_cpu_use_fusion_emitters"] = True  # as people have it, unlike these tests
    slope = np.asarray(jax.jit(jax.grad(beyond)).lower(picture).compile(options)(picture))
    assert np.isfinite(slope).all() and np.abs(slope).max() > 0.1


@pytest.mark.parametrize("size", [64, 75, 16])
def test_the_saved_picture_gives_the_tokens_back(tmp_path, size):
    codes = tokenizer()
    tokens = codes.encode(scene(128))
    Image.fromarray(refine(tokens, codes, size, settings=QUICK)).save(tmp_path / "large.png")
    with Image.open(tmp_path / "large.png") as picture:
        assert picture.size == (size, size)
    again = codes.encode(tmp_path / "large.png")
    canonical = codes.encode_rgb(codes.decode_tokens(tokens))
    assert (codes.encode_rgb(codes.decode_tokens(again)) == canonical).mean() >= 0.99


def test_a_rough_drawing_comes_back_too():
    """Every lightness is off by up to one step. (Of pure noise no picture exists: resampling mixes neighbours.)"""
    codes = tokenizer(bitdepth=(4, 3, 3))
    tokens = codes.encode(scene(128)).astype(int) - 2
    value = np.clip((tokens >> 7) + np.random.default_rng(0).integers(-1, 2, tokens.shape), 0, 7)
    rough = ((tokens & 127) + (value << 7) + 2).astype(np.uint16)
    assert (rough - 2 != tokens).mean() > 0.4
    assert share_kept(refine(rough, codes, 64, settings=QUICK), rough, codes) >= 0.99


def test_it_is_nearer_to_the_truth_than_bicubic():
    codes, truth = tokenizer(), scene(128)
    tokens = codes.encode(truth)
    bicubic = Image.fromarray(codes.decode(tokens)).resize((128, 128), Image.Resampling.BICUBIC)
    assert psnr(truth, refine(tokens, codes, 128, settings=QUICK)) > psnr(truth, np.asarray(bicubic)) + 0.5


def test_photographs_are_nearer_to_the_truth_than_bicubic(shared):
    codes, gains = tokenizer(32), []
    boxes = {
        "content/tuebingen_neckarfront.jpeg": (300, 200, 812, 712),
        "content/img_5.jpg": (1000, 800, 2024, 1824),
        "style/van_gogh_starry_night.jpeg": (500, 300, 1100, 900),
        "style/wassily_kandinsky_composition_VII.jpeg": (700, 200, 1300, 800),  # full colours beside black
    }
    for name, box in boxes.items():
        with Image.open(shared / "data" / "photos" / name) as photo:
            truth = np.asarray(photo.convert("RGB").crop(box).resize((128, 128), Image.Resampling.LANCZOS))
        tokens = codes.encode(truth)
        bicubic = Image.fromarray(codes.decode(tokens)).resize((128, 128), Image.Resampling.BICUBIC)
        found = refine(tokens, codes, 128)
        assert share_kept(found, tokens, codes) >= 0.99
        gains.append(psnr(truth, found) - psnr(truth, np.asarray(bicubic)))
    assert min(gains) > 0, gains


@pytest.mark.parametrize("canvas", KINDS)
def test_any_canvas_can_be_refined_and_is_the_same_each_time(canvas):
    codes = tokenizer(8)
    tokens = np.stack([codes.encode(scene(32)), codes.encode(scene(32)[::-1].copy())])
    first, again = (refine(tokens, codes, 32, canvas=canvas, settings=QUICK) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert first.shape == (2, 32, 32, 3)
    np.testing.assert_array_equal(refine(tokens[1], codes, 32, canvas=canvas, settings=QUICK), first[1])


def test_a_wish_is_heard_and_the_cells_hold():
    codes = tokenizer(8)
    tokens = codes.encode(scene(32))

    def darker(picture):
        return picture.sum()[None], picture * 0 + 1

    plain, wished = (refine(tokens, codes, 64, wishes=wishes, settings=QUICK) for wishes in ((), [(darker, 3.0)]))
    assert wished.mean() < plain.mean() - 0.5
    assert share_kept(wished, tokens, codes) >= 0.99


def test_sizes_that_make_no_sense_are_told():
    codes = tokenizer()
    tokens = codes.encode(scene(32))
    for size in (8, 5000):
        with pytest.raises(ConfigError, match=f"size={size}: 16"):
            refine(tokens, codes, size)
    with pytest.raises(ConfigError, match="has 256 tokens, not 9"):
        refine(tokens[:9], codes, 64)


def test_the_command(here, capsys):
    for name in ("a", "b"):
        Image.fromarray(scene(48)).save(f"{name}.png")
    code, out, err = answer(
        capsys, "refine", "a.png", "b.png", "--size=64", "--image_size=16", "--out=sheet.png", "--out_dir=large"
    )
    assert code == 0, err
    assert "of the pixels give back their token" in out and float(out.split(" %")[0]) >= 99
    with Image.open("sheet.png") as sheet, Image.open("large/b.png") as one:
        assert (sheet.size, one.size) == ((128, 64), (64, 64))


@pytest.mark.parametrize(
    ("given", "code", "said"),
    [
        ([], 2, "which pictures?"),
        (["none.png"], 1, "none.png does not exist"),
        (["a.png", "--size=4"], 2, "size=4: 32"),
        (["a.png", "--image_size=16", "--model_name=none"], 1, "none"),
        (["a.png", "x/a.png", "--out_dir=large"], 2, "would have one name there"),
        (["a.png", "--out=a.xyz"], 2, "pictures cannot be written"),
        (["a.png", "--style=a.png", "--network=none.npz"], 1, "none.npz"),
    ],
)
def test_mistakes_are_told_in_a_line(here, capsys, given, code, said):
    Image.fromarray(scene(48)).save("a.png")
    found, _, err = answer(capsys, "refine", *given)
    lines = [line for line in err.splitlines() if line.startswith("pixace refine:")]
    assert found == code and len(lines) == 1 and said in lines[0], err
    assert not os.path.exists("refined.png")
