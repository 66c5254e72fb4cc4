"""Pictures with words: blocks of tiles with headings and captions, and scales that say which colour is which number."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pixace.evaluation.colour_map import STEPS, colour_map

TITLE, TEXT = 20, 14  # heights of letters in pixels
MARGIN, GAP = 16, 10
INK, PAPER, FRAME = "#202020", "white", "#b0b0b0"


@dataclass(frozen=True)
class Tile:
    """A picture, uint8 (S, S, 3), and the words under it."""

    rgb: np.ndarray
    caption: str = ""


@dataclass(frozen=True)
class Block:
    """Rows of tiles, all of one number of columns, under a heading for each column and one for all."""

    rows: Sequence[Sequence[Tile | None]]
    headings: Sequence[str] = ()
    title: str = ""
    width: int = field(default=112)
    """Edge of a tile in pixels, at least; small pictures are enlarged by a whole number."""

    def draw(self) -> Image.Image:
        """The block as a picture."""
        edge = self._edge()
        column = max(edge, *(round(_width(text)) for text in self._texts())) + GAP
        n_columns, line = max(map(len, self.rows)), TEXT + 6
        captions = line if any(tile and tile.caption for row in self.rows for tile in row) else 0
        top = (line if self.title else 0) + (line if self.headings else 0)
        height = top + len(self.rows) * (edge + captions + GAP)
        wide = max(n_columns * column, math.ceil(_width(self.title)) + GAP)
        canvas = Image.new("RGB", (wide, height), PAPER)
        draw = ImageDraw.Draw(canvas)
        draw.text((0, 0), self.title, fill=INK, font=_font(TEXT))
        for x, heading in enumerate(self.headings):
            draw.text((x * column, top - line), heading, fill=INK, font=_font(TEXT))
        for y, row in enumerate(self.rows):
            for x, tile in enumerate(row):
                if tile is not None:
                    place = (x * column, top + y * (edge + captions + GAP))
                    canvas.paste(_scaled(tile.rgb, edge), place)
                    draw.rectangle((*place, place[0] + edge - 1, place[1] + edge - 1), outline=FRAME)
                    draw.text((place[0], place[1] + edge + 3), tile.caption, fill=INK, font=_font(TEXT))
        return canvas

    def _edge(self) -> int:
        size = next(tile.rgb.shape[1] for row in self.rows for tile in row if tile is not None)
        return size * math.ceil(self.width / size) if size < self.width else min(size, 2 * self.width)

    def _texts(self) -> list[str]:
        return [*self.headings, *(tile.caption for row in self.rows for tile in row if tile is not None), ""]


def scale_bar(height: int, low: float, high: float, unit: str) -> Image.Image:
    """The colours from `low` (bottom) to `high` (top), with round numbers beside them and the unit above."""
    ticks = round_numbers(low, high)
    digits = max(0, -math.floor(math.log10(ticks[1] - ticks[0]))) if len(ticks) > 1 else 2
    labels = [f"{tick:.{digits}f}" for tick in ticks]
    top, bar = TEXT + 12, 22
    width = math.ceil(max(_width(unit), bar + 12 + max(map(_width, labels)))) + 4
    canvas = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(canvas)
    draw.text((0, 0), unit, fill=INK, font=_font(TEXT))
    length = height - top - TEXT // 2
    strip = colour_map()[np.linspace(STEPS - 1, 0, length).round().astype(int)]
    canvas.paste(Image.fromarray(np.repeat(strip[:, None], bar, axis=1)), (0, top))
    for tick, label in zip(ticks, labels, strict=True):
        y = top + round((length - 1) * (high - tick) / (high - low if high > low else 1.0))
        draw.line((bar, y, bar + 5, y), fill=INK)
        draw.text((bar + 9, y), label, fill=INK, font=_font(TEXT), anchor="lm")
    return canvas


def round_numbers(low: float, high: float, most: int = 8) -> list[float]:
    """At most `most` numbers from `low` to `high` in steps of 1, 2 or 5 times a power of ten."""
    if not high > low:
        return [low]
    least = (high - low) / (most - 1)
    power = 10.0 ** math.floor(math.log10(least))
    step = min(power * factor for factor in (1, 2, 5, 10, 20) if power * factor >= least)
    return [i * step for i in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def page(title: str, parts: Sequence[Image.Image], notes: Sequence[str] = ()) -> Image.Image:
    """Parts side by side under a title, and lines of text below them."""
    line = TEXT + 6
    width = max(sum(part.width for part in parts) + 2 * MARGIN * (len(parts) - 1), math.ceil(_width(title, TITLE)))
    width = max([width, *(math.ceil(_width(note)) for note in notes)]) + 2 * MARGIN
    top, height = MARGIN + TITLE + GAP + 2, max(part.height for part in parts)
    canvas = Image.new("RGB", (width, top + height + line * len(notes) + MARGIN), PAPER)
    draw, x = ImageDraw.Draw(canvas), MARGIN
    draw.text((MARGIN, MARGIN - 4), title, fill=INK, font=_font(TITLE))
    for part in parts:
        canvas.paste(part, (x, top))
        x += part.width + 2 * MARGIN
    for i, note in enumerate(notes):
        draw.text((MARGIN, top + height + i * line + 4), note, fill=INK, font=_font(TEXT))
    return canvas


def shortened(name: str, width: int) -> str:
    """A file's name without its folder, its front cut off where it would be wider than `width` pixels."""
    text = name.replace("\\", "/").rpartition("/")[2]
    while _width(text) > width and len(text) > 4:
        text = "..." + text.removeprefix("...")[1:]
    return text


def _scaled(rgb: np.ndarray, edge: int) -> Image.Image:
    kind = Image.Resampling.NEAREST if edge >= rgb.shape[1] else Image.Resampling.BOX
    return Image.fromarray(rgb).resize((edge, edge), kind)


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=size)


def _width(text: str, size: int = TEXT) -> float:
    return _font(size).getlength(text)
