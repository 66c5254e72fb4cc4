"""What every result needs beside its figures: the machine, the versions and the command."""

import importlib.metadata
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

from pixace.planning.machine import processor

LIBRARIES = ("numpy", "pillow", "scikit-image", "jax", "jaxlib", "jax-cuda12-plugin", "jax-cuda13-plugin", "trax")
LIBRARIES += ("torch",)
RESULTS = Path(os.environ.get("OUT") or Path(__file__).resolve().parent / "results")
DATA = Path(__file__).resolve().parents[2] / "shared" / "data"  # pictures beside the checkout, never in it


def describe_machine() -> dict[str, Any]:
    """Processor, cores, memory in GiB, device if JAX runs, system, Python, versions of the libraries installed."""
    jax = sys.modules.get("jax")
    return {
        "cpu": processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        **({"device": jax.devices()[0].device_kind} if jax else {}),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "libraries": {name: version for name in LIBRARIES if (version := _version(name))},
    }


def report(name: str, figures: dict[str, Any]) -> None:
    """Prints the result as one line of JSON, the last one, and writes it to `benchmarks/results/NAME.json`.

    The variable OUT names another folder: for rehearsals, whose figures nobody should keep, and for `gpu.sh`.
    """
    command = " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]])
    result = {"benchmark": name, "machine": describe_machine(), "command": command, **figures}
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result))


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
