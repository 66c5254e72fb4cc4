"""Ratings as a table of text, as CSV, and as a contact sheet."""

import csv
import io
import os
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pixace.clip.rating import Rating
from pixace.errors import ConfigError, PixaceError
from pixace.opening import open_picture

PICTURE_NAME, COLUMN_NAME = 30, 20  # longest in the table
TILE, MARGIN, LINE = 160, 8, 14  # pixels of the sheet: a picture's edge, round it, a line of its caption
SHOWN = 3  # columns that agree best, in a caption
_STATISTICS = {
    "mean": np.mean,
    "std": lambda values: np.std(values, ddof=1) if len(values) > 1 else np.nan,
    "min": np.min,
    "25%": lambda values: np.percentile(values, 25),
    "50%": np.median,
    "75%": lambda values: np.percentile(values, 75),
    "max": np.max,
}


def check_column(column: int, count: int) -> None:
    """Raise `ConfigError` unless there is such a column, counted from 1 and negative to fall, or it is 0."""
    if abs(column) > count:
        raise ConfigError(f"--sort={column}: there are {count} columns")


def order(rating: Rating, column: int) -> list[int]:
    """The order of the pictures: by a column, counted from 1, falling where it is negative; 0: by name.

    Raises:
        ConfigError: there is no such column.
    """
    if not column:
        return sorted(range(len(rating.pictures)), key=lambda i: rating.pictures[i])
    check_column(column, len(rating.columns))
    values = rating.similarities[:, abs(column) - 1]
    return [int(i) for i in np.argsort(values if column > 0 else -values, kind="stable")]


def table(rating: Rating, rows: Sequence[int]) -> str:
    """The similarities, a line a picture, then each column's statistics; the folder of all pictures is left out."""
    pictures = _without_common_folder(rating.pictures)
    columns = [_end(name, COLUMN_NAME) if os.sep in name else _begin(name, COLUMN_NAME) for name in rating.columns]
    lines = [["", *columns]]
    lines += [[_end(pictures[i], PICTURE_NAME), *(f"{value:.2f}" for value in rating.similarities[i])] for i in rows]
    lines += [[]]
    lines += [["count", *[str(len(rating.pictures))] * len(columns)]]
    for name, statistic in _STATISTICS.items():
        lines.append([name, *(f"{statistic(column):.2f}" for column in rating.similarities.T)])
    widths = [max(len(line[i]) for line in lines if line) for i in range(len(columns) + 1)]

    def aligned(line: list[str]) -> str:
        if not line:
            return ""
        first, *rest = (cell.rjust(width) for cell, width in zip(line, widths, strict=True))
        return "  ".join([first.strip().ljust(widths[0]), *rest]).rstrip()

    return "\n".join(map(aligned, lines))


def as_csv(rating: Rating, rows: Sequence[int]) -> str:
    """Whole names, a line a picture."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["file", *rating.columns])
    writer.writerows([rating.pictures[i], *(f"{value:.6g}" for value in rating.similarities[i])] for i in rows)
    return text.getvalue()


def contact_sheet(rating: Rating, rows: Sequence[int], columns: int = 6) -> Image.Image:
    """The pictures in order, each with its name and the columns that agree best with it."""
    names = _without_common_folder(rating.pictures)
    shown = min(SHOWN, len(rating.columns))
    columns = min(columns, len(rows))
    cell = TILE + 2 * MARGIN, TILE + 2 * MARGIN + LINE * (shown + 1)
    sheet = Image.new("RGB", (cell[0] * columns, cell[1] * -(-len(rows) // columns)), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=11)
    for place, i in enumerate(rows):
        x, y = cell[0] * (place % columns) + MARGIN, cell[1] * (place // columns) + MARGIN
        try:
            tile = open_picture(rating.pictures[i])
        except PixaceError:  # gone since it was rated
            tile = Image.new("RGB", (TILE, TILE), "grey")
        tile.thumbnail((TILE, TILE), Image.Resampling.LANCZOS)
        sheet.paste(tile, (x + (TILE - tile.width) // 2, y + (TILE - tile.height) // 2))
        best = np.argsort(-rating.similarities[i], kind="stable")[:shown]
        caption = [
            _end(names[i], 28),
            *(f"{rating.similarities[i, j]:.1f} {_begin(rating.columns[j], 24)}" for j in best),
        ]
        for k, line in enumerate(caption):
            draw.text((x, y + TILE + 2 + LINE * k), line, "black" if k else "dimgrey", font)
    return sheet


def _without_common_folder(names: Sequence[str]) -> list[str]:
    folders = {os.path.dirname(name) for name in names}
    if len(names) < 2 or not all(folders):
        return list(names)
    try:
        common = os.path.commonpath(list(folders))
    except ValueError:  # paths of different kinds
        return list(names)
    return [name[len(common) :].lstrip(os.sep) if common and name.startswith(common) else name for name in names]


def _begin(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 2] + ".."


def _end(text: str, length: int) -> str:
    return text if len(text) <= length else ".." + text[2 - length :]
