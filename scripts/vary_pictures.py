"""Varied copies of pictures, so that a model cannot learn a small set by heart.

    python scripts/vary_pictures.py FOLDER OUT [--copies=8] [--smallest=0.85] [--seed=0]

For pictures on a plain ground: each copy is the picture somewhat smaller, somewhere in its frame; what is beside it is
transparent, and white in training. The first copy is the picture itself. FOLDER is read with the folders below it,
which OUT gets, too. The same seed gives the same copies of a picture, whatever others there are.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from pixace.errors import PixaceError
from pixace.images import find_pictures


def vary(picture: Image.Image, random: np.random.Generator, smallest: float) -> Image.Image:
    """A copy in a frame of the same size: scaled by `smallest` to 1, at a random place."""
    scale = random.uniform(smallest, 1.0)
    inner = [max(1, round(scale * edge)) for edge in picture.size]
    place = [int(random.integers(0, edge - part + 1)) for edge, part in zip(picture.size, inner, strict=True)]
    frame = Image.new("RGBA", picture.size)
    frame.paste(picture.convert("RGBA").resize((inner[0], inner[1])), (place[0], place[1]))
    return frame


def main() -> None:
    """Write OUT/NAME-0.png, OUT/NAME-1.png, ... of each picture NAME in FOLDER."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--copies", type=int, default=8)
    parser.add_argument("--smallest", type=float, default=0.85)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    try:
        files = find_pictures(given.folder)
    except PixaceError as error:
        parser.error(str(error))
    for file in files:
        name = file.relative_to(given.folder)
        random = np.random.default_rng([given.seed, *name.as_posix().encode()])
        (given.out / name).parent.mkdir(parents=True, exist_ok=True)
        with Image.open(file) as picture:
            for i in range(given.copies):
                copy = vary(picture, random, given.smallest) if i else picture.convert("RGBA")
                copy.save(given.out / name.with_name(f"{name.stem}-{i}.png"))


if __name__ == "__main__":
    main()
