"""Unpaired translation: trained by its command on red and blue shapes, and what its parts promise."""

import json
import os
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from pixace.cli import style_apply, style_train, style_unpaired
from pixace.errors import ConfigError, PixaceError
from pixace.style.unpaired import discriminator
from pixace.style.unpaired.config import UnpairedConfig, UnpairedNetworks, UnpairedTraining
from pixace.style.unpaired.discriminator import discriminate, discriminator_shapes
from pixace.style.unpaired.generator import init_weights
from pixace.style.unpaired.model import load_unpaired, translate
from pixace.style.unpaired.pool import exchange
from pixace.style.unpaired.step import METRICS, learning_rate
from pixace.style.unpaired.training import train_unpaired

EDGE, N_STEPS = 32, 200
SHORT = {
    "image_size": EDGE,
    "load_size": EDGE + 2,
    "width": 8,
    "n_residual": 1,
    "d_width": 8,
    "d_layers": 1,
    "pool_size": 4,
    "lr": 1e-3,
    "n_steps": N_STEPS,
    "steps_per_sample": N_STEPS,
    "n_samples": 20,
    "device": "cpu",
}
RED, BLUE = (200, 40, 40), (40, 60, 200)


def shapes(count: int, seed: int, colour: tuple[int, int, int]) -> np.ndarray:
    """Discs and diamonds of about a colour on grey, uint8 (count, EDGE, EDGE, 3)."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:EDGE, :EDGE]
    found = np.empty((count, EDGE, EDGE, 3), np.uint8)
    for picture in found:
        (row, column), radius = random.integers(10, 22, 2), random.integers(5, 10)
        disc = np.hypot(y - row, x - column) < radius
        inside = disc if random.random() < 0.5 else abs(y - row) + abs(x - column) < 1.3 * radius
        picture[:] = random.integers(150, 256)
        picture[inside] = np.clip(np.array(colour) + random.normal(0, 15, 3), 0, 255)
    return found


def save(folder, pictures):
    folder.mkdir()
    for i, pixels in enumerate(pictures):
        Image.fromarray(pixels).save(folder / f"{i}.png")


def pixels(path) -> np.ndarray:
    with Image.open(path) as opened:
        return np.asarray(opened)


def redness(pictures: np.ndarray) -> float:
    """How much more red than blue they are, on average."""
    return float((pictures[..., 0].astype(float) - pictures[..., 2]).mean())


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    folder = tmp_path_factory.mktemp("material")
    save(folder / "red", shapes(24, 1, RED))
    save(folder / "blue", shapes(20, 2, BLUE))
    return folder


def quiet(folder, material, stop_at=None, **options):
    """A run that gets a signal while step `stop_at` is the last one with known figures; it ends one step later."""

    def progress(done, total, text=""):
        if done == stop_at:
            os.kill(os.getpid(), signal.SIGTERM)

    given = {**SHORT, "a": str(material / "red"), "b": str(material / "blue"), **options}
    said: list[str] = []
    return train_unpaired("m", weights_dir=folder, say=said.append, progress=progress, **given), said


@pytest.fixture(scope="module")
def trained(tmp_path_factory, material):
    """A whole run of the command."""
    folder = tmp_path_factory.mktemp("models")
    flags = [f"--{name}={value}" for name, value in SHORT.items()]
    sources = [f"--a={material / 'red'}", f"--b={material / 'blue'}"]
    assert style_unpaired.run([*sources, "--model=m", f"--weights_dir={folder}", *flags]) == 0
    return folder / "m"


def metrics(folder) -> list[dict]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{name: line[name] for name in ("step", *METRICS)} for line in lines]


def test_the_loss_falls_and_the_folder_holds_what_is_promised(trained):
    losses = [line["loss"] for line in metrics(trained)]
    assert len(losses) == N_STEPS and np.mean(losses[-25:]) < 0.6 * np.mean(losses[:25])
    assert json.loads((trained / "config.json").read_text())["kind"] == "unpaired"
    assert list(trained.glob("events.out.tfevents.*"))
    assert pixels(trained / "samples" / f"{N_STEPS:08d}.png").shape == (20 * (EDGE + 2), 6 * (EDGE + 2), 3)


@pytest.mark.parametrize(("seeds", "who"), [((1, 2), "seen"), ((11, 12), "held out")])
def test_pictures_take_the_colours_of_the_other_kind_and_come_back(trained, seeds, who):
    model = load_unpaired(trained)
    red, blue = shapes(20, seeds[0], RED), shapes(20, seeds[1], BLUE)
    for there, back, pictures, others in (("ab", "ba", red, blue), ("ba", "ab", blue, red)):
        made = np.asarray(translate(model.generators[there], model.config.network, pictures))
        way = (redness(made) - redness(pictures)) / (redness(others) - redness(pictures))
        assert 0.6 < way < 1.6, f"{who}: {way:.2f} of the way to the other kind"
        again = np.asarray(translate(model.generators[back], model.config.network, made))
        distance = np.abs(again.astype(float) - pictures).mean()
        chance = np.abs(np.roll(pictures, 1, 0).astype(float) - pictures).mean()
        assert distance < 0.8 * chance, f"{who}: {distance:.1f} from where they came, {chance:.1f} by chance"


def test_command_applies_both_ways_and_keeps_odd_sizes(trained, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "in", [shapes(1, 7, RED)[0, :31, :22], shapes(1, 8, RED)[0, :31, :22]])
    command = [f"--model={trained}", "in", "--device=cpu"]
    assert style_apply.run(command) == 0 and style_apply.run([*command, "--backward", "--out_dir=back"]) == 0
    assert "saved 2 pictures" in capsys.readouterr().out
    there, back = (np.stack([pixels(tmp_path / out / f"{i}_m.png") for i in (0, 1)]) for out in ("styled", "back"))
    assert there.shape == back.shape == (2, 31, 22, 3)
    assert redness(there) < 0 < redness(back)
    with pytest.raises(ConfigError, match="has no styles"):
        style_apply.run([*command, "--style_index=0"])


def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(trained, material, tmp_path):
    """Beyond the 4 steps that fill the pools, so that their random exchanges are part of it."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert quiet(whole, material, stop_at=8)[0].step == 9
    result, said = quiet(parts, material, stop_at=5)
    assert (result.step, result.signal) == (6, signal.SIGTERM) and "stopped by SIGTERM after step 6, saved" in said[-1]
    result, said = quiet(parts, material, stop_at=8)
    assert result.step == 9 and any("going on from step 6" in line for line in said)
    assert metrics(parts / "m") == metrics(whole / "m") == metrics(trained)[:9]
    weights = [(folder / "m" / "weights.safetensors").read_bytes() for folder in (whole, parts)]
    assert weights[0] == weights[1]


