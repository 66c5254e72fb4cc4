"""The sheet by which people judge whether a model copies: drawn pictures beside their nearest training pictures."""

import math

import numpy as np
from PIL import Image

from pixace.evaluation.copies import Copies, Neighbours
from pixace.evaluation.layout import Block, Tile, page
from pixace.tokenizer import Tokenizer

BLOCKS, ROWS = 3, 8
HEADINGS = ("drawn", "nearest", "second nearest")


def copy_sheet(
    drawn: np.ndarray, training: np.ndarray, neighbours: Neighbours, tokenizer: Tokenizer, copies: Copies
) -> Image.Image:
    """Rows of drawn | nearest | second nearest, those with the nearest neighbours first, down one block after another.

    Args:
        drawn: uint8 (Q, S, S, 3).
        training: tokens (N, T) of the training pictures.
        neighbours: of the drawn pictures first; others may follow.
    """
    order = np.argsort(neighbours.distance[: len(drawn), 0], kind="stable")[: BLOCKS * ROWS]
    rows = [[Tile(drawn[i]), *_neighbours_of(i, training, neighbours, tokenizer)] for i in order]
    height = min(ROWS, math.ceil(len(rows) / BLOCKS)) if len(rows) > ROWS else len(rows)
    blocks = [Block(rows[i : i + height], HEADINGS, width=96).draw() for i in range(0, len(rows), height)]
    notes = [
        "Numbers: root mean square of the difference over all pixels and channels, in levels of 255; "
        '"mirrored" where the mirror image is nearer.',
        f"Held-out pictures: half lie within {copies.held_out_median:.1f}, one in a hundred within "
        f"{copies.threshold:.1f}. {copies.verdict[:1].upper()}{copies.verdict[1:]}.",
    ]
    title = f"Nearest training pictures of {copies.drawn:,} drawn ones: the nearest {len(rows)}"
    return page(title, blocks, notes)


def _neighbours_of(i: int, training: np.ndarray, neighbours: Neighbours, tokenizer: Tokenizer) -> list[Tile | None]:
    tiles: list[Tile | None] = []
    for row, distance, mirrored in zip(*(x[i] for x in _fields(neighbours)), strict=True):
        if row < 0:
            tiles.append(None)
            continue
        rgb = tokenizer.decode(np.asarray(training[row]))
        how = ", mirrored" if mirrored else ""
        tiles.append(Tile(rgb[:, ::-1] if mirrored else rgb, f"{distance:.1f}{how}"))
    return tiles


def _fields(neighbours: Neighbours) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return neighbours.index, neighbours.distance, neighbours.mirrored
