"""How near `pixace plan` comes: memory and seconds of ten configurations that differ, by formula and measured.

    python benchmarks/plan.py [--memory_only] [--steps=5] [--extra=FILE]

Memory is compared with the compiled step on JAX's first device (`memory_analysis`: arguments, results and temporary
arrays, less what is reused). Seconds are compared with the median of a few steps; the machine's rates are measured
right before the steps of each configuration, the way `pixace doctor` does it, so that both sides see the same machine.
For drawing, the formula is compared with the compiled loop at sixteen pictures. `--extra` names a file with further
configurations, one line of flags of `pixace train` each.
"""

import argparse
import gc
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from machine import report

from pixace.cli.train import make_flags
from pixace.config import ModelConfig, ModelOptions, TokenizerConfig, TrainConfig
from pixace.fields import hints_of
from pixace.models.cache import empty_cache, unstack
from pixace.models.spec import abstract_parameters
from pixace.ops.attention import choose_implementation
from pixace.planning.arithmetic import step_seconds
from pixace.planning.memory import drawing_memory, training_memory
from pixace.planning.rates import LONG_SECONDS, measure_rates
from pixace.sampling.engine import decode
from pixace.sampling.filters import make_settings
from pixace.training.step import init_state, train_step

NARROW = "--bitdepth=4,3,3 --d_model=128 --n_layers=4 --n_heads=4"
CASES = (
    f"--image_size=16 {NARROW} --batch_size=32 --model_type=transformer",
    f"--image_size=16 {NARROW} --batch_size=16 --model_type=reformer --optimizer=adamw",
    "--image_size=32 --d_model=256 --n_layers=4 --n_heads=8 --batch_size=4 --model_type=transformer --residual=remat",
    "--image_size=64 --bitdepth=4,3,3 --d_model=96 --n_layers=3 --n_heads=3 --batch_size=2 --model_type=reformer",
    "--image_size=64 --bitdepth=4,3,3 --d_model=96 --n_layers=3 --n_heads=3 --batch_size=2 --model_type=reformer "
    "--attention=lsh",
    "--image_size=32 --bitdepth=4,3,3 --d_model=192 --n_layers=4 --n_heads=6 --batch_size=8 --model_type=transformer "
    "--attention=local --optimizer=adamw",
    "--image_size=32 --d_model=256 --n_layers=4 --n_heads=8 --batch_size=8 --accumulate=4 --model_type=transformer",
    "--image_size=16 --d_model=256 --n_layers=6 --n_heads=4 --batch_size=8 --model_type=transformer --dtype=bfloat16 "
    "--optimizer=adamw --noema",
    "--image_size=16 --arch=trax --d_model=256 --n_layers=4 --n_heads=4 --batch_size=4 --model_type=transformer "
    "--optimizer=source",
    "--image_size=16 --bitdepth=4,3,3 --d_model=512 --n_layers=6 --n_heads=8 --batch_size=1 --model_type=reformer",
)
DRAWN = 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--memory_only", action="store_true", help="no steps: compiling is all that it does")
    parser.add_argument("--steps", type=int, default=5, help="steps timed of each configuration")
    parser.add_argument("--extra", type=Path, help="further configurations, one line of flags each")
    arguments = parser.parse_args()
    lines = [*CASES, *(arguments.extra.read_text().splitlines() if arguments.extra else [])]
    rows = []
    for number, line in enumerate(lines, 1):
        print(f"{number}/{len(lines)}  {line}", file=sys.stderr, flush=True)
        rows.append({"flags": line, **measure(*configurations(line), 0 if arguments.memory_only else arguments.steps)})
        gc.collect()
    print_table(rows)
    summary: dict[str, Any] = {"memory_ratio_range": _range(rows, "memory_ratio")}
    if not arguments.memory_only:
        summary["seconds_ratio_range"] = _range(rows, "seconds_ratio")
    summary["drawing_ratio_range"] = _range(rows, "drawing_ratio")
    report("plan", {"device_platform": jax.devices()[0].platform, **summary, "rows": rows})


def configurations(line: str) -> tuple[ModelConfig, TrainConfig]:
    """The model and the run of flags of `pixace train`."""
    given, _ = make_flags().parse(line.split())
    tokenizer, options, training = (
        {name: value for name, value in given.items() if name in hints_of(section)}
        for section in (TokenizerConfig, ModelOptions, TrainConfig)
    )
    return ModelOptions(**options).build(TokenizerConfig(**tokenizer)), TrainConfig(**training)