def test_a_finished_run_says_so_and_contradictions_say_both_values(trained, material):
    result, said = quiet(trained.parent, material)
    assert result.step == N_STEPS and "trained already" in said[-1]
    with pytest.raises(ConfigError, match="started with --width=8, now it is 16"):
        quiet(trained.parent, material, width=16)
    with pytest.raises(ConfigError, match=r"started with --a=.*red, now it is .*blue"):
        quiet(trained.parent, material, a=str(material / "blue"))


# ---- parts


@pytest.mark.parametrize(("layers", "edge"), [(3, 70), (2, 34), (1, 16)])
def test_a_judgement_sees_a_patch_of_the_published_size(monkeypatch, layers, edge):
    monkeypatch.setattr(discriminator, "instance_norm", lambda values: values)  # which sees all of a map
    config = UnpairedNetworks(d_width=2, d_layers=layers)
    weights = init_weights(discriminator_shapes(config), 0, 0)
    picture = jnp.asarray(np.random.default_rng(0).standard_normal((1, 128, 128, 3), np.float32))

    def middle(picture):
        judged = discriminate(weights, config, picture)
        return judged[0, judged.shape[1] // 2, judged.shape[2] // 2]

    seen = np.abs(np.asarray(jax.grad(middle)(picture))).sum((0, 3)) > 0
    assert seen.any(0).sum() == seen.any(1).sum() == edge and seen.sum() == edge * edge


@pytest.mark.subset
def test_the_pool_fills_then_shows_old_pictures_half_of_the_time():
    picture = lambda number: np.full((2, 2, 2, 3), [[[[number]]], [[[number + 1]]]], np.float32)  # noqa: E731
    pool, shown, move = jnp.zeros((10, 2, 2, 3)), [], jax.jit(exchange)
    for step in range(300):
        before = set(np.asarray(pool)[:, 0, 0, 0])
        pool, found = move(pool, jnp.int32(2 * step), picture(2 * step), jax.random.fold_in(jax.random.key(0), step))
        shown += list(np.asarray(found)[:, 0, 0, 0])
        assert set(shown[-2:]) <= before | {2 * step, 2 * step + 1}
    shown = np.array(shown)
    assert (shown[:10] == np.arange(10)).all()  # while it fills, the new ones
    old = shown[10:] != np.arange(10, 600)
    assert 0.42 < old.mean() < 0.58
    assert len(set(shown[10:][old])) == old.sum()  # what was shown again has left the pool


@pytest.mark.subset
def test_the_learning_rate_is_constant_then_falls_to_nothing():
    training = UnpairedTraining(n_steps=100, n_decay=40, lr=0.1)
    rates = [float(learning_rate(training, step)) for step in (0, 59, 60, 80, 99, 100)]
    assert rates == pytest.approx([0.1, 0.1, 0.1, 0.05, 0.0025, 0])
    assert float(learning_rate(UnpairedTraining(n_steps=100, n_decay=0, lr=0.1), 99)) == pytest.approx(0.1)


# ---- mistakes


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"b": None}, "--b is missing"),
        ({"b": "missing"}, "missing"),
        ({"b": "empty"}, "no pictures"),
        ({"b": "red"}, "--a and --b are both .*red"),
        ({"image_size": 64, "load_size": None}, "24 of 24 pictures of --a=.* --image_size=64, the fewest 32"),
        ({"load_size": 16}, "load_size=16: squares of image_size=32 must fit"),
        ({"d_layers": 4}, "image_size=32 is too small for d_layers=4"),
        ({"n_decay": N_STEPS + 1}, "n_decay=201"),
        ({"wide": 3}, "unknown training options: wide"),
    ],
)
def test_mistakes_are_told_and_leave_nothing(material, tmp_path, options, said):
    (tmp_path / "empty").mkdir()
    if options.get("b"):
        options = {"b": str((tmp_path if options["b"] == "empty" else material) / options["b"])}
    with pytest.raises(PixaceError, match=said) as caught:
        quiet(tmp_path, material, **options)
    assert "\n" not in str(caught.value) and not (tmp_path / "m").exists()


def test_commands_tell_a_model_of_another_kind(trained, tmp_path, material):
    where = [f"--weights_dir={trained.parent}", "--model=m"]
    with pytest.raises(ConfigError, match="not that of a network for fast style transfer"):
        style_train.run([*where, "--style=a.png", f"--images={material / 'red'}"])
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "config.json").write_text('{"kind": "fast style transfer"}')
    with pytest.raises(ConfigError, match="is of fast style transfer, not of unpaired translation"):
        load_unpaired(tmp_path / "m")
    with pytest.raises(ConfigError, match="image_size=32 is too small"):
        UnpairedConfig(UnpairedNetworks(d_layers=4), UnpairedTraining(image_size=32))
