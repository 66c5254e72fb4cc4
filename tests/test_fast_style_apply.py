"""Pictures in, pictures in another style out: files of all kinds, batches, mixtures of styles, and the command."""

import numpy as np
import pytest
from PIL import Image

from pixace.cli import style_apply
from pixace.errors import ConfigError, PixaceError
from pixace.opening import open_picture
from pixace.sheets import read_metadata
from pixace.style.fast.apply import apply_style, run_fast_style_transfer_batched, style_mixture
from pixace.style.fast.config import FastConfig, FastTraining, TransformConfig
from pixace.style.fast.model import FastModel, load_model, save_config, save_weights
from pixace.style.fast.network import init_weights, transform


def make_model(folder, styles=("mosaic.jpg",), seed=0) -> FastModel:
    """An untrained network in its folder; its styles differ."""
    config = TransformConfig(width=4, n_residual=1, n_styles=len(styles))
    weights = init_weights(config, seed)
    random = np.random.default_rng(seed)
    for name, weight in weights.items():
        if name.endswith((".scale", ".shift")):
            weights[name] = weight + 0.5 * random.standard_normal(weight.shape, np.float32)
    save_config(folder, FastConfig(config, FastTraining(images="photos"), tuple(styles)))
    save_weights(folder, weights, 7)
    return load_model(folder)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "art"
    return make_model(folder), folder


def picture(path, height=12, width=18, seed=0, mode="RGB", **options):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    Image.fromarray(pixels).convert(mode).save(path, **options)
    return path


def pixels(path) -> np.ndarray:
    with Image.open(path) as opened:
        return np.asarray(opened.convert("RGB"))


@pytest.mark.subset
def test_five_pictures_in_batches_of_two_are_five_files(trained, tmp_path):
    model, folder = trained
    sources = [picture(tmp_path / f"{i}.png", seed=i) for i in range(5)]
    saved = run_fast_style_transfer_batched(sources, tmp_path / "out", folder, batch_size=2)
    assert sorted(path.name for path in saved) == [f"{i}_art.png" for i in range(5)]
    drawn = [pixels(tmp_path / "out" / f"{i}_art.png") for i in range(5)]
    assert len({each.tobytes() for each in drawn}) == 5
    for source, result in zip(sources, drawn, strict=True):
        shown = pixels(source)[None].astype(np.float32) / 255
        expected = transform(model.weights, model.config.network, shown, np.ones((1, 1), np.float32))[0]
        np.testing.assert_allclose(result, 255 * np.clip(expected, 0, 1), atol=1.01)


def test_pictures_of_several_sizes_keep_them(trained, tmp_path):
    model, _ = trained
    shapes = [(12, 18), (7, 5), (12, 18), (1, 1), (7, 5), (12, 18)]
    sources = [picture(tmp_path / f"{i}.png", *shape, seed=i) for i, shape in enumerate(shapes)]
    done = apply_style(model, sources, tmp_path / "out", batch_size=2)
    assert not done.skipped and len(done.saved) == 6
    assert [pixels(tmp_path / "out" / f"{i}_art.png").shape[:2] for i in range(6)] == shapes


def test_image_size_is_the_longer_edge(trained, tmp_path):
    model, _ = trained
    source = picture(tmp_path / "a.png", 10, 20)
    for edge, shape in ((8, (4, 8)), (30, (15, 30))):
        apply_style(model, [source], tmp_path / "out", image_size=edge)
        assert pixels(tmp_path / "out" / "a_art.png").shape[:2] == shape


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "1", "LA", "I;16"])
def test_all_kinds_of_pictures_are_taken(trained, tmp_path, mode):
    model, _ = trained
    path = tmp_path / ("a.jpg" if mode == "CMYK" else "a.png")
    if mode == "I;16":
        Image.fromarray(np.arange(12 * 18, dtype=np.uint16).reshape(12, 18) * 300).save(path)
    else:
        picture(path, mode=mode)
    assert apply_style(model, [path], tmp_path / "out", format="png").skipped == []
    shown = np.asarray(open_picture(path))[None].astype(np.float32) / 255
    expected = transform(model.weights, model.config.network, shown, np.ones((1, 1), np.float32))[0]
    np.testing.assert_allclose(pixels(tmp_path / "out" / "a_art.png"), 255 * np.clip(expected, 0, 1), atol=1.01)


