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
from common.evidence.figures.figure import DPI, pixel_figure, settle_texts

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
    grid = _Grid([tile for row in rows for tile in row if tile is not None], side)
    grid.left += max([text_size(text)[0] for text in row_titles] or [-GAP]) + GAP
    if title:
        grid.say(MARGIN, MARGIN, title, "left")
        grid.top += text_size(title)[1] + GAP
    if columns:
        grid.put_heads(columns)
    for number, row in enumerate(rows):
        if block and number and not number % block:
            grid.top += GAP + MARGIN
        grid.put_row(row, row_titles[number] if row_titles else "")
    return grid.figure(grid.x(max(map(len, rows))) - GAP - grid.edge)


class _Grid:
    """Where everything of a sheet goes, from the top downwards, in pixels.

    left is where the first column's images begin, top where the next row begins.
    """

    def __init__(self, tiles: Sequence[Tile], side: int) -> None:
        self.images = {id(tile): fitted(tile.image, side) for tile in tiles}
        self.height, self.width = np.max([one.shape[:2] for one in self.images.values()], axis=0)
        self.edge = BORDER if any(tile.border for tile in tiles) else 1
        self.left, self.top = MARGIN + self.edge, MARGIN
        self.painted: List[Tuple[int, int, np.ndarray]] = []  # y, x and pixels, in their order
        self.words: List[Tuple[float, float, str, str]] = []  # x, y, text, and where of it x is

    def say(self, x: float, y: float, text: str, align: str) -> None:
        self.words.append((x, y, text, align))

    def x(self, column: int) -> int:
        return self.left + column * (int(self.width) + 2 * self.edge + GAP)

    def put_heads(self, columns: Sequence[Column]) -> None:
        """Titles centred over their columns, on one line at the bottom, and coloured strips."""
        heads = [wrapped(column.title, self.width + GAP) for column in columns]
        deepest = max(text_size(head)[1] for head in heads)
        colored = any(column.color for column in columns)
        for number, (head, column) in enumerate(zip(heads, columns)):
            y = self.top + deepest - text_size(head)[1]
            self.say(self.x(number) + self.width / 2, y, head, "center")
            if colored:
                strip = np.full((STRIP, self.width, 3), column.color or PAPER, np.uint8)
                self.painted.append((self.top + deepest + GAP, self.x(number), strip))
        self.top += deepest + GAP + (STRIP + GAP if colored else 0)

    def put_row(self, row: Sequence[Optional[Tile]], title: str) -> None:
        """A row's tiles with their captions; its title is left of the first."""
        y, deepest = self.top + self.edge, 0
        for column, tile in enumerate(row):
            if tile is None:
                continue
            image, x = self.images[id(tile)], self.x(column)
            if title:
                middle = y + (self.height - text_size(title)[1]) / 2
                self.say(x - self.edge - GAP, middle, title, "right")
                title = ""
            rim = self.edge if tile.border else 1
            high, wide = image.shape[:2]
            frame = np.full((high + 2 * rim, wide + 2 * rim, 3), tile.border or HAIRLINE, np.uint8)
            self.painted += [(y - rim, x - rim, frame), (y, x, image)]
            if tile.caption:
                caption = wrapped(tile.caption, self.width)
                self.say(x, y + self.height + self.edge + 2, caption, "left")
                deepest = max(deepest, text_size(caption)[1] + 2)
        self.top = int(y + self.height + self.edge + deepest + GAP)

    def figure(self, right: int) -> Figure:
        left = [x + text_size(text)[0] for x, _, text, align in self.words if align == "left"]
        ground = blank(self.top - GAP + MARGIN, int(max([right, *left])) + MARGIN)
        for top, start, pixels in self.painted:
            ground[top : top + len(pixels), start : start + pixels.shape[1]] = pixels
        figure, axes = pixel_figure(ground)
        for x, y, text, align in self.words:
            write(axes, x, y, text, align=align)
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
    drawn = figure.text(0, 0, text, fontsize=size * 72 / DPI, linespacing=1.15)
    settle_texts(figure)
    box = drawn.get_window_extent(FigureCanvasAgg(figure).get_renderer())
    lines = text.count("\n") + 1
    return int(np.ceil(box.width)), max(int(np.ceil(box.height)), int(np.ceil(1.2 * size * lines)))


def wrapped(text: str, width: float) -> str:
    """Breaks a text so that its lines are at most `width` pixels, inside of words if need be."""
    lines: List[str] = []
    for line in text.split("\n"):
        while len(line) > 1 and text_size(line)[0] > width:
            fitting = 1
            while text_size(line[: fitting + 1])[0] <= width:
                fitting += 1
            blank_at = line.rfind(" ", 0, fitting + 1)
            cut = blank_at if blank_at > 0 else fitting
            lines.append(line[:cut].rstrip())
            line = line[cut:].lstrip()
        lines.append(line)
    return "\n".join(lines)
