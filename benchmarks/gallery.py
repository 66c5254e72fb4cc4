"""Run every command of docs/style-results.md anew, and tell the seconds of each.

    python benchmarks/gallery.py [--only=starry]

From the root of a checkout with ../shared beside it. Pictures go where the commands say: into docs/style.
"""

import argparse
import shlex
import subprocess
import sys
import time
from pathlib import Path

from machine import report

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "style-results.md"


def commands() -> list[list[str]]:
    """The words of each command on the page."""
    blocks = [block.split("```")[0] for block in PAGE.read_text().split("```sh\n")[1:]]
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [shlex.split(line) for line in lines if line.startswith("pixace ")]


def main() -> None:
    parser = argparse.ArgumentParser(description="Run every command of docs/style-results.md.")
    parser.add_argument("--only", default="", help="those alone whose --out holds this")
    only, seconds = parser.parse_args().only, {}
    for words in commands():
        out = next(word.removeprefix("--out=") for word in words if word.startswith("--out="))
        if only not in out:
            continue
        began = time.perf_counter()
        done = subprocess.run([sys.executable, "-m", "pixace.cli.main", *words[1:]], cwd=ROOT, stderr=subprocess.PIPE)
        if done.returncode:
            sys.exit(f"{out}: {done.stderr.decode().splitlines()[-1]}")
        seconds[out] = round(time.perf_counter() - began, 1)
        print(f"{seconds[out]:7.1f} s  {out}", flush=True)
    report("gallery", {"seconds": seconds})


if __name__ == "__main__":
    main()
