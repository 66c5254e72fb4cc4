"""Colours to tokens: whole arrays at once against the source project's way, picture by picture.

    python benchmarks/tokenizer.py [--pictures=50000] [--rounds=3]

Both sides get the same decoded 32x32 pictures (CIFAR-10 if its archive is at hand, else random smooth ones) and
must give the same tokens. The source's way is scikit-image's `rgb2hsv` on each picture / 255, then quantising and
packing. One process, one thread; the two sides alternate; ours includes making its tables in every round. A round
before the first is not counted: memory that is touched for the first time can be slow, most of all in virtual machines.
"""

import argparse
import io
import time
import zipfile

import numpy as np
from machine import DATA, report
from PIL import Image
from skimage.color import rgb2hsv

from pixace import tokenizer as ours
from pixace.config import TokenizerConfig

BITS = (5, 4, 4)


def source_tokens(rgb: np.ndarray) -> np.ndarray:
    """Tokens of one picture, uint8 (H, W, 3), as the source project computes them; uint16 (H * W,)."""
    hsv = rgb2hsv(rgb / 255)
    h, s, v = (np.round(hsv[..., i] * (2**bits - 1)).astype(np.uint16) for i, bits in enumerate(BITS))
    return (2 + (h | s << BITS[0] | v << (BITS[0] + BITS[1]))).reshape(-1)


def load_pictures(count: int) -> tuple[np.ndarray, str]:
    """uint8 (count, 32, 32, 3) and where they come from."""
    archive = DATA / "cifar10.zip"
    if archive.exists():
        with zipfile.ZipFile(archive) as file:
            names = [name for name in file.namelist() if name.startswith("train/") and name.endswith(".jpg")]
            names = names[:: max(1, len(names) // count)][:count]
            pictures = [np.asarray(Image.open(io.BytesIO(file.read(name))).convert("RGB")) for name in names]
        return np.stack(pictures), "CIFAR-10"
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (count, 4, 4, 3), np.uint8)
    return np.stack([np.asarray(Image.fromarray(p).resize((32, 32))) for p in small]), "random, smooth"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    pictures, kind = load_pictures(arguments.pictures)
    config = TokenizerConfig(bitdepth=BITS)

    seconds: dict[str, list[float]] = {"source": [], "pixace": []}
    for _ in range(1 + arguments.rounds):
        started = time.perf_counter()
        expected = np.stack([source_tokens(picture) for picture in pictures])
        seconds["source"].append(time.perf_counter() - started)

        ours._hsv_tables.cache_clear()
        started = time.perf_counter()
        tokens = ours.Tokenizer(config).encode_rgb(pictures)
        seconds["pixace"].append(time.perf_counter() - started)
        assert np.array_equal(tokens.reshape(len(pictures), -1), expected), "the two sides disagree"

    warm_up = seconds["source"].pop(0) / seconds["pixace"].pop(0)
    ratios = [a / b for a, b in zip(seconds["source"], seconds["pixace"], strict=True)]
    print(f"{len(pictures):,} pictures of 32x32 ({kind}), hsv {','.join(map(str, BITS))}, the same tokens")
    print("round  source s  pixace s  ratio")
    for i, ratio in enumerate(ratios):
        print(f"{i + 1:5}  {seconds['source'][i]:8.2f}  {seconds['pixace'][i]:8.3f}  {ratio:5.1f}")
    print(f"(uncounted first round: ratio {warm_up:.1f})")
    print(f"median ratio {np.median(ratios):.1f}; {len(pictures) / np.median(seconds['pixace']):,.0f} pictures/s")
    figures = {
        "pictures": len(pictures),
        "kind": kind,
        "source_seconds": [round(s, 3) for s in seconds["source"]],
        "pixace_seconds": [round(s, 3) for s in seconds["pixace"]],
        "ratios": [round(r, 2) for r in ratios],
        "uncounted_first_ratio": round(warm_up, 2),
        "median_ratio": round(float(np.median(ratios)), 2),
        "pictures_per_second": round(len(pictures) / float(np.median(seconds["pixace"]))),
    }
    report("tokenizer", figures)


if __name__ == "__main__":
    main()
