"""Images in a grid with captions and titles, pixel by pixel."""

from __future__ import annotations

from functools import lru_cache
from typing import List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from common.evidence.figures.colors import HAIRLINE, INK, PAPER, Color, web_color
from common.evidence.figures.figure import DPI, pixel_figure
from common.evidence.figures.fonts import drawable

TEXT_SIZE = 13  # pixels
GAP = 6  # between tiles, and between a tile and its words
MARGIN = 12
SIDE = 128  # of a tile, at most
STRIP = 4  # height of the coloured strip under a column's title
BORDER = 4


class Tile(NamedTuple):
    """An image of a sheet: uint8 (h, w), (h, w, 1) or (h, w, 3), what is written below, a border.

    Lines of the caption are broken between words so that they are no wider than the tile.
    """

    image: np.ndarray
    caption: str = ""
    border: Optional[Color] = None


class Column(NamedTuple):
    """A column's title, and the colour of the strip below it."""

    title: str
    color: Optional[Color] = None


def sheet(
    rows: Sequence[Sequence[Optional[Tile]]],
    columns: Sequence[Column] = (),
    row_titles: Sequence[str] = (),
    title: str = "",
    block: int = 0,
    side: int = SIDE,
) -> Figure:
    """Puts tiles in a grid. The figure's axes are in pixels, for what else is to be drawn.

    Args:
        rows: of each row its tiles; None for an empty place.
        columns: a title for each column, or none at all.
        row_titles: left of each row; may have several lines.
        block: rows that belong together; more space is left between blocks. 0: all do.
        side: the longer side of a tile, at most: smaller images are enlarged by a whole factor, so
            that their pixels stay sharp, larger ones reduced.
    """
    drawn = [[None if tile is None else fitted(tile.image, side) for tile in row] for row in rows]
    sizes = [image.shape for row in drawn for image in row if image is not None]
    height, width = max(size[0] for size in sizes), max(size[1] for size in sizes)
    bordered = any(tile is not None and tile.border for row in rows for tile in row)
    edge = BORDER if bordered else 1
    words: List[Tuple[float, float, str, str]] = []  # x, y, text, where x is: left, center, right
    heads = [wrapped(column.title, width + GAP) for column in columns]
    left = MARGIN + max([text_size(text)[0] for text in row_titles] or [-GAP]) + GAP + edge
    top = MARGIN + (text_size(title)[1] + GAP if title else 0)
    if title:
        words.append((MARGIN, MARGIN, title, "left"))
    step = width + GAP + 2 * edge
    if heads:
        high = max(text_size(head)[1] for head in heads)
        for number, head in enumerate(heads):
            y = top + high - text_size(head)[1]
            words.append((left + number * step + width / 2, y, head, "center"))
        top += high + GAP + (STRIP + GAP if any(column.color for column in columns) else 0)
    places: List[Tuple[int, int, np.ndarray, Color]] = []
    y = top + edge
    for number, (row, images) in enumerate(zip(rows, drawn)):
        if block and number and not number % block:
            y += GAP + MARGIN
        first = next((place for place, tile in enumerate(row) if tile is not None), 0)
        if row_titles:
            high = text_size(row_titles[number])[1]
            x = left + first * step - edge - GAP
            words.append((x, y + (height - high) / 2, row_titles[number], "right"))
        deep = 0
        for place, (tile, image) in enumerate(zip(row, images)):
            if tile is None or image is None:
                continue
            places.append((y, left + place * step, image, tile.border or HAIRLINE))
            if tile.caption:
                caption = wrapped(tile.caption, width)
                words.append((left + place * step, y + height + edge + 2, caption, "left"))
                deep = max(deep, text_size(caption)[1] + 2)
        y += height + 2 * edge + GAP + deep
    wide = max(map(len, rows))
    right = max([left + wide * step - GAP] + [MARGIN + text_size(title)[0] for _ in (1,) if title])
    ground = blank(y - GAP - edge + MARGIN, right - edge + MARGIN)
    for at_y, at_x, image, color in places:
        h, w = image.shape[:2]
        rim = edge if color != HAIRLINE else 1
        ground[at_y - rim : at_y + h + rim, at_x - rim : at_x + w + rim] = color
        ground[at_y : at_y + h, at_x : at_x + w] = image
    for number, column in enumerate(columns):
        if column.color is not None:
            x = left + number * step
            ground[top - GAP - STRIP : top - GAP, x : x + width] = column.color
    figure, axes = pixel_figure(ground)
    for x, y_text, text, side_of in words:
        write(axes, x, y_text, text, align=side_of)
    return figure


