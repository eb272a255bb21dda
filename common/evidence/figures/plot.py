"""A plot without what it shows: axes with round ticks, grid lines, title, legend."""

from __future__ import annotations

from typing import Any, Callable, List, NamedTuple, Sequence, Tuple

import numpy as np

from common.evidence.figures.canvas import (
    GAP,
    HAIRLINE,
    INK,
    MARGIN,
    Color,
    blank,
    drawing,
    letters,
    text_size,
)

SIZE = (640, 360)  # width and height
SMOOTH = 2  # what is painted is drawn this much larger and reduced
TICKS = 5  # about so many on each axis
KEY = 18  # width of the piece of a line in the legend


class Axis(NamedTuple):
    """The range an axis shows and the numbers written on it, or other texts in their place."""

    low: float
    high: float
    ticks: Tuple[float, ...]
    labels: Tuple[str, ...] = ()

    def texts(self) -> Tuple[str, ...]:
        """What is written at each tick."""
        return self.labels or tuple(as_text(tick) for tick in self.ticks)


class Entry(NamedTuple):
    """A line of the legend: a name and the colour that stands for it."""

    name: str
    color: Color


class Texts(NamedTuple):
    """What is written: the title, the name of the axis that goes across, the legend."""

    title: str
    across: str
    legend: Sequence[Entry] = ()


class Frame(NamedTuple):
    """Where a plot lies in its picture, in pixels, and what its axes show."""

    left: int
    top: int
    right: int
    bottom: int
    across: Axis
    up: Axis

    def place(self, across: float, up: float) -> Tuple[float, float]:
        """The pixel (x, y) of a point of the axes."""
        share = (across - self.across.low) / (self.across.high - self.across.low)
        height = (up - self.up.low) / (self.up.high - self.up.low)
        return (
            self.left + share * (self.right - self.left),
            self.bottom - height * (self.bottom - self.top),
        )


Painter = Callable[[Any, Frame], None]


def plot(
    across: Axis, up: Axis, texts: Texts, paint: Painter, size: Tuple[int, int] = SIZE
) -> np.ndarray:
    """Draws axes, grid and legend around what a function paints.

    Args:
        paint: called with a Pillow pen, which mixes colours that have a fourth value (opacity), and
            the frame; both are SMOOTH times larger than in the picture.
        size: width and height in pixels.

    Returns:
        uint8 (height, width, 3).
    """
    font = letters()
    rows = _legend_rows(texts, size, font)
    wide = max(text_size(text, font)[0] for text in up.texts())
    line = text_size("0", font)[1] + GAP
    frame = Frame(
        MARGIN + wide + GAP,
        MARGIN + 2 * line,
        size[0] - 2 * MARGIN,
        size[1] - MARGIN - (1 + max(len(rows), 1)) * line,
        across,
        up,
    )
    return _written(_painted(frame, size, paint), frame, texts, rows, font)


def nice_axis(low: float, high: float) -> Axis:
    """The smallest range with round ticks (1, 2 or 5 times a power of ten) around low and high."""
    if not high > low:
        low, high = low - max(abs(low), 1) / 2, low + max(abs(low), 1) / 2
    rough = (high - low) / TICKS
    power = 10.0 ** np.floor(np.log10(rough))
    step = power * next(factor for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
    first, last = np.floor(low / step + 1e-9), np.ceil(high / step - 1e-9)
    ticks = tuple(float(round(number * step, 12)) for number in np.arange(first, last + 1))
    return Axis(ticks[0], ticks[-1], ticks)


def as_text(tick: float) -> str:
    """A tick in few letters: 0.25, 20k, 1.5M, 1e-05."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if abs(tick) >= size:
            return f"{tick / size:g}{letter}"
    return f"{tick:g}"


def _painted(frame: Frame, size: Tuple[int, int], paint: Painter) -> np.ndarray:
    """Grid lines and what is painted over them, without letters."""
    from PIL import Image, ImageDraw

    large = frame._replace(
        left=frame.left * SMOOTH,
        top=frame.top * SMOOTH,
        right=frame.right * SMOOTH,
        bottom=frame.bottom * SMOOTH,
    )
    image, _ = drawing(blank(size[1] * SMOOTH, size[0] * SMOOTH))
    pen = ImageDraw.Draw(image, "RGBA")
    for tick in frame.up.ticks:
        y = large.place(frame.across.low, tick)[1]
        pen.line([large.left, y, large.right, y], fill=HAIRLINE, width=SMOOTH)
    paint(pen, large)
    return np.asarray(image.resize(size, Image.Resampling.BOX))


def _written(
    picture: np.ndarray, frame: Frame, texts: Texts, rows: Sequence[Sequence[Entry]], font: Any
) -> np.ndarray:
    image, pen = drawing(picture)
    pen.text((frame.left, MARGIN), texts.title, fill=INK, font=font)
    _write_ticks(pen, frame, font)
    line = text_size("0", font)[1] + GAP
    y = frame.bottom + GAP + line
    pen.text((frame.right - text_size(texts.across, font)[0], y), texts.across, fill=INK, font=font)
    for number, row in enumerate(rows):
        _write_entries(pen, frame.left, y + number * line, row, font)
    return np.asarray(image)


def _write_ticks(pen: Any, frame: Frame, font: Any) -> None:
    high = text_size("0", font)[1]
    for tick, text in zip(frame.up.ticks, frame.up.texts()):
        y = frame.place(frame.across.low, tick)[1]
        pen.text(
            (frame.left - GAP - text_size(text, font)[0], y - high / 2), text, fill=INK, font=font
        )
    for tick, text in zip(frame.across.ticks, frame.across.texts()):
        x = frame.place(tick, frame.up.low)[0]
        pen.text((x - text_size(text, font)[0] / 2, frame.bottom + GAP), text, fill=INK, font=font)


def _write_entries(pen: Any, x: int, y: int, entries: Sequence[Entry], font: Any) -> None:
    """Names, each after a piece of its line."""
    middle = y + text_size("0", font)[1] // 2
    for name, color in entries:
        pen.line([x, middle, x + KEY, middle], fill=color, width=3)
        pen.text((x + KEY + GAP, y), name, fill=INK, font=font)
        x += _entry_width(name, font)


def _entry_width(name: str, font: Any) -> int:
    return KEY + 3 * GAP + text_size(name, font)[0]


def _legend_rows(texts: Texts, size: Tuple[int, int], font: Any) -> List[List[Entry]]:
    """The legend in as many lines as it needs beside the name of the axis."""
    room = size[0] - 5 * MARGIN - 4 * GAP - text_size(texts.across, font)[0]
    rows: List[List[Entry]] = []
    used = room
    for entry in texts.legend:
        wide = _entry_width(entry.name, font)
        if not rows or used + wide > room:
            rows.append([])
            used = 0
        rows[-1].append(entry)
        used += wide
    return rows
