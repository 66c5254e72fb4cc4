"""Colours to tokens: whole arrays at once against the source project's way, picture by picture.

    python benchmarks/tokenizer.py [--pictures=50000] [--rounds=3]

Both sides get the same decoded 32x32 pictures (CIFAR-10 if its archive is at hand, else random smooth ones) and
must give the same tokens. The source's way is scikit-image's `rgb2hsv` on each picture / 255, then quantising and
packing. One process, one thread; the two sides alternate; ours includes making its tables in every round. A round
before the first is not counted: memory that is touched for the first time can be slow, most of all in virtual machines.
The roof is that of one thread copying memory: a picture's 3 bytes a pixel must be read and its 2 written.
"""

import argparse
import time

import numpy as np
from machine import report
from pictures import load_pictures
from roofline import numpy_bandwidth
from skimage.color import rgb2hsv

from pixace import tokenizer as ours
from pixace.config import TokenizerConfig

BITS = (5, 4, 4)


def source_tokens(rgb: np.ndarray) -> np.ndarray:
    """Tokens of one picture, uint8 (H, W, 3), as the source project computes them; uint16 (H * W,)."""
    hsv = rgb2hsv(rgb / 255)
    h, s, v = (np.round(hsv[..., i] * (2**bits - 1)).astype(np.uint16) for i, bits in enumerate(BITS))
    return (2 + (h | s << BITS[0] | v << (BITS[0] + BITS[1]))).reshape(-1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    pictures, kind = load_pictures(arguments.pictures)
    config = TokenizerConfig(bitdepth=BITS)
    bandwidth = numpy_bandwidth()

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
    moved = pictures.nbytes + tokens.astype(np.uint16).nbytes
    shares = {name: moved / float(np.median(values)) / bandwidth for name, values in seconds.items()}
    print(f"of the bandwidth of one thread, {bandwidth / 1e9:.1f} GB/s for {moved // len(pictures):,} bytes a picture: "
          + ", ".join(f"{name} {share:.2%}" for name, share in shares.items()))  # fmt: skip
    print(f"median ratio {np.median(ratios):.1f}; {len(pictures) / np.median(seconds['pixace']):,.0f} pictures/s")
    figures = {
        "pictures": len(pictures),
        "kind": kind,
        "source_seconds": [round(s, 3) for s in seconds["source"]],
        "pixace_seconds": [round(s, 3) for s in seconds["pixace"]],
        "ratios": [round(r, 2) for r in ratios],
        "uncounted_first_ratio": round(warm_up, 2),
        "copy_gigabytes_per_second": round(bandwidth / 1e9, 2),
        "bytes_per_picture": moved // len(pictures),
        "share_of_bandwidth": {name: round(share, 5) for name, share in shares.items()},
        "median_ratio": round(float(np.median(ratios)), 2),
        "pictures_per_second": round(len(pictures) / float(np.median(seconds["pixace"]))),
    }
    report("tokenizer", figures)


if __name__ == "__main__":
    main()
