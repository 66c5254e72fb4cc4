"""The training step against Trax's: the same shapes, float32, dropout 0.1 and Adam on both sides.

    python benchmarks/train_step.py [--model_type=reformer] [--batch=2] [--steps=10] [--rounds=3] [--bfloat16]

Rows: Trax's loop (or its method in plain JAX, see --baseline), ours with `arch=trax` and `optimizer=source`, which
computes the same, and ours with `arch=base` and AdamW at the same shapes; with --bfloat16 that one again in
bfloat16, on a GPU with the fused kernel of cuDNN and without. All sides are made and take two steps first; the two
steps beyond what a step takes are called compiling. Then they take turns: so many steps, the clock read when the new
weights are there. The share is that of the matrix products' rate in the row's number format, measured just before.
"""

import argparse
import time

import jax
import numpy as np
from comparison import (
    NAMES,
    alternate,
    data_note,
    measure_roofline,
    model_of,
    prepare,
    ratios,
    real_tokens,
    size_flags,
    training_flops,
)
from machine import report
from roofline import giga
from training_sides import WARM_UP, OurTraining, Training, baseline_training, timed

TRAX_WAY, BASE = "pixace, arch=trax", "pixace, arch=base"


def make_sides(arguments: argparse.Namespace, baseline: str, tokens: np.ndarray) -> dict[str, Training]:
    """The rows of the table by name, ready to be compiled."""
    as_trax, base = model_of(arguments), model_of(arguments, "base")
    sides: dict[str, Training] = {
        NAMES[baseline]: baseline_training(baseline, as_trax, tokens),
        TRAX_WAY: OurTraining(as_trax, tokens, "source"),
        BASE: OurTraining(base, tokens, "adamw"),
    }
    if arguments.bfloat16:
        narrow = model_of(arguments, "base", "bfloat16")
        sides[f"{BASE}, bfloat16 blocks"] = OurTraining(narrow, tokens, "adamw", "blocks")
        if jax.devices()[0].platform == "gpu":
            sides[f"{BASE}, bfloat16 cudnn"] = OurTraining(narrow, tokens, "adamw", "cudnn")
    return sides


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    size_flags(parser)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--steps", type=int, default=10, help="steps a round")
    parser.add_argument("--bfloat16", action="store_true", help="also ours in bfloat16")
    arguments = parser.parse_args()
    baseline = prepare(arguments)
    roof = measure_roofline(arguments)
    tokens = real_tokens(arguments, 8 * arguments.batch)
    sides = make_sides(arguments, baseline, tokens.reshape(8, arguments.batch, -1))

    first, losses = {}, {}
    for name, side in sides.items():
        started = time.perf_counter()
        side.steps(1)
        losses[name] = side.loss
        side.steps(WARM_UP - 1)
        first[name] = time.perf_counter() - started
        print(f"  {name}: {first[name]:.1f} s for the first {WARM_UP} steps", flush=True)
    seconds = alternate({n: lambda s=s: timed(s, arguments.steps) for n, s in sides.items()}, arguments.rounds)

    config = model_of(arguments)
    by_round = ratios(seconds, NAMES[baseline])
    rows = {}
    for name, side in sides.items():
        step = float(np.median(seconds[name])) / arguments.steps
        flops = training_flops(model_of(arguments, "base") if name.startswith(BASE) else config, arguments.batch)
        peak = roof.get("bfloat16", roof["float32"]) if "bfloat16" in name else roof["float32"]
        rows[name] = {
            "seconds_a_step": round(step, 4),
            "pictures_per_second": round(arguments.batch / step, 3),
            "tokens_per_second": round(arguments.batch * config.n_positions / step, 1),
            "ratio": float(np.median(by_round[name])),
            "ratios": by_round[name],
            "gflop_a_step": round(flops / 1e9, 1),
            "share_of_matmul": round(flops / step / peak, 3),
            "compile_seconds": round(max(first[name] - WARM_UP * step, 0.0), 1),
            "loss_first_last": [round(losses[name], 3), round(side.loss, 3)],
        }
    print(f"\n{arguments.model_type}, batch {arguments.batch}, {config.n_positions} tokens a picture, d_model "
          f"{config.d_model}, {config.n_layers} layers; {arguments.steps} steps a round")  # fmt: skip
    print(f"{'':36}{'s/step':>8}{'pict./s':>9}{'tokens/s':>10}{'ratio':>7}{'GFLOP':>8}{'share':>7}{'compile':>9}")
    for name, row in rows.items():
        print(
            f"{name:36}{row['seconds_a_step']:8.3f}{row['pictures_per_second']:9.2f}{row['tokens_per_second']:10.0f}"
            f"{row['ratio']:7.2f}{row['gflop_a_step']:8.0f}{row['share_of_matmul']:7.1%}{row['compile_seconds']:8.1f}s"
            f"   ratio in each round {' '.join(f'{r:.2f}' for r in row['ratios'])}"
        )
    figures = {
        "baseline": NAMES[baseline],
        "model_type": arguments.model_type,
        "batch": arguments.batch,
        "data": data_note(arguments),
        "ceilings_giga_per_second": giga(roof),
        "rows": rows,
    }
    report(f"train_step_{arguments.model_type}", figures)


if __name__ == "__main__":
    main()
