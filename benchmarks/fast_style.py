"""A picture in a style by a network that has learned it, against the same by optimisation: seconds a picture.

    python benchmarks/fast_style.py [--sizes=256,512] [--optimised=256] [--rounds=5]

The network is the published one; its weights are random, for speed does not hang on them. It is timed from a picture
in memory to a picture in memory, compiled; compiling is told apart. The other side is `pixace.stylize` with its
default settings and the layers that the arrays in ../shared/weights have, whole, compiling included. Needs them and
../shared/data/photos.
"""

import argparse
import sys
import time

import jax
import numpy as np
from machine import DATA, report
from PIL import Image

from pixace import devices, stylize
from pixace.progress import silent
from pixace.style.fast.config import TransformConfig
from pixace.style.fast.network import init_weights, transform

ARRAYS = DATA.parent / "weights" / "vgg19_conv1_1_to_conv3_4.npz"
CONTENT, STYLE = (
    DATA / "photos" / name for name in ("content/tuebingen_neckarfront.jpeg", "style/van_gogh_starry_night.jpeg")
)


def by_network(size: int, rounds: int) -> tuple[float, float]:
    """Seconds to compile, and of a picture of `size` x `size`: the median."""
    config = TransformConfig()
    weights, picture = init_weights(config, 0), np.random.default_rng(0).random((1, size, size, 3), np.float32)
    began = time.perf_counter()
    drawn = jax.jit(transform, static_argnums=1).lower(weights, config, picture, np.ones((1, 1), np.float32)).compile()
    compiling, seconds = time.perf_counter() - began, []
    for _ in range(rounds + 1):
        began = time.perf_counter()
        np.asarray(drawn(weights, picture, np.ones((1, 1), np.float32)))
        seconds.append(time.perf_counter() - began)
    return compiling, float(np.median(seconds[1:]))


def by_optimisation(size: int) -> tuple[float, int]:
    """Seconds and steps of a picture of `size` x `size`."""
    with Image.open(CONTENT) as content, Image.open(STYLE) as style:
        began = time.perf_counter()
        found = stylize(content, style, size=f"{size}x{size}", network=str(ARRAYS), layers="shallow", progress=silent)
    if found.signal is not None:
        sys.exit(f"stopped after {len(found.steps)} steps: nothing is reported")
    return time.perf_counter() - began, len(found.steps)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sizes", type=lambda text: [int(part) for part in text.split(",")], default=[256, 512])
    parser.add_argument("--optimised", type=int, default=256, help="the size at which both are timed")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    for needed in (ARRAYS, CONTENT, STYLE):
        if not needed.exists():
            sys.exit(f"skipped: {needed} is not there")
    devices.prepare()
    devices.keep_freed_memory()  # as `pixace style` does
    jax.config.update("jax_enable_compilation_cache", False)
    figures: dict[str, dict[str, float]] = {}
    for size in sorted({*arguments.sizes, arguments.optimised}):
        compiling, seconds = by_network(size, arguments.rounds)
        figures[str(size)] = {"compiling": round(compiling, 2), "network": round(seconds, 4)}
        print(f"{size:5}  network {seconds:.3f} s a picture, {compiling:.1f} s to compile", flush=True)
    seconds, steps = by_optimisation(arguments.optimised)
    own = figures[str(arguments.optimised)]
    own |= {"optimisation": round(seconds, 1), "steps": steps, "ratio": round(seconds / own["network"], 1)}
    print(f"{arguments.optimised:5}  optimisation {seconds:.1f} s, {steps} steps: {own['ratio']:.0f} times as long")
    report("fast_style", {"sizes": figures})


if __name__ == "__main__":
    main()
