"""A table of pictures with a caption under each: what tokenizing leaves of them."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

TALLEST = 3  # times the width of a tile: no picture is drawn higher


def token_table(rows: list[list[tuple[np.ndarray, str]]], width: int) -> Image.Image:
    """Draw rows of (uint8 (H, W, 3), caption), each tile `width` pixels wide (less if it is very tall).

    Rows may differ in the shape of their pictures, whose proportions stay. Captions are centred under their
    tiles; a column is as wide as the widest of them all needs.
    """
    font = ImageFont.load_default(size=max(10, width // 18))
    gap = max(6, width // 28)
    line = round(font.getbbox("Ag")[3]) + gap
    column = max(width, *(round(font.getlength(text)) for row in rows for _, text in row)) + gap
    tiles = [[_tile(rgb, width) for rgb, _ in row] for row in rows]
    heights = [max(tile.height for tile in row) + line + 2 * gap for row in tiles]
    table = Image.new("RGB", (max(map(len, rows)) * column + gap, sum(heights)), "white")
    draw, top = ImageDraw.Draw(table), gap
    for row, row_tiles, height in zip(rows, tiles, heights, strict=True):
        for i, ((_, text), tile) in enumerate(zip(row, row_tiles, strict=True)):
            middle = gap + i * column + (column - gap) // 2
            table.paste(tile, (middle - tile.width // 2, top))
            draw.text((middle, top + height - line - gap), text, fill="black", font=font, anchor="ma")
        top += height
    return table


def _tile(rgb: np.ndarray, width: int) -> Image.Image:
    height = rgb.shape[0] * width / rgb.shape[1]
    shrink = min(1.0, TALLEST * width / height)
    size = max(1, round(width * shrink)), max(1, round(height * shrink))
    enlarged = rgb.shape[1] < size[0]  # then each pixel shall be seen
    return Image.fromarray(rgb).resize(size, Image.Resampling.NEAREST if enlarged else Image.Resampling.LANCZOS)
