"""Refined drawings against bicubic enlargements: how near each is to the photograph that the drawing was made of.

    python benchmarks/refine.py [--crops=200] [--size=256] [--seed=2]

Square crops of real photographs and paintings, of any edge from `--size` pixels up, are scaled to `--size` and made
into tokens of 32x32 (HSV 5,4,4). Both sides get these tokens alone: one decodes them and enlarges the picture with
Pillow's bicubic filter, the other is `pixace.refine`. Crops lie in the last 60 % of each picture's longer edge; the
settings were chosen on the first 40 %. The distance is that of VGG19's maps relu1_2, relu2_2 and relu3_4: mean
squared differences by the mean square of the map of the photograph, the mean of all three. Needs
../shared/data/photos and the arrays in ../shared/weights.
"""

import argparse
import sys
import time
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from machine import DATA, report
from PIL import Image

from pixace.config import TokenizerConfig
from pixace.refine.refine import refine, share_kept
from pixace.style.vgg_weights import load_network
from pixace.tokenizer import Tokenizer, psnr

ARRAYS = DATA.parent / "weights" / "vgg19_conv1_1_to_conv3_4.npz"
LAYERS = ("relu1_2", "relu2_2", "relu3_4")
KEPT_FOR_TUNING = 0.4  # of the longer edge


def crops(count: int, size: int, seed: int) -> list[tuple[str, tuple[int, int, int], np.ndarray]]:
    """Names, places (left, top, edge) and crops, uint8 (size, size, 3)."""
    files = [p for folder in ("content", "style") for p in sorted((DATA / "photos" / folder).iterdir())]
    pictures = [(path.name, Image.open(path).convert("RGB")) for path in files]
    random, found = np.random.default_rng(seed), []
    for i in range(count):
        name, picture = pictures[i % len(pictures)]
        width, height = picture.size
        left, top = (int(KEPT_FOR_TUNING * edge) if edge == max(picture.size) else 0 for edge in picture.size)
        most = min(width - left, height - top)
        edge = round(float(np.exp(random.uniform(np.log(min(size, most)), np.log(most)))))
        x, y = int(random.integers(left, width - edge + 1)), int(random.integers(top, height - edge + 1))
        box = (x, y, x + edge, y + edge)
        found.append((name, (x, y, edge), np.asarray(picture.resize((size, size), Image.Resampling.LANCZOS, box=box))))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--crops", type=int, default=200)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--seed", type=int, default=2)
    arguments = parser.parse_args()
    if not ARRAYS.exists() or not (DATA / "photos").is_dir():
        sys.exit(f"skipped: {DATA / 'photos'} and {ARRAYS} are needed")
    tokenizer, size = Tokenizer(TokenizerConfig()), arguments.size
    network = load_network(ARRAYS, layers=LAYERS)
    maps = jax.jit(partial(network.features, layers=LAYERS))

    def distance(truth: np.ndarray, other: np.ndarray) -> float:
        a, b = (maps(jnp.asarray(picture, jnp.float32)[None] / 255) for picture in (truth, other))
        return float(np.mean([jnp.square(a[name] - b[name]).mean() / jnp.square(a[name]).mean() for name in LAYERS]))

    rows, seconds = [], []
    for i, (name, place, truth) in enumerate(crops(arguments.crops, size, arguments.seed)):
        tokens = tokenizer.encode(truth)
        bicubic = Image.fromarray(tokenizer.decode(tokens)).resize((size, size), Image.Resampling.BICUBIC)
        started = time.perf_counter()
        found = refine(tokens, tokenizer, size)
        seconds.append(time.perf_counter() - started)
        sides = {"bicubic": np.asarray(bicubic), "refined": found}
        row = {"picture": name, "place": place, "kept": round(share_kept(found, tokens, tokenizer), 5)}
        row |= {f"psnr_{side}": round(psnr(truth, picture), 3) for side, picture in sides.items()}
        row |= {f"distance_{side}": round(distance(truth, picture), 5) for side, picture in sides.items()}
        rows.append(row)
        if i % 20 == 19:
            print(f"{i + 1} of {arguments.crops}", file=sys.stderr, flush=True)

    def mean(key: str) -> float:
        return round(float(np.mean([row[key] for row in rows])), 4)

    print(f"{len(rows)} crops of {size}x{size} from tokens of 32x32, HSV 5,4,4")
    print("          PSNR dB   VGG distance")
    for side in ("bicubic", "refined"):
        print(f"{side:8}  {mean(f'psnr_{side}'):7.3f}   {mean(f'distance_{side}'):.4f}")
    better = {
        key: sum((row[f"{key}_refined"] > row[f"{key}_bicubic"]) == (key == "psnr") for row in rows)
        for key in ("psnr", "distance")
    }
    print(f"better in PSNR: {better['psnr']} crops, in VGG distance: {better['distance']}; pixels that give back their "
          f"token: {100 * mean('kept'):.2f} %, at least {100 * min(row['kept'] for row in rows):.2f} %; "
          f"{np.median(seconds):.1f} s a picture")  # fmt: skip
    figures = {
        "size": size,
        "means": {key: mean(key) for key in rows[0] if key not in ("picture", "place")},
        "better": better,
        "least_kept": min(row["kept"] for row in rows),
        "median_seconds": round(float(np.median(seconds)), 2),
        "crops": rows,
    }
    report("refine", figures)


if __name__ == "__main__":
    main()
