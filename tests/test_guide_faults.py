"""Guide files that are odd or hostile: nothing of other files is lost, and what is wrong is told with its place."""

import json
import random
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pixace.cli.main import main
from pixace.errors import ConfigError, PixaceError
from pixace.guide.expressions import parse
from pixace.guide.figures import Figures
from pixace.guide.outputs import unused
from pixace.guide.reading import read_guides
from pixace.guide.recording import Recorder, resumed
from pixace.guide.run import draw

PLAIN = "{epochs: 3, resolution: 8, verbose: 0, targets: [{constraints: [{mean: {above: .9}}]}]}"


@pytest.fixture
def guide(here):
    """Reads `PLAIN`, with what is changed in it."""
    (here / "a.yaml").write_text(PLAIN)
    return lambda **changes: read_guides(["a.yaml"], {name.replace("__", "."): text for name, text in changes.items()})


def run(*arguments):
    with pytest.raises(SystemExit) as end:
        main(["guide", *arguments])
    return end.value.code


def test_a_picture_that_is_one_pixel_wide_has_no_neighbours_but_a_loss(guide):
    assert draw(guide(resolution="1 5", total_variation=".1").guide).picture.shape == (5, 1, 3)


def test_numbers_are_needed_only_while_they_are_used(guide):
    text = "[{start: 1, constraints: [{mean: {above: .9, weight: 1/(epoch-1)}, start: 2}], transforms: " + (
        "[{noise: .1/(t-.5), start: 60%}, {center_crop: 4/t, start: 1}]}]"
    )
    assert np.isfinite(draw(guide(targets=text).guide).picture).all()


def test_a_size_that_the_picture_has_in_one_epoch_alone_is_prepared_for(guide):
    crop = "[{transforms: [{center_crop: 4}, {add: .1}], constraints: [{mean: {above: .9}}]}]"
    read = guide(epochs="100", resolution="{1: 9}.get(epoch, 8)", targets=crop)
    done = []
    draw(read.guide, on_epoch=lambda epoch: done.append(epoch.size), stop=lambda: len(done) == 2)
    assert done == [(8, 8), (9, 9)]


@pytest.mark.parametrize("value", ["{0: 1}.get(epoch)", "[1] if epoch else 1", "'a' if epoch else 1", "1/(1-epoch)"])
def test_what_is_no_number_in_some_epoch_is_told_with_its_place(guide, value):
    read = guide(targets=json.dumps([{"constraints": [{"mean": {"above": 0.9, "weight": [value]}}]}]))
    with pytest.raises(ConfigError, match=r"targets\[0\].constraints\[0\].mean weight 0 in epoch 1: "):
        draw(read.guide)


def test_no_expression_computes_for_long():
    began = time.process_time()
    with pytest.raises(ConfigError, match="up to 30 digits"):
        parse("round(5, -10**9)")({}, random.Random(0))
    assert time.process_time() - began < 1


@pytest.mark.parametrize("path", ["http:/../secret.png", "HTTPS:/a/b.png", "file:/a.png", "file:///a.png"])
def test_what_looks_like_an_address_is_one(guide, here, path):
    (here / "http:").mkdir()
    Image.new("RGB", (2, 2)).save(here / "secret.png")
    (here / "b.yaml").write_text(json.dumps({"init": {"image": path}}))
    with pytest.raises(ConfigError, match=r"init.image: .*must begin with http:// or https://"):
        read_guides(["b.yaml"])


def test_an_output_is_no_address(guide):
    Path("b.yaml").write_text("output: http://a/b.png")
    with pytest.raises(ConfigError, match=r"output: .*not to an address"):
        read_guides(["b.yaml"])


def test_a_file_moves_no_cursor(here):
    (here / "a.yaml").write_text(r'{"init": {"image": "\e[2Ja.png"}, "targets": [{"name": "\e]0;a"}]}')
    with pytest.raises(ConfigError) as error:
        read_guides(["a.yaml"])
    assert str(error.value).isprintable() and r"\x1b[2Ja.png" in str(error.value)


def test_an_empty_text_leaves_the_picture(guide, here):
    Image.new("RGB", (2, 2)).save(here / "b.png")
    (here / "b.yaml").write_text("targets: [{features: [{text: '', image: b.png}]}]")
    feature = read_guides(["b.yaml"]).guide.targets[0].features[0]
    assert (feature.text, feature.image) == (None, str(here / "b.png"))


