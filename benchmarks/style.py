"""Style transfer against the source project's method in torch: seconds to the same value of the same loss.

    pip install torch==2.13.0      # a CPU build will do; pixace itself does not use torch
    python benchmarks/style.py [--size=256] [--evaluations=500] [--rounds=2] [--rates=0.1,0.2,0.3,0.5]

Both sides start from the content picture, at one scale, with the source's settings (`style_in_torch.py`). Torch runs
first, with four rates, in the faster of two memory formats; the target is the lowest loss that any rate has reached
when its evaluations are used up, so that no other rate gets there sooner. Then the sides take turns: torch with that
rate in both formats, and ours with everything to be compiled, and again compiled. The clock runs from the pictures
and a network in memory on, through what is computed of content and style, to the picture in eight bits. Torch's own
loss in float32 judges the pictures of both sides. The ratio is that of the faster format's seconds to ours.

Torch's Adam, which the source does not offer, is shown as well, and the seconds of one step at several sizes. Needs
../shared/data/photos and the arrays in ../shared/weights.
"""

import argparse
import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import numpy as np
from machine import DATA, report

from pixace import devices

try:
    import torch
except ModuleNotFoundError as error:
    sys.exit(f"{error}; the other side of this benchmark needs `pip install torch==2.13.0`")

import style_in_torch as source
from style_sides import ARRAYS, LAYOUTS, UNCOUNTED, Curve, Sides

COLD, WARM = "pixace, compiling", "pixace, compiled"
SHARES = (0.25, 0.5, 1.0)  # of torch's evaluations; what it has reached then are the targets


def make_flags() -> argparse.Namespace:
    def listed(kind: Callable[[str], Any]) -> Callable[[str], list[Any]]:
        return lambda text: [kind(part) for part in text.split(",")]

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--evaluations", type=int, default=500, help="of the loss, by torch; the source's 50 times 10")
    parser.add_argument("--steps", type=int, default=450, help="of ours, at most")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--rates", type=listed(float), default=[0.1, 0.2, 0.3, 0.5], help="of L-BFGS")
    parser.add_argument("--adam_rates", type=listed(float), default=[0.01, 0.03], help="of Adam")
    parser.add_argument("--step_sizes", type=listed(int), default=[256, 512], help="at which a step is timed")
    parser.add_argument("--timed_steps", type=int, default=10)
    parser.add_argument("--content", default="content/tuebingen_neckarfront.jpeg")
    parser.add_argument("--style", default="style/van_gogh_starry_night.jpeg")
    parser.add_argument("--threads", type=int, default=2, help="of torch; ours uses all cores")
    return parser.parse_args()


