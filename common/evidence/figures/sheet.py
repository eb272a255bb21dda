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
    grid = _Grid(rows, side)
    grid.left += max([text_size(text)[0] for text in row_titles] or [-GAP]) + GAP
    if title:
        grid.say(MARGIN, MARGIN, title, "left")
        grid.top += text_size(title)[1] + GAP
    if columns:
        grid.put_heads(columns)
    for number in range(len(rows)):
        if block and number and not number % block:
            grid.top += GAP + MARGIN
        grid.put_row(number, row_titles[number] if row_titles else "")
    return grid.figure()


class _Grid:
    """Where everything of a sheet goes, from the top downwards, in pixels.

    left is where the first column's images begin, top where the next row begins.
    """

    def __init__(self, rows: Sequence[Sequence[Optional[Tile]]], side: int) -> None:
        self.rows = rows
        self.images = [
            [None if tile is None else fitted(tile.image, side) for tile in row] for row in rows
        ]
        shapes = [image.shape for row in self.images for image in row if image is not None]
        self.height: int = max(shape[0] for shape in shapes)
        self.width: int = max(shape[1] for shape in shapes)
        bordered = any(tile is not None and tile.border for row in rows for tile in row)
        self.edge = BORDER if bordered else 1
        self.left, self.top = MARGIN + self.edge, MARGIN
        self.painted: List[Tuple[int, int, np.ndarray]] = []  # y, x and pixels, in their order
        self.words: List[Tuple[float, float, str, str]] = []  # x, y, text, and where of it x is

    def say(self, x: float, y: float, text: str, align: str) -> None:
        self.words.append((x, y, text, align))

    def x(self, column: int) -> int:
        return self.left + column * (self.width + 2 * self.edge + GAP)

    def put_heads(self, columns: Sequence[Column]) -> None:
        """Titles centred over their columns, on one line at the bottom, and coloured strips."""
        heads = [wrapped(column.title, self.width + GAP) for column in columns]
        deepest = max(text_size(head)[1] for head in heads)
        for number, head in enumerate(heads):
            y = self.top + deepest - text_size(head)[1]
            self.say(self.x(number) + self.width / 2, y, head, "center")
        self.top += deepest + GAP
        if any(column.color for column in columns):
            for number, column in enumerate(columns):
                strip = np.full((STRIP, self.width, 3), column.color or PAPER, np.uint8)
                self.painted.append((self.top, self.x(number), strip))
            self.top += STRIP + GAP

    def put_row(self, number: int, title: str) -> None:
        """A row's tiles with their captions; its title is left of the first."""
        y, deepest = self.top + self.edge, 0
        tiles = [pair for pair in enumerate(self.rows[number]) if pair[1] is not None]
        if title and tiles:
            x = self.x(tiles[0][0]) - self.edge - GAP
            self.say(x, y + (self.height - text_size(title)[1]) / 2, title, "right")
        for column, tile in tiles:
            image = self.images[number][column]
            assert tile is not None and image is not None
            x, rim = self.x(column), self.edge if tile.border else 1
            high, wide = image.shape[:2]
            frame = np.full((high + 2 * rim, wide + 2 * rim, 3), tile.border or HAIRLINE, np.uint8)
            self.painted += [(y - rim, x - rim, frame), (y, x, image)]
            if tile.caption:
                caption = wrapped(tile.caption, self.width)
                self.say(x, y + self.height + self.edge + 2, caption, "left")
                deepest = max(deepest, text_size(caption)[1] + 2)
        self.top = y + self.height + self.edge + deepest + GAP

    def figure(self) -> Figure:
        right = self.x(max(map(len, self.rows))) - GAP - self.edge
        for x, _, text, align in self.words:
            right = max(right, int(x) + text_size(text)[0] if align == "left" else 0)
        ground = blank(self.top - GAP + MARGIN, right + MARGIN)
        for y, x, pixels in self.painted:
            ground[y : y + len(pixels), x : x + pixels.shape[1]] = pixels
        figure, axes = pixel_figure(ground)
        for left, y_text, text, align in self.words:
            write(axes, left, y_text, text, align=align)
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
        while len(line) > 1 and text_size(line, size)[0] > width:
            fitting = 1
            while text_size(line[: fitting + 1], size)[0] <= width:
                fitting += 1
            blank_at = line.rfind(" ", 0, fitting + 1)
            cut = blank_at if blank_at > 0 else fitting
            lines.append(line[:cut].rstrip())
            line = line[cut:].lstrip()
        lines.append(line)
    return "\n".join(lines)
