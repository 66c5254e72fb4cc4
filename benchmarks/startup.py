"""What `pixace predict` costs beside compiling and drawing, against a bare `import jax`, in one run.

    python benchmarks/startup.py [--rounds=5]

Each figure is a whole process: a bare `import jax`, then `pixace predict` (nine pictures, the model of the package)
with an empty cache of compiled programs, then again with the cache that this left. Compiling and drawing is all that
happens within `Model.stream`. The rounds take turns; medians are reported.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping

MEASURED = """
import json, sys, time
compiled, drawing = [], [0.0]
from pixace.cli import predict

def run():
    import jax.monitoring
    from pixace.sampling.model import Model
    stream = Model.stream
    def timed(self, *given, **named):
        steps = stream(self, *given, **named)
        while True:
            began = time.perf_counter()
            try:
                drawn = next(steps)
            except StopIteration:
                return
            finally:
                drawing[0] += time.perf_counter() - began
            yield drawn
    Model.stream = timed
    jax.monitoring.register_event_listener(lambda name, **_: compiled.append(name))
    return predict.run(sys.argv[1:])

code = run()
misses = sum(name == "/jax/compilation_cache/cache_misses" for name in compiled)
hits = sum(name == "/jax/compilation_cache/cache_hits" for name in compiled)
print(json.dumps({"drawing": drawing[0], "compiled": misses, "cached": hits}))
sys.exit(code)
"""


def bare() -> float:
    """Seconds of a process that imports JAX and ends."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import jax"], check=True)
    return time.perf_counter() - began


def predict(folder: str, cache: str) -> Mapping[str, float]:
    """One `pixace predict`: seconds in all and of compiling and drawing, programs compiled and taken from the cache."""
    command = [sys.executable, "-c", MEASURED, "--seed=1", f"--out={folder}/sheet.png"]
    began = time.perf_counter()
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, env={**os.environ, "PIXACE_CACHE": cache}
    )
    seconds = time.perf_counter() - began
    figures = json.loads(done.stdout.splitlines()[-1])
    return {**figures, "seconds": seconds, "outside": seconds - figures["drawing"]}


def main() -> None:
    """Measure, and print a table and JSON."""
    from machine import report

    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    imports, cold, warm = [], [], []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            imports.append(bare())
            for runs in (cold, warm):
                runs.append(predict(folder, f"{folder}/cache"))
    figures = {"import_jax": statistics.median(imports)}
    for name, runs in (("cold", cold), ("warm", warm)):
        figures |= {f"{name}_{key}": statistics.median(run[key] for run in runs) for key in runs[0]}
    print(f"{'':24}{'in all':>10}{'outside compiling and drawing':>32}{'programs compiled':>20}")
    print(f"{'import jax':24}{figures['import_jax']:9.2f} s")
    for name, label in (("cold", "predict, the first time"), ("warm", "predict, again")):
        seconds, outside, compiled = (figures[f"{name}_{key}"] for key in ("seconds", "outside", "compiled"))
        print(f"{label:24}{seconds:9.2f} s{outside:30.2f} s{compiled:20g}")
    print(f"more than the bare import: {figures['warm_outside'] - figures['import_jax']:.2f} s")
    report("startup", {"rounds": rounds, **figures})


if __name__ == "__main__":
    main()
