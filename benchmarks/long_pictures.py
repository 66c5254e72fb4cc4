"""Large pictures: LSH, local and full attention beside each other, in what they cost and in what they learn.

    python benchmarks/long_pictures.py [--sizes=64,128] [--attentions=lsh,local,full] [--steps=300]
        [--zip=../shared/data/emoji.zip] [--out=FOLDER]

The archive holds `emoji/*.png`. First the cost: each pair of size and attention trains a few blocked steps in a
process of its own, which gives seconds and memory a picture. Then the learning: each pair whose run fits in
`--most_minutes`, judged by those seconds, trains for `--steps` steps from the same seed, with the same sizes; the
others are said to be left out. Runs in FOLDER that were begun go on, and finished ones are only read. Some pictures
are held out; the unigram of all tokens is the baseline. Prints tables and one line of JSON; sheets lie in the runs'
folders.
"""

import argparse
import json
import math
import resource
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from machine import DATA, report

from pixace.config import ModelOptions, RunConfig, TokenizerConfig, TrainConfig

BITS = (4, 3, 3)
TRAINING = {"lr": 0.005, "val_fraction": 0.04, "seed": 0, "ema": True}
COST_STEPS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--zip", type=Path, default=DATA / "emoji.zip")
    parser.add_argument("--sizes", default="64,128")
    parser.add_argument("--attentions", default="lsh,local,full")
    parser.add_argument("--window", type=int, default=128, help="as in pixace train")
    parser.add_argument("--batch_sizes", default="2,1", help="pictures a step at each size")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--most_minutes", type=float, default=30.0, help="longer runs are left out, saying so")
    parser.add_argument("--n_samples", type=int, default=2)
    parser.add_argument("--cost_only", action="store_true", help="no learning")
    parser.add_argument("--d_model", type=int, default=96)
    parser.add_argument("--n_layers", type=int, default=3)
    parser.add_argument("--n_heads", type=int, default=3)
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--out", type=Path, default=Path("long-pictures"))
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(cost_here(config_from(json.loads(arguments.child)))))
        return
    cases = cases_of(arguments)
    for case in cases:
        case["cost"] = cost_of(case)
    print_costs(cases)
    if not arguments.cost_only:
        images = arguments.out / "images"
        if not images.exists():
            if not arguments.zip.exists():
                sys.exit(f"{arguments.zip} is not there; give a zip of emoji/*.png with --zip")
            with zipfile.ZipFile(arguments.zip) as archive:
                archive.extractall(images, [name for name in archive.namelist() if name.endswith(".png")])
        for case in cases:
            case["learning"] = learn(case, images, arguments)
        print_learning(cases)
    report("long_pictures", {"steps": arguments.steps, "training": TRAINING, "cases": cases})