def blank(height: int, width: int) -> np.ndarray:
    """Empty paper, uint8 (height, width, 3)."""
    return np.full((height, width, 3), PAPER, np.uint8)


def fitted(image: np.ndarray, side: int = SIDE) -> np.ndarray:
    """An image as uint8 (h, w, 3) whose longer side is at most `side`.

    Small images are enlarged by a whole factor, larger ones reduced in their proportions.
    """
    image = image[..., None] if image.ndim == 2 else image
    image = np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image
    longer = max(image.shape[:2])
    if longer <= side:
        factor = side // longer
        return image.repeat(factor, axis=0).repeat(factor, axis=1)
    height, width = (max(1, round(length * side / longer)) for length in image.shape[:2])
    reduced = Image.fromarray(np.ascontiguousarray(image)).resize(
        (width, height), Image.Resampling.LANCZOS
    )
    return np.asarray(reduced)


def write(
    axes: Axes,
    x: float,
    y: float,
    text: str,
    size: float = TEXT_SIZE,
    color: Color = INK,
    align: str = "left",
) -> Text:
    """Writes on a pixel figure: (x, y) is the upper left corner, or upper middle or right one."""
    return axes.text(
        x,
        y,
        text,
        fontsize=size * 72 / DPI,
        color=web_color(color),
        horizontalalignment=align,
        multialignment="left" if align == "left" else "center",
        verticalalignment="top",
        linespacing=1.15,
    )


@lru_cache(maxsize=4096)
def text_size(text: str, size: float = TEXT_SIZE) -> Tuple[int, int]:
    """Width and height in pixels of a text of one line or several, as `write` draws it."""
    figure = Figure(dpi=DPI)
    shown, font = drawable(text)
    drawn = figure.text(0, 0, shown, fontsize=size * 72 / DPI, linespacing=1.15)
    if font is not None:
        properties = drawn.get_fontproperties().copy()
        properties.set_file(font)
        drawn.set_fontproperties(properties)
    box = drawn.get_window_extent(FigureCanvasAgg(figure).get_renderer())
    lines = text.count("\n") + 1
    return int(np.ceil(box.width)), max(int(np.ceil(box.height)), int(np.ceil(1.2 * size * lines)))


def wrapped(text: str, width: float, size: float = TEXT_SIZE) -> str:
    """Breaks a text so that its lines are at most `width` pixels, inside of words if need be."""
    lines: List[str] = []
    for line in text.split("\n"):
        current = ""
        for word in line.split():
            longer = f"{current} {word}".strip()
            if text_size(longer, size)[0] <= width:
                current = longer
                continue
            if current:
                lines.append(current)
            current = word
            while text_size(current, size)[0] > width and len(current) > 1:
                cut = _fitting(current, width, size)
                lines.append(current[:cut])
                current = current[cut:]
        lines.append(current)
    return "\n".join(lines)


def _fitting(word: str, width: float, size: float) -> int:
    """How many of a word's letters fit; at least one."""
    share = width / text_size(word, size)[0]
    count = max(1, min(len(word) - 1, int(len(word) * share)))
    while count > 1 and text_size(word[:count], size)[0] > width:
        count -= 1
    return count