def measure(model: ModelConfig, training: TrainConfig, steps: int) -> dict[str, Any]:
    """Formula and measurement of one configuration; ratios are the formula over what was measured."""
    implementation = choose_implementation(jax.devices()[0].platform, model.dtype, model.d_head, model.d_value)
    state = jax.eval_shape(lambda: init_state(model, training))
    shape = (training.batch_size, model.n_positions)
    total = jnp.int32(1000)
    lowered = train_step.lower(model, training, implementation, state, jax.ShapeDtypeStruct(shape, jnp.uint16), total)
    compiled = lowered.compile()
    found, planned = program_bytes(compiled), training_memory(model, training)
    row: dict[str, Any] = {
        "memory_planned": planned.total,
        "memory_compiled": found,
        "memory_ratio": round(planned.total / found, 3),
        "busiest": planned.moment,
        "implementation": implementation,
    }
    drawn, drawing = drawing_bytes(model), drawing_memory(model, DRAWN)
    row |= {"drawing_planned": sum(drawing.values()), "drawing_compiled": drawn}
    row["drawing_ratio"] = round(row["drawing_planned"] / drawn, 3)
    if steps:
        state = jax.jit(lambda: init_state(model, training))()
        tokens = jnp.asarray(np.random.default_rng(0).integers(2, model.vocab_size, shape), jnp.uint16)
        state, _ = jax.block_until_ready(compiled(state, tokens, total))
        rates = measure_rates(LONG_SECONDS)
        seconds = []
        for _ in range(steps):
            started = time.perf_counter()
            state, _ = jax.block_until_ready(compiled(state, tokens, total))
            seconds.append(time.perf_counter() - started)
        expected, median = step_seconds(model, training, rates), statistics.median(seconds)
        row |= {"seconds_planned": round(expected, 4), "seconds_measured": round(median, 4)}
        row |= {"seconds_ratio": round(expected / median, 3), "all_seconds": [round(s, 4) for s in seconds]}
        row |= {"gflops": round(rates.products / 1e9, 1), "bandwidth_gb": round(rates.bandwidth / 1e9, 2)}
    return row


def program_bytes(compiled: Any) -> int:
    """What a compiled program needs."""
    sizes = compiled.memory_analysis()
    return (
        sizes.argument_size_in_bytes + sizes.output_size_in_bytes + sizes.temp_size_in_bytes - sizes.alias_size_in_bytes
    )


def drawing_bytes(model: ModelConfig) -> int:
    """What drawing needs: the compiled loop, and the weights as they were loaded beside their copy."""
    stacked = abstract_parameters(model)
    laid_out = jax.eval_shape(lambda p: unstack(p, model), stacked)
    cache = jax.eval_shape(lambda: empty_cache(model, DRAWN))
    settings = jax.tree.map(jnp.asarray, make_settings(DRAWN, 1.0, None, None, None, None))
    tokens, key = jax.ShapeDtypeStruct((DRAWN, model.n_positions), jnp.int32), jax.random.key(0)
    program = decode.lower(laid_out, model, tokens, cache, settings, key, 0, model.n_positions).compile()
    loaded = sum(4 * leaf.size for leaf in jax.tree.leaves(stacked))
    same = [laid_out.embedding, laid_out.positions, laid_out.final_norm, laid_out.output_bias]
    if model.dtype == "float32":
        same.append(laid_out.output)
    shared = sum(4 * leaf.size for leaf in jax.tree.leaves(same))  # no copy is made of what stays as it is
    return program_bytes(program) + loaded - shared


def print_table(rows: list[dict[str, Any]]) -> None:
    print(
        f"\n{'memory, MB':>12} {'compiled':>9} {'ratio':>6} {'seconds':>8} {'measured':>9} {'ratio':>6} "
        f"{'draw':>6}  flags"
    )
    for row in rows:
        times = " " * 25
        if "seconds_ratio" in row:
            times = f"{row['seconds_planned']:8.3f} {row['seconds_measured']:9.3f} {row['seconds_ratio']:6.2f}"
        print(
            f"{row['memory_planned'] / 1e6:12.1f} {row['memory_compiled'] / 1e6:9.1f} {row['memory_ratio']:6.3f} "
            f"{times} {row['drawing_ratio']:6.3f}  {row['flags']}"
        )


def _range(rows: list[dict[str, Any]], name: str) -> list[float]:
    return [min(row[name] for row in rows), max(row[name] for row in rows)]


if __name__ == "__main__":
    main()
