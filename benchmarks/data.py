"""A folder of 512-pixel JPEG files to 32x32 tokens: `load_tokens` against the source project's way.

    python benchmarks/data.py [--pictures=300] [--rounds=3]

The pictures are random crops (seeded) of the photographs in ../shared/data/photos, saved with quality 90. The
source's way, picture by picture: open, convert to RGB, resize to 32x32 (which decodes in full), / 255, scikit-image's
`rgb2hsv`, quantise, pack. Ours starts with an empty cache and writes it, with all cores and again with one thread.
The sides alternate in one process. `--exact`, which decodes in full like the source, must give the same tokens.

The roof is what decoding alone allows: Pillow on the same files, in full or at the eighth that 32 pixels allow, with
one thread or with all cores, each measured before the rounds as the best of three. A row's share is that of the roof
of its kind.
"""

import argparse
import os
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest.mock import patch

import numpy as np
from machine import DATA, report
from PIL import Image
from roofline import best_seconds
from tokenizer import BITS, source_tokens

from pixace.config import TokenizerConfig
from pixace.dataset import load_tokens

EDGE = 512


def make_pictures(folder: Path, count: int) -> None:
    """Fill `folder` with JPEG files of 512 x 512 pixels."""
    photos = sorted(path for path in (DATA / "photos").rglob("*") if path.suffix in (".jpg", ".jpeg"))
    if not photos:
        sys.exit(f"skipped: {DATA / 'photos'} holds no photographs (.jpg) to make pictures from")
    opened = [Image.open(path).convert("RGB") for path in photos]
    rng = np.random.default_rng(0)
    for i in range(count):
        photo = opened[i % len(opened)]
        edge = rng.integers(min(photo.size) // 2, min(photo.size) + 1)
        left, top = (rng.integers(0, side - edge + 1) for side in photo.size)
        crop = photo.resize((EDGE, EDGE), Image.Resampling.LANCZOS, box=(left, top, left + edge, top + edge))
        crop.save(folder / f"{i:04}.jpg", quality=90)


def source_way(folder: Path) -> np.ndarray:
    """uint16 (N, 1024), in the order of the file names."""
    files = sorted(folder.glob("*.jpg"))
    return np.stack([source_tokens(np.asarray(Image.open(f).convert("RGB").resize((32, 32)))) for f in files])


def our_way(folder: Path, exact: bool = False, threads: int | None = None) -> np.ndarray:
    """uint16 (N, 1024), through a new cache."""
    config = TokenizerConfig(bitdepth=BITS, image_size=32, exact=exact)
    with tempfile.TemporaryDirectory() as cache, patch("os.cpu_count", return_value=threads or os.cpu_count()):
        return load_tokens(folder, config, cache=Path(cache)).tokens


def decode_rate(files: list[Path], edge: int, threads: int) -> float:
    """Pictures a second that Pillow decodes and nothing else, at a size of at least `edge`."""

    def decode(file: Path) -> None:
        with Image.open(file) as picture:
            picture.draft("RGB", (edge, edge))
            picture.load()

    def work() -> None:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(decode, files))

    return len(files) / best_seconds(work, tries=3)


# The roof of each row: the edge that its decoder must give, and whether it uses all cores.
ROOFS = {"source": (EDGE, False), "pixace": (32, True), "one thread": (32, False), "exact": (EDGE, True)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    ways = {
        "source": source_way,
        "pixace": our_way,
        "one thread": lambda folder: our_way(folder, threads=1),
        "exact": lambda folder: our_way(folder, exact=True),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_pictures(folder, arguments.pictures)
        size = sum(file.stat().st_size for file in folder.iterdir()) / arguments.pictures
        files, cores = sorted(folder.glob("*.jpg")), os.cpu_count() or 1
        roofs = {name: decode_rate(files, edge, cores if all_ else 1) for name, (edge, all_) in ROOFS.items()}
        for way in ways.values():  # once unmeasured: imports, the disk's cache
            way(folder)
        for _ in range(arguments.rounds):
            results = {}
            for name, way in ways.items():
                started = time.perf_counter()
                results[name] = way(folder)
                seconds[name].append(time.perf_counter() - started)
            same = sorted(map(bytes, results["source"])) == sorted(map(bytes, results["exact"]))
            assert same, "decoded in full, the tokens are not the source's"

    median = {name: float(np.median(values)) for name, values in seconds.items()}
    ratios = {name: [round(a / b, 2) for a, b in zip(seconds["source"], seconds[name], strict=True)] for name in ways}
    print(f"{arguments.pictures} JPEG files of {EDGE}x{EDGE}, {size / 1024:.0f} KiB each, to 32x32 tokens")
    rates = {name: arguments.pictures / value for name, value in median.items()}
    print(f"{'':12}{'pictures/s':>11}{'ratio':>7}{'decoding alone':>16}{'share':>7}   ratio in each round")
    for name in ways:
        rounds = " ".join(f"{ratio:.2f}" for ratio in ratios[name])
        roof = f"{roofs[name]:16.0f}{rates[name] / roofs[name]:7.0%}"
        print(f"{name:12}{rates[name]:11.0f}{np.median(ratios[name]):7.2f}{roof}   {rounds}")
    print("source and one thread use one core, the other two all cores; exact gives the source's tokens")
    figures = {
        "pictures": arguments.pictures,
        "kib_per_file": round(size / 1024, 1),
        "seconds": {name: [round(s, 3) for s in values] for name, values in seconds.items()},
        "pictures_per_second": {name: round(rate) for name, rate in rates.items()},
        "decoding_alone_pictures_per_second": {name: round(rate) for name, rate in roofs.items()},
        "share_of_decoding_alone": {name: round(rates[name] / roofs[name], 3) for name in ways},
        "ratios": ratios,
        "median_ratio": float(np.median(ratios["pixace"])),
        "median_ratio_one_thread": float(np.median(ratios["one thread"])),
    }
    report("data", figures)


if __name__ == "__main__":
    main()