@pytest.mark.parametrize("other", ["a.gif", "a.jsonl", "a_frames", "a.state.safetensors", "a.record.yaml", "a.png"])
def test_nothing_beside_a_picture_is_written_over(guide, other):
    Path(other).symlink_to("nowhere")
    assert Recorder(guide(), frames=True, gif=True, losses=True).out.name == "a-1.png"
    assert unused("b.png", [".gif"]).name == "b.png"


def test_what_cannot_be_written_is_told_before_any_work(guide):
    for name in ("a.yaml/b.png", "x" * 300 + ".png", "b.xbm"):
        with pytest.raises(PixaceError, match="cannot write"):
            Recorder(guide(), Path(name))
    assert not Path("b.xbm").exists()
    with pytest.raises(ConfigError, match="name of the picture"):
        Recorder(guide(), Path("b.gif"), gif=True)


def test_the_record_lies_beside_the_guide_file_that_has_its_name(guide, here, capsys):
    assert run("a.yaml", "--seed=5") == 0
    assert {path.name for path in here.glob("a*")} == {"a.yaml", "a.png", "a.record.yaml"}
    assert Path("a.yaml").read_text() == PLAIN and "seed: 5" in Path("a.record.yaml").read_text()
    assert run("a.record.yaml") == 0 and capsys.readouterr() == ("", "")  # verbose: 0
    np.testing.assert_array_equal(Image.open("a.png"), Image.open("a-1.png"))


@pytest.fixture
def stopped(guide):
    """A run that was stopped after its first epoch."""
    recorder = Recorder(guide(), Path("b.png"))
    done = []
    draw(recorder.read.guide, on_epoch=done.append, stop=lambda: len(done) == 1)
    recorder.snapshot(done[0])


@pytest.mark.usefixtures("stopped")
def test_a_run_that_goes_on_brings_its_own_record_and_figures_up_to_date():
    Path("b.yaml").write_text("epochs: 1 of 3")  # as Ctrl-C leaves it
    Path("b.jsonl").write_text('{"epoch": 0}\n{"epoch": 1}\n')  # as it was killed in epoch 1
    out, state, read = resumed(Path("b.png"), {"epochs": "4"})
    recorder = Recorder(read, out, going_on=True, losses=True)
    recorder.finish(draw(read.guide, resume=state, on_epoch=recorder))
    assert [json.loads(line)["epoch"] for line in Path("b.jsonl").read_text().splitlines()] == [0, 1, 2, 3]
    assert "epochs: 4 of 4" in Path("b.yaml").read_text() and not Path("b.record.yaml").exists()


@pytest.mark.usefixtures("stopped")
def test_a_state_names_no_file_but_those_called_as_it_is():
    Path("b.state.safetensors").rename("c.state.safetensors")
    assert resumed(Path("c.state.safetensors"), {})[0].name == "c.png"


@pytest.mark.usefixtures("stopped")
def test_a_run_goes_on_only_as_what_it_was(capsys):
    for change, reason in ((["--canvas=imstack"], "canvas pixels"), (["--set=targets=[]"], "other targets")):
        assert run("--resume=b.png", *change) == 1 and reason in capsys.readouterr().err
    for flag in ("--repeat=2", "--output=c.png", "--allow_folder=."):
        assert run("--resume=b.png", flag) == 2 and "goes on with that one picture" in capsys.readouterr().err


def test_figures_are_lines_whatever_names_say(guide):
    told = []
    read = guide(targets=json.dumps([{"name": "a\n\x1b[2J", "constraints": [{"blur": {}}]}]))
    draw(read.guide, on_epoch=told.append, stop=lambda: bool(told))
    figures = Figures(read.guide)
    figures.add(told[0])
    assert all(line.isprintable() for line in figures.text().split("\n")) and r"a\n\x1b[2J" in figures.text()


def test_an_output_that_is_a_folder_means_a_picture_in_it(guide, here):
    (here / "out").mkdir()
    names = [read_guides(["a.yaml"], output=output).base_name for output in ("out", ".", "..", "out/", "new", "new/")]
    assert names == ["out/a.png", "./a.png", "../a.png", "out/a.png", "new.png", "new/a.png"]


@pytest.mark.parametrize("weights", [(0, 0), (1, -1), (2, -1)])
def test_the_weights_of_clips_have_a_sum(guide, weights):
    with pytest.raises(ConfigError, match="weights must be 0 or more"):
        guide(models=json.dumps([{"name": "emoji-clip", "weight": weight} for weight in weights]))


def test_a_folder_is_no_run_to_go_on_with(here, capsys):
    assert run("--resume=.") == 1 and "is a folder" in capsys.readouterr().err
