"""The plan of a run: its memory against the compiled step, what it says fits, and what it does not load."""

import dataclasses
import json
import math
import re
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import pytest
from runs import OPTIONS, make_pictures, quiet_train
from test_cli import answer

from pixace.config import ModelOptions, TokenizerConfig, TrainConfig
from pixace.exchange import export_model
from pixace.models.cache import empty_cache, unstack
from pixace.models.spec import abstract_parameters
from pixace.planning import machine, rates
from pixace.planning.activations import kept, sizes_of
from pixace.planning.advice import largest_batch, what_fits
from pixace.planning.arithmetic import attention_operations, linear_operations, optimizer_operations, step_seconds
from pixace.planning.machine import MemoryFound
from pixace.planning.memory import drawing_memory, stored_sizes, training_memory
from pixace.planning.plan import make_plan
from pixace.planning.rates import Rates
from pixace.sampling.engine import decode
from pixace.sampling.filters import make_settings
from pixace.training.step import init_state, train_step

# The formula was fitted to XLA as JAX 0.10.2 and 0.12 have it; others may arrange a step's buffers otherwise.
TOLERANCE = 0.1 if jax.__version__.startswith(("0.10.", "0.12.")) else 0.3
TOKENIZER = TokenizerConfig(bitdepth=(3, 3, 2), image_size=12)
PLAIN = {"model_type": "transformer", "d_model": 64, "n_layers": 3, "n_heads": 4}
KINDS = {
    "plain": PLAIN,
    "remat": PLAIN | {"residual": "remat"},
    "reversible": PLAIN | {"model_type": "reformer"},
    "local": PLAIN | {"attention": "local"},
    "lsh": PLAIN | {"attention": "lsh"},
    "bfloat16": PLAIN | {"dtype": "bfloat16"},
    "trax": PLAIN | {"arch": "trax"},
}


def model_of(kind: str, tokenizer: TokenizerConfig = TOKENIZER, **options):
    return ModelOptions(**(KINDS[kind] | options)).build(tokenizer)


def program_bytes(compiled) -> int:
    sizes = compiled.memory_analysis()
    there = sizes.argument_size_in_bytes + sizes.output_size_in_bytes + sizes.temp_size_in_bytes
    return there - sizes.alias_size_in_bytes


@pytest.mark.parametrize(
    ("kind", "training"),
    [
        ("plain", TrainConfig(batch_size=8)),
        ("reversible", TrainConfig(batch_size=16, optimizer="adamw")),
        ("remat", TrainConfig(batch_size=16, accumulate=2, optimizer="adamw", ema=False)),
        ("bfloat16", TrainConfig(batch_size=8)),
    ],
)
def test_memory_is_near_that_of_the_compiled_step(kind, training):
    tokenizer = TokenizerConfig(bitdepth=(3, 3, 2), image_size=16)
    model = model_of(kind, tokenizer)
    state = jax.eval_shape(lambda: init_state(model, training))
    tokens = jax.ShapeDtypeStruct((training.batch_size, model.n_positions), jnp.uint16)
    compiled = train_step.lower(model, training, "blocks", state, tokens, jnp.int32(9)).compile()
    assert training_memory(model, training).total == pytest.approx(program_bytes(compiled), rel=TOLERANCE)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("optimizer", ["muon", "adamw", "source"])
@pytest.mark.parametrize("ema", [True, False])
def test_what_is_there_all_the_time_is_the_state_to_the_byte(kind, optimizer, ema):
    model, training = model_of(kind), TrainConfig(optimizer=optimizer, ema=ema)
    state = jax.eval_shape(lambda: init_state(model, training))
    planned = training_memory(model, training)

    def size(tree) -> int:
        return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree) if leaf.ndim)

    assert planned.weights == planned.gradients == size(state.parameters)
    assert planned.average == size(state.average)
    coefficients = 12 if optimizer == "muon" else 0  # of Muon's polynomial, in its state
    assert planned.optimizer + coefficients == size(state.optimizer)
    assert stored_sizes(model, training)["checkpoint"] + coefficients == size(state)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("batch", [1, 16])
def test_shares_add_up_and_grow_with_the_batch(kind, batch):
    model, training = model_of(kind), TrainConfig(batch_size=batch)
    plan = make_plan(model, training, memory=None, rates=None)
    told = json.loads(json.dumps(plan.to_json()))
    assert sum(told["memory"].values()) == told["memory_total"]
    assert all(isinstance(size, int) and size >= 0 for size in told["memory"].values())
    double = dataclasses.replace(training, batch_size=2 * batch)
    assert training_memory(model, double).total > told["memory_total"]
    in_parts = training_memory(model, dataclasses.replace(double, accumulate=2))
    added = 2 * batch * model.n_positions + in_parts.weights  # the tokens, and the sum of the parts' gradients
    assert told["memory_total"] < in_parts.total <= told["memory_total"] + added


