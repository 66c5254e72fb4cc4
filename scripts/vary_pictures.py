"""Varied copies of pictures, so that a model cannot learn a small set by heart.

    python scripts/vary_pictures.py FOLDER OUT [--copies=8] [--smallest=0.85] [--seed=0]

Each copy is the picture somewhat smaller, somewhere in its frame; what is beside it is transparent. The first copy is
the picture itself. The same seed gives the same copies.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image


def vary(picture: Image.Image, random: np.random.Generator, smallest: float) -> Image.Image:
    """A copy in a frame of the same size: scaled by `smallest` to 1, at a random place."""
    scale = random.uniform(smallest, 1.0)
    inner = [max(1, round(scale * edge)) for edge in picture.size]
    place = [int(random.integers(0, edge - part + 1)) for edge, part in zip(picture.size, inner, strict=True)]
    frame = Image.new("RGBA", picture.size)
    frame.paste(picture.convert("RGBA").resize((inner[0], inner[1])), (place[0], place[1]))
    return frame


def main() -> None:
    """Write OUT/NAME-0.png, OUT/NAME-1.png, ... of each FOLDER/NAME.png."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--copies", type=int, default=8)
    parser.add_argument("--smallest", type=float, default=0.85)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    random = np.random.default_rng(given.seed)
    given.out.mkdir(parents=True, exist_ok=True)
    for file in sorted(given.folder.glob("*.png")):
        with Image.open(file) as picture:
            for i in range(given.copies):
                copy = vary(picture, random, given.smallest) if i else picture
                copy.save(given.out / f"{file.stem}-{i}.png")


if __name__ == "__main__":
    main()