def cases_of(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """What is compared: plain values that travel as JSON."""
    found = []
    for size, batch in zip(arguments.sizes.split(","), arguments.batch_sizes.split(","), strict=True):
        for attention in arguments.attentions.split(","):
            model = {name: getattr(arguments, name) for name in ("d_model", "n_layers", "n_heads", "dtype")}
            if attention != "full":
                model["window"] = min(arguments.window, int(size) ** 2)
            found.append({"size": int(size), "attention": attention, "batch_size": int(batch), "model": model})
    return found


def config_from(case: dict[str, Any]) -> RunConfig:
    tokenizer = TokenizerConfig(image_size=case["size"], bitdepth=BITS)
    model = ModelOptions(attention=case["attention"], **case["model"]).build(tokenizer)
    return RunConfig(tokenizer, model, TrainConfig(batch_size=case["batch_size"], **TRAINING))


def cost_of(case: dict[str, Any]) -> dict[str, Any]:
    """Seconds and memory of a few steps, in a process of its own."""
    command = [sys.executable, __file__, f"--child={json.dumps(case)}"]
    print(f"{case['size']} px, {case['attention']}: {COST_STEPS} steps", flush=True)
    found = subprocess.run(command, capture_output=True, text=True)
    if found.returncode:
        reason = (found.stderr.strip().splitlines() or ["killed"])[-1][:200]
        if found.returncode != -signal.SIGKILL and "RESOURCE_EXHAUSTED" not in found.stderr:
            sys.exit(f"{case['size']} px, {case['attention']}: {reason}")
        return {"failed": reason}  # out of memory is a result too
    return json.loads(found.stdout.splitlines()[-1])


def cost_here(config: RunConfig) -> dict[str, Any]:
    import jax
    import jax.numpy as jnp

    from pixace.ops.attention import choose_implementation
    from pixace.training.step import init_state, train_step

    model, training = config.model, config.training
    assert training is not None
    device = jax.devices()[0]
    implementation = choose_implementation(device.platform, model.dtype, model.d_head, model.d_value)
    state = init_state(model, training)
    shape = (training.batch_size, model.n_positions)
    tokens = jnp.asarray(np.random.default_rng(0).integers(2, model.vocab_size, shape), jnp.int32)
    before = resident_mb()
    total = jnp.int32(300)
    began = time.perf_counter()
    compiled = train_step.lower(model, training, implementation, state, tokens, total).compile()
    compile_seconds = time.perf_counter() - began
    seconds = []
    for _ in range(COST_STEPS + 1):
        began = time.perf_counter()
        state, _ = jax.block_until_ready(compiled(state, tokens, total))
        seconds.append(time.perf_counter() - began)
    statistics = device.memory_stats() or {}
    peak = statistics.get("peak_bytes_in_use")
    return {
        "device": device.device_kind,
        "implementation": model.attention if model.attention != "full" else f"full, {implementation}",
        "compile_seconds": round(compile_seconds, 1),
        "seconds_a_picture": round(float(np.median(seconds[1:])) / training.batch_size, 3),
        "temporary_mb": round(compiled.memory_analysis().temp_size_in_bytes / 1e6, 1),
        "resident_mb_before": round(before),
        "peak_mb": round(resident_mb() if peak is None else peak / 1e6),
    }


def resident_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def learn(case: dict[str, Any], images: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Train and read the losses; what is left out says why."""
    from pixace.dataset import load_tokens
    from pixace.tracking import read_metrics
    from pixace.training.loop import train

    if "failed" in case["cost"]:
        return {"left_out": case["cost"]["failed"]}
    minutes = arguments.steps * case["batch_size"] * case["cost"]["seconds_a_picture"] / 60
    name, models = f"emoji-{case['size']}-{case['attention']}", arguments.out / "models"
    if minutes > arguments.most_minutes and not (models / name).exists():
        return {"left_out": f"{arguments.steps} steps would take {minutes:.0f} minutes"}
    tokenizer = config_from(case).tokenizer
    result = train(
        name,
        models,
        images=str(images),
        image_size=tokenizer.image_size,
        bitdepth=tokenizer.bitdepth,
        attention=case["attention"],
        batch_size=case["batch_size"],
        n_steps=arguments.steps,
        steps_per_epoch=arguments.steps,
        steps_per_eval=max(1, arguments.steps // 3),
        n_samples=arguments.n_samples,
        **case["model"],
        **TRAINING,
    )
    lines = list(read_metrics(result.folder))
    return {
        "unigram_nats": round(unigram(np.asarray(load_tokens(images, tokenizer).tokens), tokenizer.vocab_size), 4),
        "loss_at_steps": {int(line["step"]): round(line["loss"], 3) for line in lines if line["step"] % 50 in (0, 1)},
        "last_50_steps_nats": round(float(np.mean([line["loss"] for line in lines[-50:]])), 4),
        "held_out_nats": round([line["val_loss"] for line in lines if "val_loss" in line][-1], 4),
        "steps": result.step,
    }


def unigram(tokens: np.ndarray, vocab_size: int) -> float:
    """Nats a token of the best model that looks at nothing, on the pictures it is made from."""
    p = np.bincount(tokens.reshape(-1), minlength=vocab_size) / tokens.size
    return float(-(p[p > 0] * np.log(p[p > 0])).sum())


def print_costs(cases: list[dict[str, Any]]) -> None:
    head = f"{'s/picture':>10} {'x full':>7} {'temporary MB':>13} {'x full':>7} {'peak MB':>8}"
    print(f"\n{'size':>5} {'attention':>10} {head}")
    for case in cases:
        cost = case["cost"]
        if "failed" in cost:
            print(f"{case['size']:>5} {case['attention']:>10}  failed: {cost['failed']}")
            continue
        full = next((c["cost"] for c in cases if (c["size"], c["attention"]) == (case["size"], "full")), {})
        faster = full.get("seconds_a_picture", math.nan) / cost["seconds_a_picture"]
        smaller = full.get("temporary_mb", math.nan) / cost["temporary_mb"]
        print(
            f"{case['size']:>5} {case['attention']:>10} {cost['seconds_a_picture']:>10.3f} {faster:>7.2f} "
            f"{cost['temporary_mb']:>13.1f} {smaller:>7.2f} {cost['peak_mb']:>8}"
        )


def print_learning(cases: list[dict[str, Any]]) -> None:
    print(f"\n{'size':>5} {'attention':>10} {'unigram':>8} {'held out':>9} {'last 50 steps':>14}   nats a token")
    for case in cases:
        found = case["learning"]
        if "left_out" in found:
            print(f"{case['size']:>5} {case['attention']:>10}  left out: {found['left_out']}")
            continue
        print(
            f"{case['size']:>5} {case['attention']:>10} {found['unigram_nats']:>8.3f} {found['held_out_nats']:>9.3f} "
            f"{found['last_50_steps_nats']:>14.3f}"
        )


if __name__ == "__main__":
    main()