def test_pictures_are_set_upright(trained, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter
    source = picture(tmp_path / "a.jpg", exif=exif)
    apply_style(trained[0], [source], tmp_path / "out")
    assert pixels(tmp_path / "out" / "a_art.jpg").shape[:2] == (18, 12)


def test_folders_are_gone_through_and_equal_names_told_apart(trained, tmp_path):
    for i, name in enumerate(("in/x.png", "in/more/x.png", "in/y.png")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        picture(tmp_path / name, seed=i)
    done = apply_style(trained[0], [tmp_path / "in"], tmp_path / "out")
    assert sorted(path.name for path in done.saved) == ["x_art-2.png", "x_art.png", "y_art.png"]
    (tmp_path / "in" / "styled").mkdir()
    first, again = (apply_style(trained[0], [tmp_path / "in"], tmp_path / "in" / "styled") for _ in range(2))
    assert again.saved == first.saved and len(first.saved) == 3  # what was made of them is not redrawn
    (tmp_path / "empty").mkdir()
    with pytest.raises(PixaceError, match="no pictures"):
        apply_style(trained[0], [tmp_path / "empty"], tmp_path / "x")


def test_results_say_what_made_them(trained, tmp_path):
    apply_style(trained[0], [picture(tmp_path / "a.png")], tmp_path / "out")
    assert read_metadata(tmp_path / "out" / "a_art.png") == {
        "Software": "pixace",
        "model": "art",
        "styles": "mosaic.jpg 1.00",
    }


@pytest.fixture(scope="module")
def several(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("models") / "two", ("mosaic.jpg", "night.jpg"))


def test_styles_are_chosen_and_mixed(several, tmp_path):
    np.testing.assert_array_equal(style_mixture(several), [1, 0])
    np.testing.assert_array_equal(style_mixture(several, style_index=1), [0, 1])
    np.testing.assert_allclose(style_mixture(several, style_weights=[1, 3]), [0.25, 0.75])
    source, drawn = picture(tmp_path / "a.png"), {}
    for name, mixture in (("none", None), ("first", [1, 0]), ("second", [0, 1]), ("both", [0.5, 0.5])):
        apply_style(several, [source], tmp_path / name, mixture=mixture)
        drawn[name] = pixels(tmp_path / name / "a_two.png")
    assert np.array_equal(drawn["none"], drawn["first"])
    for one, other in (("first", "second"), ("first", "both"), ("second", "both")):
        assert not np.array_equal(drawn[one], drawn[other])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"style_index": 2}, r"style_index=2: two has the styles 0 \(mosaic.jpg\), 1 \(night.jpg\)"),
        ({"style_index": -1}, "style_index=-1"),
        ({"style_weights": [1.0]}, "two needs 2"),
        ({"style_weights": [0.0, 0.0]}, "nor all 0"),
        ({"style_weights": [2.0, -1.0]}, "must not be negative"),
        ({"style_weights": [1.0, 1.0], "style_index": 0}, "give one of them"),
    ],
)
def test_mixtures_that_make_no_sense_are_told(several, options, said):
    with pytest.raises(ConfigError, match=said):
        style_mixture(several, **options)


def test_no_memory_says_what_helps(trained, tmp_path, monkeypatch):
    def fail(*arguments):
        raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 1 bytes")

    monkeypatch.setattr("pixace.style.fast.apply._redraw", fail)
    with pytest.raises(PixaceError, match=r"pictures of 18 x 12 pixels, 1 at a time; give a smaller .*--image_size"):
        apply_style(trained[0], [picture(tmp_path / "a.png")], tmp_path / "out")


def test_command_redraws_and_counts(trained, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    picture(tmp_path / "a.png"), picture(tmp_path / "b.jpg")
    (tmp_path / "c.png").write_bytes(b"no picture")
    command = ["--model=art", f"--weights-dir={trained[1].parent}", "a.png", "b.jpg", "--device=cpu"]
    assert style_apply.run([*command, "c.png", "--img-size=9", "--out_dir=o"]) == 0
    said = capsys.readouterr()
    assert "saved 2 pictures in o, 1 could not be read" in said.out
    assert "skipped c.png is not a picture" in said.err
    assert {path.name: pixels(path).shape for path in (tmp_path / "o").iterdir()} == {
        "a_art.png": (6, 9, 3),
        "b_art.jpg": (6, 9, 3),
    }
    assert style_apply.run([f"--model={trained[1]}", "c.png", "missing.png", "--device=cpu"]) == 1
    assert "saved 0 pictures in styled, 2 could not be read" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["a.png"], "which network"),
        (["--model=art"], "which pictures"),
        (["--model=art", "a.png", "--style_weights=much"], "numbers with commas"),
        (["--model=art", "a.png", "--style_index=1.5"], "whole number"),
        (["--model=art", "a.png", "--batch_size=0"], "batch_size=0"),
        (["--model=art", "a.png", "--image_size=0"], "image_size=0"),
        (["--model=nothing", "a.png"], "no model 'nothing' .*art"),
        (["--model=emoji", "a.png"], "not that of a network for fast style transfer"),
    ],
)
def test_bad_flags_are_told(trained, tmp_path, flags, said):
    with pytest.raises(PixaceError, match=said):
        style_apply.run([*flags, f"--weights_dir={trained[1].parent}", f"--out_dir={tmp_path / 'o'}", "--device=cpu"])
    assert not (tmp_path / "o").exists()


def test_damaged_networks_are_told(trained, tmp_path):
    model, _ = trained
    make_model(tmp_path / "bad")
    weights = {name: weight for name, weight in model.weights.items() if name != "conv_out.bias"}
    save_weights(tmp_path / "bad", weights, 1)
    with pytest.raises(PixaceError, match=r"conv_out.bias is nothing, not \(3,\)"):
        load_model(tmp_path / "bad")
    (tmp_path / "bad" / "weights.safetensors").write_bytes(b"rubbish")
    with pytest.raises(PixaceError, match=r"weights.safetensors is damaged"):
        load_model(tmp_path / "bad")
    (tmp_path / "bad" / "weights.safetensors").unlink()
    with pytest.raises(PixaceError, match=r"weights.safetensors is missing"):
        load_model(tmp_path / "bad")
    for text, said in (("{", "not valid JSON"), ("{}", "not that of a network"), ("[]", "not that of a network")):
        (tmp_path / "bad" / "config.json").write_text(text)
        with pytest.raises(ConfigError, match=said):
            load_model(tmp_path / "bad")
