"""`pixace predict --text`: many are drawn, and those are kept that a CLIP likes best."""

import numpy as np
import pytest
from PIL import Image
from small_clip import write_clip
from test_cli import answer
from test_predict_command import S, make_model
from test_refine import QUICK, scene, tokenizer

from pixace.clip.liking import likings
from pixace.clip.weights import load_clip
from pixace.refine.refine import refine, share_kept
from pixace.refine.text_wish import text_wish
from pixace.sheets import read_metadata


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("predict_text")
    make_model(root / "tiny")
    write_clip(root / "clip")
    return root


def predict(folder, capsys, *flags):
    given = (f"--checkpoint={folder / 'tiny'}", f"--clip={folder / 'clip'}", "--seed=1", *flags)
    return answer(capsys, "predict", *given)


def pictures(folder):
    return [np.asarray(Image.open(path)) for path in sorted(folder.iterdir())]


def test_the_best_of_many_are_kept_in_their_order(folder, here, capsys):
    code, _, err = predict(folder, capsys, "--n=6", "--out_dir=all")
    assert code == 0, err
    code, said, err = predict(folder, capsys, "--n=6", "--text=red cat", "--text=hello", "--keep=2", "--out_dir=best")
    assert code == 0, err
    drawn, kept = pictures(here / "all"), pictures(here / "best")
    rated = likings(load_clip(folder / "clip"), drawn, ["red cat", "hello"])
    order = np.argsort(-rated)
    assert len(drawn) == 6 and len(kept) == 2 and drawn[0].shape == (S, S, 3) and rated.std() > 0
    for picture, place in zip(kept, order, strict=False):
        np.testing.assert_array_equal(picture, drawn[place])
    assert f"kept 2 of 6: similarity {rated[order[0]]:.1f} to {rated[order[1]]:.1f}" in said
    assert read_metadata(here / "collage.png")["text"] == "red cat; hello"


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--keep=2"], "agrees best with --text"),
        (["--n=4", "--keep=5", "--text=red"], "--keep=5: 1 to 4"),
        (["--text= "], "says nothing"),
        (["--text=red", "--animate=a.gif"], "cannot be had with --text"),
        (["--text=red", "--clip=nowhere"], "there is no CLIP nowhere"),
    ],
)
def test_flags_that_make_no_sense_are_told_before_anything_is_drawn(flags, message, folder, here, capsys):
    code, said, err = predict(folder, capsys, *flags)
    assert code in (1, 2) and message in err and not said, (code, said, err)
    assert not list(here.glob("*.png"))


def test_words_are_heard_in_a_refined_picture_and_the_cells_hold(folder):
    codes = tokenizer(S)
    tokens = codes.encode(scene(32))
    clip = load_clip(folder / "clip")
    plain, wished = (
        refine(tokens, codes, 64, wishes=wishes, settings=QUICK)
        for wishes in ((), [(text_wish(["red cat"], clip), 0.5)])
    )
    before, after = likings(clip, [plain, wished], ["red cat"])
    assert after > before + 1 and share_kept(wished, tokens, codes) >= 0.99