def test_only_plain_layers_keep_more_than_a_stream_each():
    def kept_by(kind: str, layers: int) -> float:
        model = model_of(kind, n_layers=layers)
        return kept(model, sizes_of(model, 4))

    stream = 4 * 4 * TOKENIZER.n_tokens * 64
    assert kept_by("reversible", 2) == kept_by("reversible", 20) == 0
    assert kept_by("remat", 3) == 3 * stream
    assert kept_by("plain", 6) == 2 * kept_by("plain", 3) > 6 * 10 * stream


@pytest.mark.parametrize("kind", ["plain", "local", "lsh"])
def test_memory_of_drawing_is_within_a_tenth_of_the_compiled_loop(kind):
    model, count = model_of(kind, TokenizerConfig(image_size=16)), 16
    laid_out = jax.eval_shape(lambda p: unstack(p, model), abstract_parameters(model))
    settings = jax.tree.map(jnp.asarray, make_settings(count, 1.0, None, None, None, None))
    tokens = jax.ShapeDtypeStruct((count, model.n_positions), jnp.int32)
    cache = jax.eval_shape(lambda: empty_cache(model, count))
    program = decode.lower(laid_out, model, tokens, cache, settings, jax.random.key(0), 0, 99).compile()
    layers = sum(4 * leaf.size for leaf in jax.tree.leaves(abstract_parameters(model).blocks))  # beside their copy
    assert sum(drawing_memory(model, count).values()) == pytest.approx(program_bytes(program) + layers, rel=0.1)


@pytest.mark.parametrize("kind", KINDS)
def test_the_largest_batch_fits_and_one_more_does_not(kind):
    model, training = model_of(kind), TrainConfig(batch_size=8, accumulate=2)
    available = 300_000_000
    most = largest_batch(model, training, available)
    one_part = [dataclasses.replace(training, batch_size=n, accumulate=1) for n in (most, most + 1)]
    assert training_memory(model, one_part[0]).total <= available < training_memory(model, one_part[1]).total
    assert largest_batch(model, training, 1000) == 0


@pytest.mark.parametrize("share", [0.9, 0.5, 0.3, 0.15])
def test_what_would_fit_fits_when_it_is_typed(share, capsys):
    flags = ["--model_type=transformer", "--n_layers=6", "--d_model=64", "--n_heads=4", "--image_size=16"]
    flags += ["--batch_size=32", "--bitdepth=3,3,2", "--json"]
    _, out, _ = answer(capsys, "plan", *flags, "--memory=100GB")
    available = int(share * json.loads(out)["memory_total"])
    _, out, _ = answer(capsys, "plan", *flags, f"--memory={available}")
    first = json.loads(out)
    assert first["fits"] is False
    change = first["would_fit"].split()
    kept_flags = [flag for flag in flags if flag.partition("=")[0] not in [c.partition("=")[0] for c in change]]
    _, out, _ = answer(capsys, "plan", *kept_flags, *change, f"--memory={available}")
    assert json.loads(out)["fits"] is True


def test_nothing_fits_into_less_than_the_weights():
    assert what_fits(model_of("plain"), TrainConfig(batch_size=4), 1000) is None


def test_operations_are_those_counted_by_hand():
    model = model_of("plain", TokenizerConfig(bitdepth=(2, 2, 2), image_size=8), n_layers=2)
    assert model.n_positions == 64 and model.vocab_size == 66  # one block: all 64 x 64 pairs
    layer = 4 * 64 * 64 + 2 * 64 * 256
    assert linear_operations(model, 3) == 2 * 3 * 64 * (3 * 2 * layer + 4 * 64 * 66)
    assert attention_operations(model, 3) == 2 * 4 * (2 * 2 * 64) * 3 * 64 * 64
    remat = dataclasses.replace(model, residual="remat")
    assert linear_operations(remat, 3) - linear_operations(model, 3) == 2 * 3 * 64 * 2 * layer
    muon = 2 * 5 * (4 * (4 + 2) * 64**3 + 2 * (4 * 64**2 * 256 + 2 * 64**3))
    assert optimizer_operations(model, TrainConfig()) == muon
    assert optimizer_operations(model, TrainConfig(optimizer="adamw")) == 0


