"""`pixace clip rate`: similarities as defined, in order, as table, CSV and sheet; what cannot be read is left out."""

import csv

import numpy as np
import pytest
from PIL import Image
from small_clip import write_clip

from pixace.cli.main import main
from pixace.clip.rating import rate
from pixace.clip.views import view
from pixace.clip.weights import load_clip
from pixace.errors import PixaceError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clip")
    write_clip(folder / "model")
    random = np.random.default_rng(0)
    for i, size in enumerate([(40, 50), (32, 32), (100, 20)]):
        Image.fromarray(random.integers(0, 256, (*size, 3), np.uint8)).save(folder / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def clip(folder):
    return load_clip(folder / "model")


def pictures(folder):
    return [str(folder / f"{i}.png") for i in range(3)]


def rated(capsys, *words):
    with pytest.raises(SystemExit) as ended:
        main(["clip", "rate", *map(str, words)])
    return ended.value.code, *capsys.readouterr()


def test_a_view_is_the_middle_of_the_picture_scaled():
    tall = Image.new("RGB", (64, 128), "red")
    tall.paste("blue", (0, 32, 64, 96))
    np.testing.assert_allclose(view(tall, 32)[1:-1, :, 2], 1, atol=0.01)  # but for the filter at the rims
    assert view(Image.new("L", (3, 1)), 32).shape == (32, 32, 3)
    assert view(Image.new("L", (100_000, 1)), 32).shape == (32, 32, 3)  # not scaled whole: that were 3 million columns
    exact = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    np.testing.assert_allclose(view(Image.fromarray(exact), 32), exact / np.float32(255))


def test_similarities_are_a_hundred_times_the_cosine(clip, folder):
    found = rate(clip, pictures(folder), ["red cat"], [str(folder / "1.png")])
    views = np.stack([view(Image.open(path), 32) for path in pictures(folder)])
    images, text = np.asarray(clip.encode_image(views)), np.asarray(clip.encode_text(["red cat"]))
    np.testing.assert_allclose(found.similarities, 100 * images @ np.concatenate([text, images[1:2]]).T, atol=2e-3)
    assert found.similarities[1, 1] == pytest.approx(100, abs=1e-3)
    assert found.columns == ["red cat", str(folder / "1.png")]


def test_kept_vectors_are_those_of_the_picture_and_the_model(clip, folder, here):
    plain = rate(clip, pictures(folder), ["red"]).similarities
    for _ in range(2):
        np.testing.assert_array_equal(rate(clip, pictures(folder), ["red"], cached=True).similarities, plain)
    kept = sorted((here / "cache" / "clip").rglob("*.npy"))
    assert len(kept) == 3
    for path in kept:
        np.save(path, np.zeros(24, np.float32))
    assert not rate(clip, pictures(folder), ["red"], cached=True).similarities.any()  # they are read indeed
    other = load_clip(write_clip(here / "other", seed=1))
    np.testing.assert_array_equal(
        rate(other, pictures(folder), ["red"], cached=True).similarities,
        rate(other, pictures(folder), ["red"]).similarities,
    )
    kept[0].write_bytes(b"no array")
    assert np.isfinite(rate(clip, pictures(folder), ["red"], cached=True).similarities).all()


def test_the_command_prints_a_table_and_writes_csv_and_sheet(folder, capsys, here):
    (here / "texts.txt").write_text("hello\n\n  10 hats \n")
    (here / "broken.png").write_bytes(b"no picture")
    words = [*pictures(folder), "broken.png", "-t", "red", "a cat", "-tf", "texts.txt", "-i", folder / "0.png"]
    flags = ["-m", folder / "model", "-s", "-2", "-o", "out/table.csv", "--sheet=sheet.png", "-d", "cpu"]
    code, out, err = rated(capsys, *words, *flags)
    assert code == 0 and "skipped" in err and "broken.png" in err
    lines = out.splitlines()
    assert lines[0].split() == ["red", "a", "cat", "hello", "10", "hats", ".." + str(folder / "0.png")[-18:]]
    values = {line.split()[0]: [float(value) for value in line.split()[1:]] for line in lines[1:] if line}
    names = [line.split()[0] for line in lines[1:4]]
    column = [values[name][1] for name in names]
    assert column == sorted(column, reverse=True) and set(names) == {"0.png", "1.png", "2.png"}
    assert values["count"][0] == 3 and values["max"][1] == column[0] and values["min"][1] == column[2]
    assert values["mean"][1] == pytest.approx(np.mean(column), abs=0.011)
    assert values["std"][1] == pytest.approx(np.std(column, ddof=1), abs=0.02)
    with (here / "out" / "table.csv").open() as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["file", "red", "a cat", "hello", "10 hats", str(folder / "0.png")]
    assert [row[0].rpartition("/")[2] for row in rows[1:]] == names
    assert float(rows[1][2]) == pytest.approx(column[0], abs=0.006)
    with Image.open(here / "sheet.png") as sheet:
        assert sheet.width == 3 * 176 and np.asarray(sheet).std() > 10


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([], 2, "which pictures?"),
        (["0.png"], 2, "compared with what?"),
        (["0.png", "-t"], 2, "-t needs at least one word"),
        (["0.png", "-t", "red", "-s", "3"], 2, "--sort=3: there are 1 columns"),
        (["0.png", "-t", "red", "-s", "x"], 2, "sort"),
        (["gone.png", "-t", "red"], 1, "no picture could be read"),
        (["0.png", "-i", "gone.png"], 1, "the reference"),
        (["0.png", "-tf", "gone.txt"], 1, "cannot read gone.txt"),
        (["0.png", "-t", "red", "--sheet=a.xyz"], 2, "cannot be written as .xyz"),
        (["0.png", "-t", "red", "-m", "nothing"], 1, "there is no CLIP nothing"),
    ],
)
def test_bad_input_is_one_line(folder, capsys, monkeypatch, words, code, said):
    monkeypatch.chdir(folder)
    given = words if "-m" in words else [*words, "-m", "model"]
    found, out, err = rated(capsys, *given)
    assert found == code and said in err and out == "" and "Traceback" not in err


def test_a_word_that_is_no_command_is_told(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["clip", "rat"])
    assert ended.value.code == 2 and "there is rate" in capsys.readouterr().err


def test_no_reference_is_left_out_in_silence(clip, folder):
    with pytest.raises(PixaceError, match=r"gone\.png"):
        rate(clip, pictures(folder), ["red"], [str(folder / "gone.png")])
