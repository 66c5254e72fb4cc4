"""Drawing by a guide, with a small CLIP of random weights: what is asked for comes nearer, and runs go on exactly."""

import json

import numpy as np
import pytest
from small_clip import write_clip

from pixace.cli.main import main
from pixace.clip.weights import load_clip
from pixace.errors import PixaceError
from pixace.guide.reading import read_guides
from pixace.guide.recording import Recorder, resumed
from pixace.guide.run import _Run, draw

GUIDE = """
verbose: 0
epochs: 6
resolution: 32
snapshot_interval: 2
init: {mean: .5, std: .1}
learnrate: 3
targets:
  - batch_size: 2
    features: [{text: red cat}, {text: hello, weight: "-.1 if sim > 0 else 0"}]
    transforms: [{noise: .05*ti}, {random_shift: -.2 .2}]
    constraints: [{saturation: {below: .3, weight: .1*t}}]
  - {start: 2.0, features: [{text: never}]}
postproc: [{border: {size: 1, color: 0}, end: 1.0}]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("guide")
    write_clip(root / "clip")
    (root / "a.yaml").write_text(GUIDE)
    return root


@pytest.fixture(scope="module")
def clip(folder):
    return load_clip(folder / "clip")


@pytest.fixture(scope="module")
def whole(folder, clip):
    """A run to its end, told epoch by epoch."""
    told = []
    drawn = draw(read_guides([folder / "a.yaml"]).guide, [clip], on_epoch=told.append)
    return drawn, told


def test_the_picture_gets_nearer_to_the_words(whole):
    drawn, told = whole
    similar = [float(epoch.seen[0][1].similarity[0]) for epoch in told]
    assert similar[-1] > similar[0] + 5, similar
    assert [epoch.number for epoch in told] == list(range(6)) and drawn.signal is None


def test_a_target_whose_time_never_comes_asks_nothing(whole):
    assert all([place for place, _ in epoch.seen] == [0] for epoch in whole[1])


def test_effects_on_the_picture_come_after_the_last_step_too(whole):
    assert (whole[0].picture[0] == 0).all() and (whole[0].picture[1:-1, 1:-1] > 0).any()


def test_a_stopped_run_goes_on_as_if_nothing_had_been(folder, clip, whole, tmp_path):
    read = read_guides([folder / "a.yaml"], {"snapshot_interval": "1"})
    recorder = Recorder(read, tmp_path / "a.png")
    done = []

    def tell(epoch):
        recorder(epoch)
        done.append(epoch.number)

    draw(read.guide, [clip], on_epoch=tell, stop=lambda: len(done) == 3)
    out, state, again = resumed(tmp_path / "a.png", {})
    assert out == tmp_path / "a.png" and again.guide == read.guide
    drawn = draw(again.guide, [clip], resume=state)
    np.testing.assert_array_equal(drawn.picture, whole[0].picture)
    Recorder(again, out, going_on=True).finish(drawn)
    assert not state.exists() and json.loads(_metadata(out)["guide"]) == read.document


def _metadata(path):
    from pixace.sheets import read_metadata

    return read_metadata(path)


def test_no_number_that_changes_compiles_anew(folder, clip):
    """Noise, weights, kernels and crops change from epoch to epoch; the step is one program."""
    text = GUIDE.replace("noise: .05*ti", "blur: {kernel_size: 1+8*t}").replace(
        "random_shift: -.2 .2", "center_crop: 32-8*t"
    )
    (folder / "b.yaml").write_text(text)
    run = _Run(read_guides([folder / "b.yaml"], {"epochs": "3"}).guide, [clip], {})
    state = run.begin(False)
    for _ in range(3):
        state, *_ = run.epoch(state)
    steps = [program for name, program in run.compiled.items() if name[0] != "postproc"]
    assert len(steps) == 1 and steps[0][2]._cache_size() == 1


def test_the_command_writes_picture_record_figures_and_animation_and_never_over_another(folder, here, capsys):
    given = [
        str(folder / "a.yaml"),
        f"--model={folder / 'clip'}",
        "-o",
        "out/",
        "-e",
        "2",
        "--save_gif",
        "--save_losses",
    ]
    for _ in range(2):
        with pytest.raises(SystemExit) as end:
            main(["guide", *given])
        assert end.value.code == 0, capsys.readouterr().err
    names = {path.name for path in (here / "out").iterdir()}
    assert names == {f"a{n}.{kind}" for n in ("", "-1") for kind in ("png", "yaml", "gif", "jsonl")}
    first, second = ((here / "out" / name).read_bytes() for name in ("a.gif", "a-1.gif"))
    assert first == second  # the same seed
    assert "epochs: 2 of 2" in (here / "out" / "a.yaml").read_text()


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "which guide file"),
        (["a.yaml", "--resume=b.png"], "has its own guide"),
        (["--resume=b.png"], "there is no .*b.state.safetensors: a run leaves it until it has ended"),
        (["a.yaml", "--set=epochs"], "PATH=VALUE is needed"),
        (["a.yaml", "-r", "1", "2", "3"], "one, or width and height"),
        (["a.yaml", "--repeat=0"], "at least 1"),
        (["a.yaml", "--model=RN50"], "model RN50: .*`pixace download clip-rn50`.*--model=emoji-clip"),
        (["a.yaml", "--set=init.image=http://127.0.0.1:9/a.png"], "refused.*--allow_local"),
    ],
)
def test_mistakes_end_with_one_line(arguments, message, folder, here, capsys):
    (here / "a.yaml").write_text((folder / "a.yaml").read_text())
    if not any("model" in word for word in arguments):
        arguments = [*arguments, f"--model={folder / 'clip'}"]
    with pytest.raises(SystemExit) as end:
        main(["guide", *arguments])
    assert end.value.code in (1, 2)
    told = capsys.readouterr().err
    import re

    assert re.search(message, told) and "Traceback" not in told, told


def test_a_loss_that_is_no_number_ends_the_run_and_says_when(folder, clip):
    (folder / "c.yaml").write_text(GUIDE.replace("weight: .1*t", "weight: 1e39*t"))
    with pytest.raises(PixaceError, match=r"the loss is no number in epoch \d: lower learnrate"):
        draw(read_guides([folder / "c.yaml"]).guide, [clip])