def step_times(arguments: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Seconds of a step of each side at each size, printed."""
    count, found = arguments.timed_steps, {}
    print(f"seconds a step, the median of {count - UNCOUNTED}, the better of two turns")
    for size in arguments.step_sizes:
        sides = Sides(size, arguments.content, arguments.style)
        sides.check()
        ways: dict[str, Callable[[], Curve]] = {
            **{name: partial(sides.run_torch, name, source.lbfgs, 0.1, count) for name in LAYOUTS},
            "pixace, L-BFGS": partial(sides.run_ours, count, False),
            "pixace, Adam": partial(sides.run_ours, count, False, optimizer="adam"),
        }
        turns = [{name: way().step_seconds for name, way in ways.items()} for _ in range(2)]
        found[str(size)] = {name: round(min(turn[name] for turn in turns), 4) for name in ways}
        print(f"{size:5}  " + "   ".join(f"{name} {value:.3f}" for name, value in found[str(size)].items()), flush=True)
    return found


def tune(sides: Sides, layout: str, descend: Callable[..., None], rates: list[float], count: int) -> dict[float, Curve]:
    """The curve of each rate; what it reaches is printed."""
    curves = {}
    for rate in rates:
        curves[rate] = curve = sides.run_torch(layout, descend, rate, count)
        reached = ", ".join(f"{curve.lowest(sides.judge, int(share * count)):.3f}" for share in SHARES)
        print(f"  {descend.__name__} {rate:g}: {curve.seconds[-1]:.0f} s, lowest losses {reached}", flush=True)
    return curves


def soonest(sides: Sides, curves: Mapping[float, Curve], target: float) -> int | None:
    """The evaluations to a loss with the rate that gets there first."""
    counts = [curve.first_at(sides.judge, target) for curve in curves.values()]
    return min((count for count in counts if count is not None), default=None)


def take_turns(
    sides: Sides, arguments: argparse.Namespace, rate: float, targets: list[float], curves: dict[str, Any]
) -> list[dict[str, list[float | None]]]:
    """For each target the seconds of each side in each round; the curves are put among `curves`."""
    ways: dict[str, Callable[[], Curve]] = {
        **{name: partial(sides.run_torch, name, source.lbfgs, rate, arguments.evaluations) for name in LAYOUTS},
        COLD: partial(sides.run_ours, arguments.steps, True),
        WARM: partial(sides.run_ours, arguments.steps, False),
    }
    seconds: list[dict[str, list[float | None]]] = [{name: [] for name in ways} for _ in targets]
    for number in range(1, arguments.rounds + 1):
        # What is compiled is there only after the row that compiles it: of a round that goes backwards, torch alone is.
        order = list(ways) if number % 2 else [*reversed(LAYOUTS), COLD, WARM]
        for name in order:
            curve = ways[name]()
            reached = [curve.first_at(sides.judge, target) for target in targets]
            for found, at in zip(seconds, reached, strict=True):
                found[name].append(None if at is None else round(curve.seconds[at], 2))
            curves[f"{name}, round {number}"] = curve.told(sides.judge)
            told = ", ".join(f"{t:.3f} {text(found[name][-1])} s" for t, found in zip(targets, seconds, strict=True))
            print(f"  round {number}, {name}: {told}", flush=True)
    return seconds


def summary(seconds: dict[str, list[float | None]]) -> dict[str, Any]:
    """Of one target: the medians, and the ratios of the faster format's seconds to ours, compiling included."""
    ratios = []
    for ours, *others in zip(seconds[COLD], *(seconds[name] for name in LAYOUTS), strict=True):
        reached = [other for other in others if other is not None]
        ratios.append(round(min(reached) / ours, 2) if ours and reached else None)
    return {
        "seconds": seconds,
        "median_seconds": {name: median(values) for name, values in seconds.items()},
        "ratios": ratios,
        "ratio": median(ratios),
    }


def median(values: list[float | None]) -> float | None:
    """None where one of them never came."""
    known = [value for value in values if value is not None]
    return round(float(np.median(known)), 2) if len(known) == len(values) else None


def text(value: float | None) -> str:
    return "never" if value is None else f"{value:.2f}"


def main() -> None:
    arguments = make_flags()
    for needed in (ARRAYS, DATA / "photos" / arguments.content, DATA / "photos" / arguments.style):
        if not needed.exists():
            sys.exit(f"skipped: {needed} is not there")
    devices.prepare("cpu")
    devices.keep_freed_memory()  # as `pixace style` does; it serves both sides
    jax.config.update("jax_enable_compilation_cache", False)
    torch.set_num_threads(arguments.threads)
    each_step = step_times(arguments)

    sides, count = Sides(arguments.size, arguments.content, arguments.style), arguments.evaluations
    sides.check()
    trial = {name: sides.run_torch(name, source.lbfgs, 0.1, 10).step_seconds for name in LAYOUTS}
    layout = min(trial, key=lambda name: trial[name])
    print(f"\n{arguments.size} x {arguments.size}, {arguments.content} in the manner of {arguments.style}, from a loss "
          f"of {sides.judge.judge(sides.content):.1f}; {count} evaluations of {layout}:", flush=True)  # fmt: skip
    tuned = tune(sides, layout, source.lbfgs, arguments.rates, count)
    best = min(tuned, key=lambda rate: tuned[rate].lowest(sides.judge, count))
    targets = [tuned[best].lowest(sides.judge, int(share * count)) for share in SHARES]
    with_adam = tune(sides, layout, source.adam, arguments.adam_rates, count)
    curves: dict[str, Any] = {f"torch, L-BFGS {rate:g}": curve.told(sides.judge) for rate, curve in tuned.items()}
    curves |= {f"torch, Adam {rate:g}": curve.told(sides.judge) for rate, curve in with_adam.items()}

    seconds = take_turns(sides, arguments, best, targets, curves)
    rows = []
    print(f"\nseconds to a loss, {arguments.size} x {arguments.size}, torch with {best:g}")
    print(f"{'loss':>10}" + "".join(f"{name:>22}" for name in (*LAYOUTS, COLD, WARM)) + "   ratio  in each round")
    for target, found in zip(targets, seconds, strict=True):
        row = summary(found)
        cells = "".join(f"{text(value):>22}" for value in row["median_seconds"].values())
        each = " ".join(map(text, row["ratios"]))
        print(f"{target:10.3f}{cells}{text(row['ratio']):>8}  {each}")
        lbfgs, adam = (soonest(sides, side, target) for side in (tuned, with_adam))
        rows.append({"loss": round(target, 4), "lbfgs_evaluations": lbfgs, "adam_evaluations": adam, **row})
    for row in rows:
        adam = f"more than {count}" if row["adam_evaluations"] is None else row["adam_evaluations"]
        print(f"to {row['loss']:.3f} torch's L-BFGS needs {row['lbfgs_evaluations']} evaluations with the rate that is "
              f"soonest there; its Adam {adam}")  # fmt: skip
    figures = {
        "torch": torch.__version__,
        "threads": arguments.threads,
        "size": arguments.size,
        "pictures": [arguments.content, arguments.style],
        "seconds_a_step": each_step,
        "rate": best,
        "rows": rows,
        "curves": curves,  # picture, seconds, loss
    }
    report("style", figures)


if __name__ == "__main__":
    main()