def test_time_follows_the_machine_and_the_work():
    model, training = model_of("plain"), TrainConfig(batch_size=8)
    slow, fast = Rates("a", "2026-01-01", 1e9, 1e9), Rates("a", "2026-01-01", 4e9, 4e9)
    assert step_seconds(model, training, slow) == pytest.approx(4 * step_seconds(model, training, fast))
    more = dataclasses.replace(training, batch_size=16)
    assert 1 < step_seconds(model, more, fast) / step_seconds(model, training, fast) <= 2


def test_time_of_the_run_ends_with_its_minutes():
    model, rates = model_of("plain"), Rates("a", "2026-01-01", 1e9, 1e9)
    plan = make_plan(model, TrainConfig(max_minutes=2.0), memory=None, rates=rates, n_pictures=100)
    assert plan.run_seconds == 120 and plan.step_seconds is not None
    assert plan.n_steps == int(120 / plan.step_seconds)
    assert plan.passes == plan.n_steps * 16 / 100


def test_a_plan_is_made_without_jax_in_seconds(tmp_path):
    code = "import sys, pixace.cli.main as m\ntry: m.main(sys.argv[1:])\nfinally: print(*sys.modules, file=sys.stderr)"
    started = time.monotonic()
    command = [sys.executable, "-c", code, "plan", "--n_pictures=500"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "27,272,448 weights" in done.stdout
    assert not {"jax", "optax", "orbax"} & set(done.stderr.split())
    assert time.monotonic() - started < 30


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--memory=10 apples"], "10GB, 800MiB or 8e9"),
        (["--memory=0"], "from 1 byte"),
        (["--n_pictures=0"], "at least 1"),
        (["--engine=trax"], "our own engine"),
        (["--d_model=130"], "multiple of n_heads"),
    ],
)
def test_what_is_wrong_with_the_flags_is_told_in_a_line(flags, said, capsys):
    code, out, err = answer(capsys, "plan", *flags)
    assert (code, out) == (2, "") and said in err and len(err.splitlines()) <= 2


def test_pictures_of_the_folder_are_counted(tmp_path, capsys):
    images = make_pictures(tmp_path / "images", 24)
    _, out, _ = answer(capsys, "plan", f"--images={images}", "--json", "--n_steps=60", "--batch_size=4")
    told = json.loads(out)
    assert (told["n_pictures"], told["passes"]) == (24, 10)
    code, _, err = answer(capsys, "plan", f"--images={tmp_path / 'none'}")
    assert code == 1 and "none" in err


def test_a_run_that_is_there_is_planned_as_it_is(tmp_path, capsys):
    quiet_train("there", tmp_path, make_pictures(tmp_path / "images"), n_steps=1)
    where = ["--model_name=there", f"--weights_dir={tmp_path}", "--n_pictures=1", "--json"]
    _, out, _ = answer(capsys, "plan", *where)
    _, plain, _ = answer(
        capsys,
        "plan",
        "--json",
        *(f"--{k}={','.join(map(str, v)) if k == 'bitdepth' else v}" for k, v in OPTIONS.items()),
    )
    assert json.loads(out)["memory"] == json.loads(plain)["memory"]
    code, _, err = answer(capsys, "plan", *where, "--d_model=32")
    assert code == 2 and "16" in err and "32" in err


def test_a_run_from_a_file_of_weights_is_planned(tmp_path, capsys):
    quiet_train("there", tmp_path, make_pictures(tmp_path / "images"), n_steps=1)
    file = tmp_path / "whole.safetensors"
    export_model("there", file, weights_dir=tmp_path)
    plans = []
    for checkpoint in (file, tmp_path / "there"):
        code, out, err = answer(capsys, "plan", f"--checkpoint={checkpoint}", "--json", "--batch_size=4")
        assert code == 0, err
        plans.append(json.loads(out)["memory"])
    assert plans[0] == plans[1]


def test_a_run_that_starts_from_a_model_is_planned_as_train_would_make_it(tmp_path, capsys):
    images = make_pictures(tmp_path / "images")
    quiet_train("there", tmp_path, images, n_steps=1)
    flags = [f"--weights_dir={tmp_path}", "--checkpoint=there", f"--images={images}", "--json"]
    told = {}
    for dtype in ("float32", "bfloat16"):
        code, out, err = answer(capsys, "plan", *flags, f"--dtype={dtype}")
        assert code == 0, err
        told[dtype] = json.loads(out)
    assert told["float32"]["n_steps"] == TrainConfig().total_steps
    assert told["float32"]["memory_total"] != told["bfloat16"]["memory_total"]
    code, _, err = answer(capsys, "plan", *flags, "--model_name=there", "--batch_size=3")
    assert code == 2 and "--batch_size" in err


