"""Pictures of the loss: where in a picture a model is unsure, and which pictures it knows least."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from pixace.evaluation.colour_map import colours_of
from pixace.evaluation.layout import Block, Tile, page, scale_bar, shortened

SHOWN = 6  # pictures at each end
UNIT = "nats"
SPAN = 99.5  # percent of the values that the colours tell apart: a few wild ones must not make all others dark


def loss_map(by_position: np.ndarray, count: int, model: str) -> Image.Image:
    """A heat map of the mean loss of each pixel, (S, S) in nats, over `count` pictures."""
    low, high = float(by_position.min()), float(np.percentile(by_position, SPAN))
    tile = Block([[Tile(colours_of(by_position, low, high))]], width=384).draw()
    notes = [
        f"Least {by_position.min():.3f}, mean {by_position.mean():.3f}, most {by_position.max():.3f} nats a token.",
        f"Mean over {count:,} pictures, of {model}.",
        *_cut_off(by_position, high),
    ]
    return page("Loss of each pixel", [tile, scale_bar(tile.height, low, high, UNIT)], notes)


def best_and_worst(
    pictures: np.ndarray, losses: np.ndarray, names: Sequence[str], n_best: int, model: str
) -> Image.Image:
    """Pictures, uint8 (n, S, S, 3), beside the loss of their pixels, (n, S, S) in nats: the first `n_best` are those
    with the lowest mean loss, the others those with the highest. One scale of colours serves all."""
    high = float(np.percentile(losses, SPAN))
    rows = [
        [Tile(rgb, shortened(name, 112)), Tile(colours_of(loss, 0.0, high), f"{loss.mean():.3f} nats")]
        for rgb, loss, name in zip(pictures, losses, names, strict=True)
    ]
    blocks = [
        Block(part, title=title).draw()
        for part, title in ((rows[:n_best], "lowest loss"), (rows[n_best:], "highest loss"))
        if part
    ]
    bar = scale_bar(min(blocks[0].height, 480), 0.0, high, UNIT)
    notes = ["Each beside the loss of its pixels.", *_cut_off(losses, high)]
    return page(f"The pictures that {model} finds most and least likely", [*blocks, bar], notes)


def _cut_off(values: np.ndarray, high: float) -> list[str]:
    """A line that says so where the scale of colours ends below the largest value."""
    return [f"The brightest colour stands for {high:.2f} nats and more."] if values.max() > high else []


def extremes(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The places of the lowest values, lowest first, and of the highest, highest first; none is in both."""
    order = np.argsort(values, kind="stable")
    n_best = min(SHOWN, (len(order) + 1) // 2)
    n_worst = min(SHOWN, len(order) - n_best)
    return order[:n_best], order[::-1][:n_worst]
