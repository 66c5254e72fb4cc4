"""Drawing pictures against Trax: the same trained weights, all tokens from an empty cache, temperature 1.

    python benchmarks/decode.py [--model_type=reformer] [--batches=1,4,16] [--model=FOLDER] [--rounds=3]

Trax's `autoregressive_sample_stream` (or its method in plain JAX, see --baseline) and our engine take turns at each
batch size. Loading (weights into the form that draws) and compiling (the first eight tokens, less what eight later
ones take) stand apart. Both sides compute in float32. The share is that of the ceiling that is reached first: the
time that the arithmetic needs, or the time to read weights and cache once a position; ceilings are measured just
before, reading on as many bytes as the weights have, since a processor may keep those in its own cache.
"""

import argparse
import time
from typing import Any

import numpy as np
from comparison import NAMES, alternate, forward_flops, measure_roofline, prepare, ratios, size_flags
from drawing_sides import Drawing, OurDrawing, baseline_drawing, cache_bytes, weights_bytes
from machine import report
from roofline import giga, read_bandwidth
from trained import model_flags, trained_model

OURS = "pixace"
WARM_UP = 8  # tokens


def timed(side: Drawing, rows: int, count: int) -> float:
    """Seconds to draw so many tokens of each picture; they are on the host when the clock is read."""
    started = time.perf_counter()
    side.draw(rows, count)
    return time.perf_counter() - started


def compare(sides: dict[str, Drawing], baseline: str, rows: int, rounds: int, n_tokens: int, least: float) -> Any:
    """The rows of the table for one batch size; `least` is the time that the ceilings allow, in seconds."""
    loading = {}
    for name, side in sides.items():
        started = time.perf_counter()
        side.load(rows)
        loading[name] = time.perf_counter() - started
    first = {name: timed(side, rows, WARM_UP) for name, side in sides.items()}
    seconds = alternate({n: lambda s=s: timed(s, rows, n_tokens) for n, s in sides.items()}, rounds)
    by_round, table = ratios(seconds, baseline), {}
    for name, values in seconds.items():
        median = float(np.median(values))
        table[name] = {
            "seconds": [round(value, 3) for value in values],
            "tokens_per_second": round(rows * n_tokens / median, 1),
            "pictures_per_second": round(rows / median, 4),
            "ratio": float(np.median(by_round[name])),
            "ratios": by_round[name],
            "share_of_ceiling": round(least / median, 3),
            "load_seconds": round(loading[name], 2),
            "compile_seconds": round(max(first[name] - median * WARM_UP / n_tokens, 0.0), 1),
        }
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    size_flags(parser)
    model_flags(parser)
    parser.add_argument("--batches", default="1,4,16", help="batch sizes, by commas")
    arguments = parser.parse_args()
    batches = [int(word) for word in arguments.batches.split(",")]
    baseline = prepare(arguments)
    config, parameters, origin = trained_model(arguments)
    n_tokens, weights = config.n_positions, weights_bytes(parameters)
    roof = {**measure_roofline(arguments), "read_weights": read_bandwidth(weights)}
    print(f"reading {weights / 1e6:,.0f} MB of weights again and again: {roof['read_weights'] / 1e9:,.1f} GB/s")

    sides = {NAMES[baseline]: baseline_drawing(baseline, config, parameters), OURS: OurDrawing(config, parameters)}
    tables, bounds = {}, {}
    for rows in batches:
        reading = n_tokens * (weights + cache_bytes(config, rows)) / roof["read_weights"]
        arithmetic = rows * forward_flops(config) / roof["float32"]
        bounds[rows] = "reading" if reading >= arithmetic else "arithmetic"
        print(f"batch {rows}: the ceilings allow {max(reading, arithmetic):.3f} s a drawing ({bounds[rows]})")
        least = max(reading, arithmetic)
        tables[rows] = compare(sides, NAMES[baseline], rows, arguments.rounds, n_tokens, least)

    print(f"\n{config.model_type}, {n_tokens} tokens a picture, d_model {config.d_model}, {config.n_layers} layers; "
          f"weights: {origin}")  # fmt: skip
    print(
        f"{'batch':>5} {'':16}{'tokens/s':>10}{'pict./s':>9}{'ratio':>7}{'share':>7} {'of':11}{'load':>7}{'compile':>9}"
    )
    for rows, table in tables.items():
        for name, row in table.items():
            print(
                f"{rows:5} {name:16}{row['tokens_per_second']:10.0f}{row['pictures_per_second']:9.3f}"
                f"{row['ratio']:7.2f}{row['share_of_ceiling']:7.1%} {bounds[rows]:11}"
                f"{row['load_seconds']:6.1f}s{row['compile_seconds']:8.1f}s"
                f"   ratio in each round {' '.join(f'{r:.2f}' for r in row['ratios'])}"
            )
    figures = {
        "baseline": NAMES[baseline],
        "model_type": config.model_type,
        "weights": origin,
        "ceilings_giga_per_second": giga(roof),
        "bound_by": bounds,
        "batches": tables,
    }
    report(f"decode_{config.model_type}", figures)


if __name__ == "__main__":
    main()
