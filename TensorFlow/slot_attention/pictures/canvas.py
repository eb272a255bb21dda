"""What all pictures are made of: Pillow, letters, colours, tiles in a grid, PNG files."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from common.errors import ZooError
from common.files import save_atomically

Color = Tuple[int, int, int]
PAPER: Color = (255, 255, 255)
INK: Color = (45, 45, 45)
HAIRLINE: Color = (222, 222, 222)  # around tiles, which may be white
# Far apart on white, also for most colour-blind readers; slots beyond them start over.
PALETTE: Tuple[Color, ...] = (
    (78, 121, 167), (242, 142, 43), (225, 87, 89), (118, 183, 178), (89, 161, 79), (237, 201, 72),
    (176, 122, 161), (255, 157, 167), (156, 117, 95), (186, 176, 172), (31, 59, 115),
    (134, 188, 37))
TEXT_SIZE = 13
LINE_SPACING = 2
GAP = 6  # between tiles
MARGIN = 12
STRIP = 4  # height of the coloured strip under a slot's title
LEAST_TILE = 128  # smaller images are enlarged, by the whole factor that stays within this


def require_pillow() -> None:
    """Raises ZooError where Pillow is missing, before any work is done for a picture."""
    try:
        import PIL  # noqa: F401
    except ImportError as error:
        raise ZooError("pictures need Pillow, which is not installed; run `pip install pillow` "
                       "or install the extra data") from error


def slot_color(number: int) -> Color:
    """The colour of a slot, the same in every picture."""
    return PALETTE[number % len(PALETTE)]


def as_pixels(images: np.ndarray) -> np.ndarray:
    """Images in [-1, 1] as uint8; what lies outside, as reconstructions may, is clipped."""
    return to_bytes((np.asarray(images, np.float32) + 1) / 2)


def to_bytes(values: np.ndarray) -> np.ndarray:
    """Values in [0, 1] as uint8; what lies outside is clipped, nan is black."""
    return np.rint(np.clip(np.nan_to_num(values), 0, 1) * 255).astype(np.uint8)


def whole_scale(height: int) -> int:
    """The whole factor that brings an image of this height to at most LEAST_TILE."""
    return max(1, LEAST_TILE // height)


def enlarged(picture: np.ndarray, scale: int) -> np.ndarray:
    """Repeats every pixel: (height, width, 3) to (height * scale, width * scale, 3)."""
    return picture.repeat(scale, axis=0).repeat(scale, axis=1)


class Column(NamedTuple):
    """A column of a grid: its title, and the colour of the strip below the title."""

    title: str
    color: Optional[Color] = None


class PlacedText(NamedTuple):
    """A text and where its upper left corner goes."""

    x: int
    y: int
    text: str


def grid(columns: Sequence[Column], rows: Sequence[Sequence[Optional[np.ndarray]]],
         row_titles: Sequence[str], blocks: Sequence[int]) -> np.ndarray:
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
                sheet[y - 1:y + height + 1, x - 1:x + width + 1] = HAIRLINE
                sheet[y:y + height, x:x + width] = tile
    for x, column in zip(lefts, columns):
        if column.color is not None:
            sheet[top - GAP - STRIP:top - GAP, x:x + width] = column.color
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


def _column_titles(heads: Sequence[str], lefts: Sequence[int], width: int, bottom: int,
                   font: Any) -> List[PlacedText]:
    """Centred over their tiles, on one line at the bottom."""
    sizes = [text_size(head, font) for head in heads]
    return [PlacedText(x + (width - wide) // 2, bottom - high, head)
            for head, x, (wide, high) in zip(heads, lefts, sizes)]


def _row_titles(titles: Sequence[str], starts: Sequence[int], tops: Sequence[int], height: int,
                font: Any) -> List[PlacedText]:
    """To the left of the row's first tile, in the middle of its height."""
    sizes = [text_size(title, font) for title in titles]
    return [PlacedText(x - wide, y + (height - high) // 2, title)
            for title, x, y, (wide, high) in zip(titles, starts, tops, sizes)]


def _with_titles(sheet: np.ndarray, titles: Sequence[PlacedText], font: Any) -> np.ndarray:
    image, pen = drawing(sheet)
    for x, y, title in titles:
        pen.multiline_text((x, y), title, fill=INK, font=font, align="center",
                           spacing=LINE_SPACING)
    return np.asarray(image)


def blank(height: int, width: int) -> np.ndarray:
    """An empty sheet, uint8 (height, width, 3)."""
    return np.full((height, width, 3), PAPER, np.uint8)


def drawing(picture: np.ndarray) -> Tuple[Any, Any]:
    """A Pillow image of an array, and a pen to draw on it."""
    require_pillow()
    from PIL import Image, ImageDraw

    image = Image.fromarray(np.ascontiguousarray(picture))
    return image, ImageDraw.Draw(image)


def letters(size: int = TEXT_SIZE) -> Any:
    """Pillow's own font; Pillow before 10.1, or without FreeType, has it in one size only."""
    require_pillow()
    from PIL import ImageFont

    try:
        return ImageFont.load_default(size)
    except (TypeError, ImportError):
        return ImageFont.load_default()


def text_size(text: str, font: Any) -> Tuple[int, int]:
    """Width and height in pixels of a text, of one line or several; lines are equally high."""
    _, pen = drawing(blank(1, 1))
    right = pen.multiline_textbbox((0, 0), text, font=font, spacing=LINE_SPACING)[2]
    line = pen.textbbox((0, 0), "Ag", font=font)[3]
    lines = text.count("\n") + 1
    return int(np.ceil(right)), int(np.ceil(line * lines + LINE_SPACING * (lines - 1)))


def wrapped(text: str, width: int, font: Any) -> str:
    """Breaks a text between words so that its lines are at most width pixels, where words allow."""
    lines: List[str] = []
    for word in text.split():
        longer = "{} {}".format(lines[-1], word) if lines else word
        if lines and text_size(longer, font)[0] <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return "\n".join(lines)


def save_png(path: Path, picture: np.ndarray) -> None:
    """Writes a picture, uint8 (height, width, 3), as a PNG file, whole or not at all."""
    image, _ = drawing(picture)
    save_atomically(Path(path), lambda stream: image.save(stream, format="PNG"))


def png_bytes(picture: np.ndarray) -> bytes:
    """A picture as the content of a PNG file, for TensorBoard."""
    stream = io.BytesIO()
    drawing(picture)[0].save(stream, format="PNG")
    return stream.getvalue()


def read_png(path: Path) -> np.ndarray:
    """Reads a picture back: uint8 (height, width, 3).

    Raises:
        ZooError: the file is missing or no picture.
    """
    require_pillow()
    from PIL import Image

    try:
        with Image.open(str(path)) as image:
            return np.array(image.convert("RGB"))
    except OSError as error:
        raise ZooError("{} can't be read as a picture: {}".format(path, error)) from error
