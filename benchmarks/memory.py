"""Memory of a training step, and of drawing, against Trax at the same shapes; and the batch that fits a card.

    python benchmarks/memory.py [--model_type=reformer] [--batches=1,2,4] [--rounds=3] [--what=train,draw]

Two figures a side: what the compiled program needs (JAX's `memory_analysis`: arguments, results and temporary
arrays, less what is reused), and the peak of a process of its own while it works: resident memory on a CPU, beyond
what it held before the model was made; on a GPU the peak of JAX's allocator, compiling included. The sides take
turns. The floor is the weights alone when drawing and four times as much when training (weights, two moments,
gradients), the share the floor of the program's bytes. The batch that fits (training) comes of a straight
line through the program's bytes at the two largest batch sizes: an estimate, not a measurement.
"""

import argparse
import ctypes
import gc
import json
import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from comparison import NAMES, model_of, prepare, real_tokens, size_flags
from machine import report

OURS = "pixace"
CARDS_GB = (8, 10, 12)
STEPS, TOKENS = 2, 8  # of the peak's measurement


def child(arguments: argparse.Namespace) -> dict[str, Any]:
    """Bytes of one side at one batch size, measured in this process."""
    import jax
    from drawing_sides import OurDrawing, baseline_drawing
    from training_sides import WARM_UP, OurTraining, baseline_training

    from pixace.models.spec import count_parameters, init_parameters

    prepare(arguments)
    config, batch, ours = model_of(arguments), int(arguments.batches), arguments.child == OURS
    jax.block_until_ready(jax.numpy.zeros(1))
    before = _status("VmRSS")
    if arguments.what == "train":
        tokens = real_tokens(arguments, batch)[None]
        side = OurTraining(config, tokens, "source") if ours else baseline_training(arguments.child, config, tokens)
        compiled = side.compiled()
        side.steps(WARM_UP)
        reset = _reset_peak()
        side.steps(STEPS)
    else:
        parameters = init_parameters(config, jax.random.key(0))
        side = OurDrawing(config, parameters) if ours else baseline_drawing(arguments.child, config, parameters)
        side.load(batch)
        compiled = side.compiled(batch)
        side.draw(batch, TOKENS)
        reset = _reset_peak()
        side.draw(batch, TOKENS)
    peak = _status("VmHWM") - before
    device = (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use")
    analysis = compiled.memory_analysis()
    sizes = [analysis.argument_size_in_bytes, analysis.output_size_in_bytes, analysis.temp_size_in_bytes]
    weights = 4 * count_parameters(config)
    return {
        "program": sum(sizes) - analysis.alias_size_in_bytes,
        "peak": device or peak,
        "compiling_included": bool(device) or not reset,
        "floor": weights * (4 if arguments.what == "train" else 1),
    }


def _status(name: str) -> int:
    """Bytes of an entry of Linux' account of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name + ":"))


def _reset_peak() -> bool:
    """Give back what compiling left over and let the peak of resident memory begin anew; whether Linux allowed it."""
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
    except (OSError, AttributeError):  # no /proc of Linux, or no C library of GNU
        return False
    return True


def run_child(side: str, what: str, batch: int, cache: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """One measurement in a process of its own; programs compiled once are kept in the folder `cache`."""
    sizes = ("model_type", "d_model", "layers", "heads", "image_size", "device")
    flags = [f"--{name}={getattr(arguments, name)}" for name in sizes]
    baseline = "plain" if side == OURS else side  # ours needs no Trax in its process
    command = [sys.executable, __file__, f"--child={side}", f"--what={what}", f"--batches={batch}", *flags]
    environment = {**os.environ, "XLA_PYTHON_CLIENT_PREALLOCATE": "false", "JAX_COMPILATION_CACHE_DIR": cache}
    done = subprocess.run([*command, f"--baseline={baseline}"], capture_output=True, text=True, env=environment)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        sys.exit(f"{side}, {what}, batch {batch}: the process ended with code {done.returncode}: {last[:300]}")
    return json.loads(done.stdout.splitlines()[-1])


def fitting(programs: dict[int, int]) -> dict[int, int]:
    """The largest batch in each card's memory, by the line through the two largest measured ones; 0: none fits."""
    (first, low), (second, high) = sorted(programs.items())[-2:]
    slope = (high - low) / (second - first)
    return {card: max(0, math.floor((card * 1e9 - low) / slope + first)) for card in CARDS_GB}


def measure(what: str, sides: list[str], batches: list[int], arguments: argparse.Namespace) -> dict[str, Any]:
    """All figures of one kind by side and batch; the peak is the median of the rounds."""
    found: dict[str, dict[int, list[dict[str, Any]]]] = {side: {batch: [] for batch in batches} for side in sides}
    with tempfile.TemporaryDirectory() as cache:
        for number in range(arguments.rounds):
            for batch in batches:
                for side in sides if number % 2 == 0 else reversed(sides):
                    run = run_child(side, what, batch, cache, arguments)
                    found[side][batch].append(run)
                    print(f"  round {number + 1}, {what}, batch {batch}, {side}: {run}", flush=True)
    return {
        side: {
            batch: {
                **runs[0],
                "peak": int(np.median([run["peak"] for run in runs])),
                "peaks": [r["peak"] for r in runs],
            }
            for batch, runs in by_batch.items()
        }
        for side, by_batch in found.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    size_flags(parser)
    parser.add_argument("--batches", default="1,2,4", help="at least two batch sizes, by commas")
    parser.add_argument("--what", default="train,draw", help="train, draw or both")
    parser.add_argument("--child", help="measure this side alone, in this process, and print its JSON")
    arguments = parser.parse_args()
    if arguments.child:
        return print(json.dumps(child(arguments)))
    batches = [int(word) for word in arguments.batches.split(",")]
    if len(set(batches)) < 2:
        parser.error(f"--batches={arguments.batches}: two sizes are needed for the batch that fits")
    baseline = prepare(arguments)
    figures: dict[str, Any] = {"baseline": NAMES[baseline], "model_type": arguments.model_type}
    for what in arguments.what.split(","):
        table = measure(what, [baseline, OURS], batches, arguments)
        figures[what], fits = {"bytes": table}, {}
        if what == "train":  # a drawing's memory hardly grows with its rows
            fits = {side: fitting({b: row["program"] for b, row in rows.items()}) for side, rows in table.items()}
            figures[what]["batch_that_fits_gb_estimated"] = fits
        _show(what, table, fits, baseline, arguments)
    report(f"memory_{arguments.model_type}", figures)


def _show(what: str, table: dict[str, Any], fits: dict[str, Any], baseline: str, arguments: argparse.Namespace) -> None:
    kind = {"train": "a training step", "draw": "drawing"}[what]
    print(f"\n{arguments.model_type}, {kind}, d_model {arguments.d_model}, {arguments.image_size**2} tokens, float32")
    print(f"{'batch':>5} {'':16}{'program GB':>11}{'ratio':>7}{'floor of it':>12}{'peak GB':>9}{'ratio':>7}")
    for batch in table[baseline]:
        for side, rows in table.items():
            row, other = rows[batch], table[baseline][batch]
            print(
                f"{batch:5} {NAMES.get(side, side):16}{row['program'] / 1e9:11.3f}"
                f"{other['program'] / row['program']:7.2f}"
                f"{row['floor'] / row['program']:12.1%}{row['peak'] / 1e9:9.3f}{other['peak'] / row['peak']:7.2f}"
            )
    for side, cards in fits.items():
        print(
            f"{NAMES.get(side, side):16} fits by estimate: " + ", ".join(f"{c} GB batch {n}" for c, n in cards.items())
        )


if __name__ == "__main__":
    main()
