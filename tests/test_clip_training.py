"""Training of small CLIPs: what a loss asks for, what a run learns and leaves, and the one that comes with pixace."""

import io
import json
import os
import signal
import zipfile

import jax
import numpy as np
import pytest
from PIL import Image

from pixace.cli import clip_rate, clip_train
from pixace.clip.retrieval import ranks
from pixace.clip.trained import load_trained
from pixace.clip.training.augmenting import vary_pictures
from pixace.clip.training.captions import captions, colours_of
from pixace.clip.training.config import ClipTraining
from pixace.clip.training.names import name_of_file, read_names
from pixace.clip.training.pictures import arrange, load_material
from pixace.clip.training.step import contrastive_loss
from pixace.clip.training.train import train_clip
from pixace.clip.weights import load_clip
from pixace.clip.words import BEGIN, FIRST_BYTE, Words, load_words
from pixace.errors import ConfigError, PixaceError
from pixace.progress import silent

TINY = {
    "image_size": 32,
    "image_width": 8,
    "image_blocks": (1,),
    "text_length": 8,
    "text_width": 64,
    "space": 16,
    "batch_size": 8,
    "n_easy": 10**6,  # pictures as they are: in few steps no more is learned
    "adversarial": 0.01,
    "lr": 3e-3,
    "steps_per_sample": 50,
    "hold_out": False,
    "device": "cpu",
}
COLOURS = {"red": (220, 30, 30), "green": (30, 180, 60), "blue": (40, 70, 220), "yellow": (250, 220, 40)}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Discs and bars of four colours, eight names, and their table; the last picture is damaged."""
    folder = tmp_path_factory.mktemp("pictures")
    lines = ["file\tname"]
    y, x = np.mgrid[:32, :32] - 15.5
    for i, (colour, rgb) in enumerate(COLOURS.items()):
        for shape, mask in (("ball", x**2 + y**2 < 150), ("bar", abs(y) < 5)):
            rgba = np.zeros((32, 32, 4), np.uint8)
            rgba[mask] = (*rgb, 255)
            file = f"p{i}{shape}.png"
            Image.fromarray(rgba).save(folder / file)
            lines.append(f"{file}\t{colour} {shape}")
    (folder / "broken.png").write_bytes(b"no picture")
    (folder / "names.tsv").write_text("\n".join([*lines, "broken.png\tnothing"]) + "\n")
    return folder


def train(name, folder, pictures, **options):
    said: list[str] = []
    given = {**TINY, "images": pictures, "progress": silent, **options}
    return train_clip(name, folder, say=said.append, **given), said


@pytest.fixture(scope="module")
def trained(tmp_path_factory, pictures):
    """A run of 120 steps, and what it said."""
    folder = tmp_path_factory.mktemp("models")
    return folder, *train("whole", folder, pictures, n_steps=120)


def test_a_few_names_are_learned(trained, pictures):
    folder, result, said = trained
    losses = [json.loads(line).get("loss") for line in (folder / "whole" / "metrics.jsonl").read_text().splitlines()]
    losses = [loss for loss in losses if loss is not None]
    assert result.step == 120 and len(losses) == 120
    assert losses[0] > 1.5 and np.mean(losses[-20:]) < 1.1  # "ball" alone is true of four
    assert any("1, listed in" in line for line in said)  # the damaged one
    clip = load_clip(folder / "whole")
    material = load_material(ClipTraining(images=str(pictures)), 32, silent)
    found = ranks(clip, material.rgba, material.family_names, material.families)
    assert (found == 1).sum() >= 7


def test_a_run_that_goes_on_ends_where_a_whole_one_does(trained, pictures):
    folder = trained[0]

    def stop(done: int, total: int, text: str = "") -> None:
        if done == 41:
            os.kill(os.getpid(), signal.SIGTERM)

    stopped, _ = train("parts", folder, pictures, n_steps=120, progress=stop)
    assert stopped.signal == signal.SIGTERM and 41 <= stopped.step < 120
    assert train("parts", folder, pictures, n_steps=120)[0].step == 120
    whole, parts = (jax.tree.leaves(load_trained(folder / name)[1]) for name in ("whole", "parts"))
    assert all(np.array_equal(a, b) for a, b in zip(whole, parts, strict=True))
    with pytest.raises(ConfigError, match=r"--lr=0\.003, now it is 0\.1"):
        train("parts", folder, pictures, lr=0.1)


def test_equal_names_are_no_negatives():
    """Of four pictures two have one name: their vectors may be one, and the loss knows nothing better."""
    vectors = np.eye(3, dtype=np.float32)[[0, 0, 1, 2]]
    same = np.array([0, 0, 1, 2])[:, None] == np.array([0, 0, 1, 2])
    loss = float(contrastive_loss(vectors, vectors, same, 50.0))
    assert abs(loss) < 1e-4
    assert float(contrastive_loss(vectors, vectors, np.eye(4, dtype=bool), 50.0)) > 0.3
    mixed = np.random.default_rng(0).standard_normal((2, 4, 3)).astype(np.float32)
    logits = 2.0 * mixed[0] @ mixed[1].T
    expected = 0.0
    for values in (logits, logits.T):
        log_shares = values - np.log(np.exp(values).sum(1, keepdims=True))
        wanted = same / same.sum(1, keepdims=True)
        expected += -(wanted * log_shares).sum(1).mean() / 2 - np.log(same.sum(1)).mean() / 2
    assert float(contrastive_loss(*mixed, same, 2.0)) == pytest.approx(expected, rel=1e-5)


def test_texts_that_are_true_of_several_pictures_match_all_of_them(pictures):
    training = ClipTraining(images=str(pictures), batch_size=8, n_easy=0, hold_out=False)
    material = load_material(training, 32, silent)
    assert [name for name, _ in material.skipped] == ["broken.png"]
    words = Words(("red", "ball"), 8)
    first, again = (material.batch(3, training, words) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert first.matches.diagonal().all() and first.pictures.shape == (8, 32, 32, 3)
    other = material.batch(4, training, words)
    assert not np.array_equal(first.pictures, other.pictures)


def test_colours_are_told_from_pixels_that_are_seen():
    rgba = np.zeros((8, 8, 4), np.uint8)
    rgba[..., :3] = (30, 60, 220)  # blue that nobody sees
    rgba[2:6, :, 0:4] = (220, 20, 20, 255)
    assert colours_of(rgba) == ["red"]
    said = dict(captions("apple", "apple", ["red"]))
    assert max(said, key=lambda text: said[text]) == "apple" and {"red apple", "red"} <= set(said)
    assert "red blue book" not in dict(captions("blue book", "blue book", ["red"]))
    assert colours_of(np.zeros((4, 4, 4), np.uint8)) == []


def test_varied_pictures_keep_their_hue():
    """On any ground, in any light, a red square has no pixel that is redder in another hue, noise apart."""
    rgba = np.tile(np.array([200, 20, 20, 255], np.uint8), (16, 48, 48, 1))
    varied = vary_pictures(rgba, [True] * 16, np.random.default_rng(0)).astype(float)
    middle = np.median(varied[:, 16:32, 16:32].reshape(16, -1, 3), axis=1)
    red = middle[:, 0] - middle[:, 1:].max(1)
    assert (red > 20).sum() >= 10 and np.abs(middle[:, 1] - middle[:, 2])[red > 20].max() < 12


@pytest.mark.parametrize(
    "text", ["", "   ", "Red HEART", "naïve ünïcode 漢字 😀", "\x00\ud800", "-" * 500, "zyx " * 99]
)
def test_any_text_becomes_tokens(text):
    words = Words(("heart", "red"), 8)
    tokens = words.tokenize([text, "red"])
    assert tokens.shape == (2, 8) and tokens.dtype == np.int32
    assert (tokens[:, 0] == BEGIN).all() and tokens.max() == words.size - 1
    assert ((tokens == words.size - 1).sum(1) == 1).all()


def test_known_words_are_whole_and_others_are_bytes(tmp_path):
    words = Words(("heart", "red"), 8)
    assert words.tokenize(["Red-Heart!"])[0, :5].tolist() == [1, 259, 258, FIRST_BYTE + ord("!"), 260]
    assert words.tokenize(["red"], spelt=["red"])[0, 1:4].tolist() == [FIRST_BYTE + byte for byte in b"red"]
    words.save(tmp_path)
    assert load_words(tmp_path / "words.json") == words
    (tmp_path / "words.json").write_text('{"kind": "words", "format": 1, "length": 2, "words": []}')
    with pytest.raises(PixaceError, match="no vocabulary of words"):
        load_words(tmp_path / "words.json")


def test_names_come_from_tables_or_files(tmp_path):
    assert name_of_file("red_heart_2.png") == "red heart"
    assert name_of_file("emoji_u1f44b_1f3fd.png") == "waving hand sign medium skin tone"
    (tmp_path / "t.tsv").write_text("a/x.png\ta red cat\n")
    assert read_names(str(tmp_path), str(tmp_path / "t.tsv")) == {"x.png": "a red cat"}
    assert read_names(str(tmp_path), None) == {}
    (tmp_path / "t.tsv").write_text("x.png a red cat\n")
    with pytest.raises(PixaceError, match=r"line 1: .*is no file, a tab"):
        read_names(str(tmp_path), str(tmp_path / "t.tsv"))


def test_commands_train_and_rate(trained, here, pictures, capsys, monkeypatch):
    with pytest.raises(PixaceError, match="pixace download --dataset=emoji"):
        clip_train.run(["--model=a"])
    folder = trained[0]
    assert clip_train.run(["--model=whole", f"--weights_dir={folder}", f"--images={pictures}"]) == 0
    assert "is trained already" in capsys.readouterr().err
    picture = str(pictures / "p0ball.png")
    assert clip_rate.run([picture, "-t", "red ball", "blue bar", "-m", str(folder / "whole")]) == 0
    row = next(line for line in capsys.readouterr().out.splitlines() if "p0ball" in line)
    first, second = (float(word) for word in row.split()[-2:])
    assert first > second


def test_who_lacks_the_default_is_told_of_the_one_in_the_package(here):
    with pytest.raises(PixaceError, match="emoji-clip, which knows emoji alone, is here already"):
        load_clip(offline=True)
    with pytest.raises(PixaceError, match="with pixace: emoji-clip"):
        load_clip("nothing")


def test_the_clip_in_the_package_knows_variants_that_it_never_saw(shared):
    archive = shared / "data" / "emoji.zip"
    table = read_names(str(archive), None)
    files = sorted(table)
    names = [table[file] for file in files]
    known = arrange(files, names, np.zeros((len(files), 1, 1, 4), np.uint8), True)
    rows = known.variants[:: max(1, len(known.variants) // 60)]
    clip = load_clip("emoji-clip", offline=True)
    with zipfile.ZipFile(archive) as opened:
        shown = [Image.open(io.BytesIO(opened.read(f"emoji/{files[row]}"))).convert("RGBA") for row in rows]
    edge = (clip.image_size,) * 2
    rgba = np.stack([np.asarray(each.resize(edge, Image.Resampling.LANCZOS)) for each in shown])
    found = ranks(clip, rgba, known.family_names, known.families[rows])
    assert (found <= 5).mean() >= 0.6 and len(known.family_names) > 1500
