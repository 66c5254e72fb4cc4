"""Weights and states of a run: whole or refused, and what damage to them is said to be."""

import shutil
import subprocess

import jax.numpy as jnp
import numpy as np
import pytest
from runs import make_pictures, quiet_train, weights
from tiny import tiny_config, tiny_parameters

from pixace.checkpoints import StateStore, load_weights, save_weights, weights_step
from pixace.errors import PixaceError
from pixace.models.spec import named

MODEL = tiny_config(d_model=16, n_layers=1)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    images = make_pictures(folder / "pictures")
    quiet_train("run", folder, images, n_steps=6, steps_per_epoch=2)
    return folder / "run"


@pytest.fixture
def run(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "run")


def again(run, trained, **options) -> list[str]:
    return quiet_train(
        "run", run.parent, trained.parent / "pictures", **{"n_steps": 6, "steps_per_epoch": 2, **options}
    )


def test_weights_come_back_and_say_their_step(tmp_path):
    parameters = tiny_parameters(MODEL)
    save_weights(tmp_path, parameters, 7)
    found = load_weights(tmp_path, MODEL)
    assert weights_step(tmp_path) == 7
    for name, w in named(parameters).items():
        np.testing.assert_array_equal(named(found)[name], w)
    first = weights(tmp_path)
    for _ in range(10):
        save_weights(tmp_path, parameters, 7)
        assert weights(tmp_path) == first  # the same bytes each time


def test_weights_of_another_model_are_refused_by_name(tmp_path):
    save_weights(tmp_path, tiny_parameters(MODEL), 7)
    with pytest.raises(PixaceError, match=r"blocks.attention.key is \(1, 2, 8, 16\), not \(1, 2, 16, 32\)"):
        load_weights(tmp_path, tiny_config(d_model=32, n_layers=1))


def test_missing_and_truncated_weights_are_clear_errors(tmp_path):
    with pytest.raises(PixaceError, match=r"weights.safetensors is missing"):
        load_weights(tmp_path, MODEL)
    save_weights(tmp_path, tiny_parameters(MODEL), 7)
    whole = weights(tmp_path)
    for length in (0, 5, 100, len(whole) // 2, len(whole) - 1):
        (tmp_path / "weights.safetensors").write_bytes(whole[:length])
        for read in (weights_step, lambda folder: load_weights(folder, MODEL)):
            with pytest.raises(PixaceError, match=r"weights.safetensors is damaged"):
                read(tmp_path)


@pytest.mark.parametrize(
    "damage", [lambda file: file.unlink(), lambda file: file.write_bytes(weights(file.parent)[:99])]
)
def test_finished_run_writes_lost_weights_anew(run, trained, damage):
    damage(run / "weights.safetensors")
    said = again(run, trained)
    assert "missing or damaged" in said[-2] and "trained already" in said[-1]
    assert weights(run) == weights(trained)


def test_run_without_its_config_is_refused(run, trained):
    (run / "config.json").unlink()
    with pytest.raises(PixaceError, match=r"holds a model but no config.json: put that file back"):
        again(run, trained)
    shutil.rmtree(run / "checkpoints")
    with pytest.raises(PixaceError, match=r"holds a model but no config.json"):
        again(run, trained)
    assert weights(run) == weights(trained)


def test_any_file_of_a_state_missing_is_an_error_or_harmless(run, trained):
    state, refused = run / "checkpoints" / "6", 0
    for file in sorted(p for p in state.rglob("*") if p.is_file()):
        content = file.read_bytes()
        file.unlink()
        (run / "weights.safetensors").unlink()  # so that the state that is read shows in the weights
        try:
            again(run, trained)
        except PixaceError as error:
            assert str(state) in str(error) and "remove that folder to go on from step 4" in str(error)
            assert "\n" not in str(error)
            refused += 1
            shutil.copy(trained / "weights.safetensors", run)
        assert weights(run) == weights(trained), file
        file.write_bytes(content)
    assert refused >= 3


def test_empty_state_is_an_error_and_removing_it_goes_on_from_the_one_before(run, trained):
    for entry in (run / "checkpoints" / "6").iterdir():
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    with pytest.raises(PixaceError, match="remove that folder to go on from step 4"):
        again(run, trained)
    (run / "checkpoints" / "6").rmdir()
    assert any("going on from step 4" in line for line in again(run, trained))
    assert weights(run) == weights(trained)


def test_a_file_for_the_states_folder_is_a_clear_error(run, trained):
    shutil.rmtree(run / "checkpoints")
    (run / "checkpoints").write_text("")
    with pytest.raises(PixaceError, match=r"cannot write .*checkpoints"):
        again(run, trained)


def test_failed_save_names_the_last_good_state_which_stays(tmp_path, monkeypatch):
    """Whether the disk is seen to be full before, or fills up in the background."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("needs the right to mount a small disk")
    try:
        state = {"a": jnp.asarray(np.random.default_rng(0).standard_normal(50_000), jnp.float32)}
        for seen_before in (True, False):
            store = StateStore(disk, keep=3)
            if store.latest() is None:
                store.save(1, state, {"minutes": 0.0})
                store.wait()
            with monkeypatch.context() as patched:
                if not seen_before:
                    patched.setattr(shutil, "disk_usage", lambda where, real=shutil.disk_usage: real("/"))
                with pytest.raises(OSError), open(disk / "filler", "wb", buffering=0) as file:
                    while file.write(b"x" * 4096):
                        pass
                with pytest.raises(PixaceError, match="the disk is full; the last good one is step 1"):
                    store.save(2, state, {"minutes": 0.0})
                    store.wait()
            (disk / "filler").unlink()
            store.close()
        store = StateStore(disk, keep=3)
        assert store.steps() == [1]
        found, facts = store.restore(1, {"a": jnp.zeros(50_000)})
        np.testing.assert_array_equal(found["a"], state["a"])
        assert facts == {"minutes": 0.0}
        store.close()
    finally:
        subprocess.run(["umount", "-l", disk], check=True)
