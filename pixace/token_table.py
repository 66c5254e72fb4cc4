"""A table of pictures with a caption under each: what tokenizing leaves of them."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

MARGIN = 4


def token_table(rows: list[list[tuple[np.ndarray, str]]], width: int) -> Image.Image:
    """Draw rows of (uint8 (H, W, 3), caption); each tile is `width` pixels wide and keeps its proportions."""
    font = ImageFont.load_default(size=max(10, width // 16))
    caption = font.getbbox("Ag")[3] + 2 * MARGIN
    heights = [max(round(rgb.shape[0] * width / rgb.shape[1]) for rgb, _ in row) for row in rows]
    size = (len(rows[0]) * (width + MARGIN) + MARGIN, sum(h + caption + MARGIN for h in heights) + MARGIN)
    table = Image.new("RGB", size, "white")
    draw, top = ImageDraw.Draw(table), MARGIN
    for row, height in zip(rows, heights, strict=True):
        for column, (rgb, text) in enumerate(row):
            left = MARGIN + column * (width + MARGIN)
            enlarge = rgb.shape[1] < width
            tile = Image.fromarray(rgb).resize(
                (width, max(1, round(rgb.shape[0] * width / rgb.shape[1]))),
                Image.Resampling.NEAREST if enlarge else Image.Resampling.LANCZOS,
            )
            table.paste(tile, (left, top))
            draw.text((left, top + height + MARGIN), text, fill="black", font=font)
        top += height + caption + MARGIN
    return table
