"""Tiles of one size in a grid with titles."""

from __future__ import annotations

from typing import Any, List, NamedTuple, Optional, Sequence

import numpy as np

from common.evidence.figures.canvas import (
    GAP,
    HAIRLINE,
    INK,
    LINE_SPACING,
    MARGIN,
    Color,
    blank,
    drawing,
    letters,
    text_size,
    wrapped,
)

STRIP = 4  # height of the coloured strip under a slot's title


class Column(NamedTuple):
    """A column of a grid: its title, and the colour of the strip below the title."""

    title: str
    color: Optional[Color] = None


class PlacedText(NamedTuple):
    """A text and where its upper left corner goes."""

    x: int
    y: int
    text: str


def grid(
    columns: Sequence[Column],
    rows: Sequence[Sequence[Optional[np.ndarray]]],
    row_titles: Sequence[str],
    blocks: Sequence[int],
) -> np.ndarray:
    """Puts tiles of one size in a grid with titles; returns uint8 (height, width, 3).

    Args:
        rows: of each row one tile per column, uint8 (height, width, 3), or None for an empty place.
        row_titles: left of each row; may have several lines.
        blocks: how many rows each block has; more space is left between blocks.
    """
    font = letters()
    height, width = next(tile.shape[:2] for row in rows for tile in row if tile is not None)
    left = MARGIN + max(text_size(title, font)[0] for title in row_titles) + GAP
    heads = [wrapped(column.title, width + GAP - 2, font) for column in columns]
    top = MARGIN + max(text_size(head, font)[1] for head in heads) + GAP + STRIP + GAP
    tops = _row_tops(blocks, top, height)
    lefts = [left + GAP + number * (width + GAP) for number in range(len(columns))]
    sheet = blank(tops[-1] + height + MARGIN, lefts[-1] + width + MARGIN)
    for y, row in zip(tops, rows):
        for x, tile in zip(lefts, row):
            if tile is not None:
                sheet[y - 1 : y + height + 1, x - 1 : x + width + 1] = HAIRLINE
                sheet[y : y + height, x : x + width] = tile
    for x, column in zip(lefts, columns):
        if column.color is not None:
            sheet[top - GAP - STRIP : top - GAP, x : x + width] = column.color
    titles = _column_titles(heads, lefts, width, top - GAP - STRIP - GAP, font)
    starts = [lefts[_first_tile(row)] - GAP for row in rows]
    titles += _row_titles(row_titles, starts, tops, height, font)
    return _with_titles(sheet, titles, font)


def _row_tops(blocks: Sequence[int], top: int, height: int) -> List[int]:
    tops = []
    for block in blocks:
        tops.extend(top + row * (height + GAP) for row in range(block))
        top = tops[-1] + height + 2 * GAP + MARGIN
    return tops


def _first_tile(row: Sequence[Optional[np.ndarray]]) -> int:
    return next(number for number, tile in enumerate(row) if tile is not None)


def _column_titles(
    heads: Sequence[str], lefts: Sequence[int], width: int, bottom: int, font: Any
) -> List[PlacedText]:
    """Centred over their tiles, on one line at the bottom."""
    sizes = [text_size(head, font) for head in heads]
    return [
        PlacedText(x + (width - wide) // 2, bottom - high, head)
        for head, x, (wide, high) in zip(heads, lefts, sizes)
    ]


def _row_titles(
    titles: Sequence[str], starts: Sequence[int], tops: Sequence[int], height: int, font: Any
) -> List[PlacedText]:
    """To the left of the row's first tile, in the middle of its height."""
    sizes = [text_size(title, font) for title in titles]
    return [
        PlacedText(x - wide, y + (height - high) // 2, title)
        for title, x, y, (wide, high) in zip(titles, starts, tops, sizes)
    ]


def _with_titles(sheet: np.ndarray, titles: Sequence[PlacedText], font: Any) -> np.ndarray:
    image, pen = drawing(sheet)
    for x, y, title in titles:
        pen.multiline_text((x, y), title, fill=INK, font=font, align="center", spacing=LINE_SPACING)
    return np.asarray(image)
