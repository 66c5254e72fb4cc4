"""`pixace predict` end to end in a temporary folder."""

import http.server
import shutil
import threading
from contextlib import contextmanager

import numpy as np
import pytest
from pictures import smooth
from PIL import Image
from test_cli import answer
from tiny import tiny_config, tiny_parameters

import pixace.sampling.engine as engine_module
from pixace.checkpoints import save_config, save_weights
from pixace.config import RunConfig, TokenizerConfig
from pixace.sampling.predictor import get_predictor
from pixace.sheets import read_metadata
from pixace.tokenizer import Tokenizer

S = 8  # edge of the pictures
TOKENIZER = TokenizerConfig(bitdepth=(2, 2, 2), image_size=S)
SMALL = dict(d_model=16, n_layers=1, n_heads=2, tokenizer=TOKENIZER)


def make_model(folder, seed=0, **options) -> None:
    """A model's folder as training leaves it, with random weights."""
    config = tiny_config(**{**SMALL, **options})
    save_config(folder, RunConfig(options.get("tokenizer", TOKENIZER), config))
    save_weights(folder, tiny_parameters(config, seed), step=1)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A folder with the model `tiny`; not to be written."""
    folder = tmp_path_factory.mktemp("weights")
    make_model(folder / "tiny")
    return folder


@pytest.fixture
def here(tmp_path, monkeypatch, weights):
    """A working folder with a copy of the model and two prompts."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(weights, tmp_path / "model-weights")
    smooth(40, 30).save(tmp_path / "a.png")
    smooth(S, S).transpose(Image.Transpose.ROTATE_90).save(tmp_path / "b.bmp")
    return tmp_path


@pytest.fixture
def draw(here, capsys):
    """Runs `pixace predict --model_name=tiny` with more flags, which must succeed; the sheet and what was said."""

    def run(*flags: str, out: str = "sheet.png") -> tuple[np.ndarray, str]:
        code, said, err = answer(capsys, "predict", "--model_name=tiny", "--scale=10", f"--out={out}", *flags)
        assert code == 0, err
        with Image.open(here / out) as picture:
            return np.asarray(picture.convert("RGB")), said

    return run


def tiles(picture: np.ndarray, columns: int, rows: int) -> list[list[np.ndarray]]:
    """The tiles of a sheet of scale S + 2 without their borders, which must be black: [row][column]."""
    edge = S + 2
    assert picture.shape == (rows * edge, columns * edge, 3)
    grid = picture.reshape(rows, edge, columns, edge, 3).swapaxes(1, 2)
    border = grid.copy()
    border[:, :, 1:-1, 1:-1] = 0
    assert not border.any()
    return [[tile[1:-1, 1:-1] for tile in row] for row in grid]


def seen(name) -> np.ndarray:
    """What the model sees of a picture file."""
    tokenizer = Tokenizer(TOKENIZER)
    return tokenizer.decode(tokenizer.encode(name))


# ---- the sheet


@pytest.mark.subset
def test_with_prompts_the_columns_are_prompt_cut_and_each_temperature(draw):
    picture, _ = draw("--prompt=a.png,b.bmp", "--temperature=0.5,1", "--temperature", "1.5", "--cut=20", "--seed=3")
    grid = tiles(picture, columns=5, rows=2)
    for row, name in zip(grid, ("a.png", "b.bmp"), strict=True):
        whole, cut, *drawn = (tile.reshape(-1, 3) for tile in row)
        np.testing.assert_array_equal(whole, seen(name).reshape(-1, 3))
        np.testing.assert_array_equal(cut[:20], whole[:20])
        assert not cut[20:].any()
        for tile in drawn:
            np.testing.assert_array_equal(tile[:20], whole[:20])
            assert (tile[20:] != whole[20:]).any()


def test_without_prompts_there_is_a_column_for_each_temperature(draw):
    picture, _ = draw("--batch_size=3", "--temperature=0.5,2", "--seed=3")
    grid = tiles(picture, columns=2, rows=3)
    assert len({tile.tobytes() for row in grid for tile in row}) == 6