def test_without_a_name_no_run_is_looked_for(tmp_path, capsys):
    quiet_train("there", tmp_path, make_pictures(tmp_path / "images"), n_steps=1)
    _, out, _ = answer(capsys, "plan", f"--weights_dir={tmp_path / 'there'}", "--json", "--n_pictures=1")
    assert json.loads(out)["n_parameters"] > 1e7, "the default model"


def test_only_pictures_that_are_trained_on_are_counted(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    make_pictures(tmp_path / "images" / "train", 12)
    make_pictures(tmp_path / "images" / "train" / "val", 4)

    def count(*flags: str) -> int:
        code, out, err = answer(capsys, "plan", "--json", *flags)
        assert code == 0, err
        return json.loads(out)["n_pictures"]

    assert count() == 16, "the usual folder"
    assert count("--images=images/train", "--val_images=images/train/val") == 12
    assert count("--val_fraction=0.25") == 12
    code, _, err = answer(capsys, "plan", "--images", "a", "--images=b")
    assert code == 2 and "put braces in quotes" in err


def test_what_no_machine_can_do_is_told_at_once(capsys):
    started = time.monotonic()
    code, out, _ = answer(capsys, "plan", "--batch_size=1000000007", "--memory=8GB", "--device=cpu")
    assert code == 0 and time.monotonic() - started < 20
    fits = re.search(r"without accumulation: (\d+)", out).group(1)
    assert f"--batch_size={fits} would fit" in out and " years" in out
    code, _, err = answer(capsys, "plan", "--image_size=100000")
    assert code == 2 and "4096" in err


def test_training_warns_where_it_will_not_fit_and_goes_on(tmp_path, monkeypatch):
    images = make_pictures(tmp_path / "images")
    small = MemoryFound("memory of this computer", 10**9, 400_000)
    monkeypatch.setattr("pixace.training.run.host_memory", lambda: small)
    said = quiet_train("tight", tmp_path, images, n_steps=1)
    (line,) = [line for line in said if "needs about" in line]
    assert line.startswith("warning: ") and "memory of this computer" in line and "fit" in line
    assert (tmp_path / "tight" / "weights.safetensors").exists()
    monkeypatch.undo()
    assert not [line for line in quiet_train("roomy", tmp_path, images, n_steps=1) if "needs about" in line]


def test_rates_are_kept_for_this_machine_alone(monkeypatch, tmp_path):
    monkeypatch.setenv("PIXACE_CACHE", str(tmp_path))
    assert rates.known_rates() is None
    found = rates.measure_rates(0.01)
    assert found.products > 0 and found.bandwidth > 0 and rates.known_rates() == found
    monkeypatch.setattr(machine, "processor", lambda: "another one")
    assert rates.known_rates() is None
    monkeypatch.undo()
    monkeypatch.setenv("PIXACE_CACHE", str(tmp_path))
    (tmp_path / rates.RATES_FILE).write_text("{}")
    assert rates.known_rates() is None


def test_a_busy_moment_does_not_spoil_the_rates(monkeypatch, tmp_path):
    monkeypatch.setenv("PIXACE_CACHE", str(tmp_path))
    first = rates.measure_rates(0.01)
    monkeypatch.setattr(rates, "_best", lambda work, seconds: 1e6)
    assert rates.measure_rates(0.01).products < first.products
    assert rates.known_rates() == first


def test_memory_of_the_computer_is_known_here():
    found = machine.host_memory()
    assert found is not None and 0 < found.free <= found.total and math.isfinite(found.total)


def test_files_that_were_read_do_not_take_a_containers_memory(tmp_path, monkeypatch):
    for name, text in (("max", 10**9), ("current", 7 * 10**8), ("stat", "anon 1\ninactive_file 500000000")):
        (tmp_path / f"memory.{name}").write_text(f"{text}\n")
    monkeypatch.setattr(machine, "CONTAINERS", ((tmp_path, "memory.max", "memory.current", "inactive_file"),))
    found = machine.host_memory()
    assert found is not None and "container" in found.kind and (found.total, found.free) == (10**9, 8 * 10**8)
    (tmp_path / "memory.max").write_text("max\n")
    assert "computer" in machine.host_memory().kind
