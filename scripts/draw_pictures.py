"""Draw small coloured pictures - a disc, square, triangle or ring on a plain ground - into a folder.

    python scripts/draw_pictures.py FOLDER [--count=400] [--seed=0]

The same seed gives the same pictures. `scripts/test-docker` trains on them.
"""

import argparse
import colorsys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

SIZE = 64


def draw(random: np.random.Generator) -> Image.Image:
    """One picture: one shape, two colours of different hue."""
    hue = random.integers(0, 6) / 6
    ground = colorsys.hsv_to_rgb((hue + 0.5) % 1, 0.35, 1.0)
    colour = colorsys.hsv_to_rgb(hue, 1.0, 0.85)
    picture = Image.new("RGB", (SIZE, SIZE), _rgb(ground))
    canvas = ImageDraw.Draw(picture)
    radius = int(random.integers(16, 27))
    x, y = (int(v) for v in random.integers(radius + 2, SIZE - radius - 2, 2))
    box = (x - radius, y - radius, x + radius, y + radius)
    kind = random.integers(0, 4)
    if kind == 0:
        canvas.ellipse(box, fill=_rgb(colour))
    elif kind == 1:
        canvas.rectangle(box, fill=_rgb(colour))
    elif kind == 2:
        canvas.polygon([(x, y - radius), (x - radius, y + radius), (x + radius, y + radius)], fill=_rgb(colour))
    else:
        canvas.ellipse(box, outline=_rgb(colour), width=8)
    return picture


def _rgb(unit: tuple[float, float, float]) -> tuple[int, int, int]:
    red, green, blue = (round(255 * v) for v in unit)
    return red, green, blue


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for i in range(arguments.count):
        file = arguments.folder / f"{i:04d}.png"
        if not file.exists():
            draw(np.random.default_rng([arguments.seed, i])).save(file)


if __name__ == "__main__":
    main()