def test_pictures_from_nothing_at_one_temperature_stand_in_a_grid(draw, here):
    picture, _ = draw("--batch_size=5", "--temperature=0.5", "--seed=3", "--out_dir=each")
    grid = tiles(picture, columns=3, rows=2)
    for i in range(5):
        with Image.open(here / f"each/{i:04d}-t0.5.png") as alone:
            np.testing.assert_array_equal(np.asarray(alone), grid[i // 3][i % 3])
    assert not grid[1][2].any()  # the sixth place is empty


def test_tiles_have_the_scale_that_was_asked_for(draw):
    small, _ = draw("--batch_size=2", "--seed=3")
    large, _ = draw("--batch_size=2", "--seed=3", "--scale=40")
    assert large.shape == (40, 80, 3)
    np.testing.assert_array_equal(large, small.repeat(4, 0).repeat(4, 1))


def test_the_default_scale_is_256(here, capsys):
    code, _, err = answer(capsys, "predict", "--model_name=tiny", "--batch_size=2", "--temperature=0,1")
    assert code == 0, err
    with Image.open(here / "collage.png") as picture:
        assert picture.size == (512, 512)


def test_interpolation_smooths_the_tiles(draw):
    nearest, _ = draw("--batch_size=1", "--seed=3", "--scale=40")
    bicubic, _ = draw("--batch_size=1", "--seed=3", "--scale=40", "--interpolation=bicubic")
    assert nearest.shape == bicubic.shape and (nearest != bicubic).any()
    assert len(np.unique(bicubic.reshape(-1, 3), axis=0)) > len(np.unique(nearest.reshape(-1, 3), axis=0))


@pytest.mark.parametrize(("cut", "pixels"), [(None, 32), ("0", 0), ("5", 5), ("3r", 24), ("25%", 16), ("64", 64)])
def test_cut_in_pixels_rows_and_per_cent(draw, cut, pixels):
    picture, _ = draw("--prompt=a.png", "--seed=3", *([] if cut is None else [f"--cut={cut}"]))
    ((whole, shortened, drawn),) = tiles(picture, columns=3, rows=1)
    whole, shortened, drawn = (tile.reshape(-1, 3) for tile in (whole, shortened, drawn))
    np.testing.assert_array_equal(shortened[:pixels], whole[:pixels])
    assert not shortened[pixels:].any() and shortened[:pixels].any(axis=1).sum() == whole[:pixels].any(axis=1).sum()
    np.testing.assert_array_equal(drawn[:pixels], whole[:pixels])
    assert read_metadata("sheet.png")["cut"] == str(pixels)


def test_filters_and_temperature_zero_change_what_is_drawn(draw):
    flags = ["--batch_size=2", "--seed=3"]
    plain, _ = draw(*flags)
    greedy, _ = draw(*flags, "--temperature=0")
    single, _ = draw(*flags, "--top_k=1")
    np.testing.assert_array_equal(single, greedy)
    first, second = tiles(greedy, columns=2, rows=1)[0]
    np.testing.assert_array_equal(first, second)
    for flag in ("--top_k=2", "--top_p=0.3", "--min_p=0.5", "--seed=4"):
        assert (draw(*flags, flag)[0] != plain).any(), flag
    np.testing.assert_array_equal(draw(*flags, "--top_k=66", "--top_p=1", "--min_p=0")[0], plain)


# ---- seeds


@pytest.mark.subset
def test_a_fresh_seed_is_printed_and_stored_and_draws_the_identical_file_again(draw, here):
    _, said = draw("--prompt=a.png", "--temperature=0.5,1", out="first.png")
    seed = read_metadata("first.png")["seed"]
    assert f"seed {seed}, saved first.png" in said
    draw("--prompt=a.png", "--temperature=0.5,1", f"--seed={seed}", out="again.png")
    assert (here / "first.png").read_bytes() == (here / "again.png").read_bytes()
    draw("--prompt=a.png", "--temperature=0.5,1", out="other.png")
    assert read_metadata("other.png")["seed"] != seed
    facts = read_metadata("first.png")
    assert facts["temperature"] == "0.5,1.0" and facts["cut"] == "32" and facts["model"].endswith("tiny")


def test_seed_and_settings_are_also_stored_in_jpeg_and_webp(draw):
    for out in ("sheet.jpg", "sheet.webp"):
        draw("--batch_size=1", "--seed=9", "--top_k=5", out=out)
        assert read_metadata(out).items() >= {"seed": "9", "top_k": "5"}.items()


def test_the_first_picture_hangs_neither_on_the_batch_nor_on_other_temperatures(draw):
    one = tiles(draw("--batch_size=1", "--seed=7")[0], 1, 1)
    five = tiles(draw("--batch_size=5", "--seed=7")[0], 3, 2)
    three = tiles(draw("--batch_size=1", "--seed=7", "--temperature=0.5,1,2")[0], 3, 1)
    np.testing.assert_array_equal(one[0][0], five[0][0])
    np.testing.assert_array_equal(one[0][0], three[0][1])


def test_several_temperatures_and_prompts_are_one_batch(draw, monkeypatch):
    calls = []
    real = engine_module.decode

    def counted(parameters, config, tokens, *rest):
        calls.append(tokens.shape)
        return real(parameters, config, tokens, *rest)

    monkeypatch.setattr(engine_module, "decode", counted)
    compiled = real._cache_size()
    draw("--prompt=a.png,b.bmp", "--temperature=0.3,0.6,0.9,1.2", "--seed=1")
    assert set(calls) == {(8, S * S)}
    assert real._cache_size() <= compiled + 1
    before = real._cache_size()
    draw("--prompt=b.bmp,a.png", "--temperature=0.1,0.2,0.9,1.2", "--seed=2", "--cut=3r", "--top_k=3")
    assert real._cache_size() == before, "other settings compiled another program"


# ---- further files


def test_each_picture_is_saved_with_its_settings(draw, here):
    picture, said = draw("--batch_size=2", "--temperature=0.5,1", "--seed=3", "--out_dir=each/one")
    names = ["0000-t0.5.png", "0000-t1.png", "0001-t0.5.png", "0001-t1.png"]
    assert sorted(path.name for path in (here / "each/one").iterdir()) == names
    assert "saved 4 pictures in each/one" in said
    grid = tiles(picture, columns=2, rows=2)
    for name, tile in zip(names, [tile for row in grid for tile in row], strict=True):
        with Image.open(here / "each/one" / name) as picture:
            np.testing.assert_array_equal(np.asarray(picture), tile)
        facts = read_metadata(here / "each/one" / name)
        assert (facts["seed"], facts["index"]) == ("3", str(int(name[:4])))
        assert float(facts["temperature"]) == float(name[6:].removesuffix(".png"))


@pytest.mark.parametrize("name", ["grow.gif", "grow.webp", "grow.png"])
def test_the_animation_shows_the_drawing_and_ends_with_the_sheet(draw, here, name):
    picture, _ = draw("--prompt=a.png", "--temperature=0.5,1", "--cut=2r", "--seed=3", f"--animate={name}")
    with Image.open(here / name) as film:
        assert film.n_frames == 1 + (S - 2)  # the cut prompt, then a frame a row
        film.seek(0)
        first = np.asarray(film.convert("RGB")).copy()
        film.seek(film.n_frames - 1)
        last = np.asarray(film.convert("RGB"))
    assert last.shape == picture.shape and (first != last).any()
    error = np.abs(last.astype(int) - picture)
    assert error.max() == 0 if name != "grow.gif" else error.mean() < 4


def test_drawing_with_and_without_an_animation_gives_the_same_sheet(draw):
    plain, _ = draw("--batch_size=2", "--seed=3")
    animated, _ = draw("--batch_size=2", "--seed=3", "--animate=a.gif")
    np.testing.assert_array_equal(plain, animated)


# ---- prompts from elsewhere


@contextmanager
def server(respond):
    """A web server on this machine; yields its address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            respond(self)

        def log_message(self, *arguments):
            pass

    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.daemon_threads = True
    threading.Thread(target=httpd.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{httpd.server_address[1]}"
    finally:
        httpd.shutdown()
        httpd.server_close()


def respond_with(content: bytes, kind: str):
    def respond(handler):
        handler.send_response(200)
        handler.send_header("Content-Type", kind)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    return respond


def test_a_prompt_comes_from_a_web_server(draw, here):
    with server(respond_with((here / "a.png").read_bytes(), "image/png")) as address:
        fetched, _ = draw(f"--prompt={address}/x.png,b.bmp", "--seed=3")
    local, _ = draw("--prompt=a.png,b.bmp", "--seed=3")
    np.testing.assert_array_equal(fetched, local)


@pytest.mark.parametrize(
    ("name", "mode", "size"), [("c.jpg", "L", (300, 20)), ("c.gif", "P", (3, 5)), ("c", "RGBA", (9, 9))]
)
def test_a_prompt_may_have_any_size_and_format(draw, here, name, mode, size):
    smooth(*size).convert(mode).save(here / name, format="PNG" if name == "c" else None)
    ((whole, *_),) = tiles(draw(f"--prompt={name}", "--seed=3")[0], 3, 1)
    np.testing.assert_array_equal(whole, seen(here / name))


# ---- models and devices


def test_a_model_is_found_by_its_path_too(draw, here):
    by_name, _ = draw("--batch_size=1", "--seed=3")
    for path in ("model-weights/tiny", "model-weights/tiny/weights.safetensors", str(here / "model-weights/tiny")):
        np.testing.assert_array_equal(draw("--batch_size=1", "--seed=3", f"--checkpoint={path}")[0], by_name)


def test_agreeing_flags_are_accepted(draw):
    draw("--image_size=8", "--bitdepth=2,2,2", "--model_type=transformer", "--batch_size=1", "--device=cpu")


def test_python_and_command_line_draw_the_same_sheet(draw):
    picture, _ = draw("--prompt=a.png,b.bmp", "--temperature=0.5,1", "--seed=3")
    predictor = get_predictor("tiny", "transformer", "model-weights", 8, (2, 2, 2))
    same = predictor.predict(prompts=["a.png", "b.bmp"], temperature=(0.5, 1), scale=10, seed=3)
    np.testing.assert_array_equal(np.asarray(same), picture)


def test_the_device_of_the_run_is_said(here, capsys):
    _, _, err = answer(capsys, "predict", "--model_name=tiny", "--batch_size=1", "--scale=10")
    assert "device: CPU, " in err


def test_what_was_drawn_is_refined(draw, here):
    sheet, said = draw(
        "--prompt=a.png,b.bmp",
        "--temperature=0.5,1",
        "--refine=imstack",
        "--refine_size=40",
        "--out_dir=large",
        "--seed=1",
    )
    assert sheet.shape[1] == 4 * 10 and "of the pixels give back their token" in said
    with Image.open(here / "large" / "0001-t0.5.png") as picture:
        assert picture.size == (40, 40)


def test_a_style_needs_refinement(here, capsys):
    code, _, err = answer(capsys, "predict", "--model_name=tiny", "--refine_style=a.png")
    assert code == 2 and "--refine_style is for --refine=imstack" in err


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--refine_style=gone.png"], "gone.png does not exist"),
        (["--refine_style=a.png", "--refine_network=gone.npz"], "gone.npz"),
        (["--refine_size=4"], "size=4"),
        (["--refine_style_weight=nan"], "style_weight=nan"),
        (["--refine_style_weight=-1"], "style_weight=-1"),
    ],
)
def test_what_refinement_cannot_use_is_told_before_anything_is_drawn(here, capsys, monkeypatch, flags, said):
    monkeypatch.setattr("pixace.cli.predict._draw", None)
    code, _, err = answer(capsys, "predict", "--model_name=tiny", "--refine=imstack", *flags)
    assert code in (1, 2) and said in err and "Traceback" not in err


def test_a_sheet_of_refined_drawings_shows_them_as_large_as_they_are(here, capsys):
    flags = ["--model_name=tiny", "--batch_size=1", "--refine=imstack", "--refine_size=40", "--out_dir=large"]
    code, _, err = answer(capsys, "predict", *flags, "--out=sheet.png", "--seed=2")
    assert code == 0, err
    with Image.open("sheet.png") as sheet, Image.open(here / "large" / "0000-t1.png") as large:
        np.testing.assert_array_equal(np.asarray(sheet)[1:-1, 1:-1], np.asarray(large))
        assert sheet.info["refine_size"] == "40"
