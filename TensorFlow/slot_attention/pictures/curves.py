"""Curves of a value over training steps, one line per seed or split."""

from __future__ import annotations

from typing import Any, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from slot_attention.pictures.canvas import (
    GAP,
    HAIRLINE,
    INK,
    MARGIN,
    blank,
    drawing,
    letters,
    slot_color,
    text_size,
)

WIDTH, HEIGHT = 640, 360
SMOOTH = 2  # lines are drawn this much larger and reduced
TICKS = 5  # about so many on each axis
DASH = 6


class Curve(NamedTuple):
    """A line: its name, and its values at training steps; nan makes a gap."""

    name: str
    steps: Sequence[float]
    values: Sequence[float]


class Axis(NamedTuple):
    """The range an axis shows and the numbers written on it."""

    low: float
    high: float
    ticks: Tuple[float, ...]


class _Frame(NamedTuple):
    """Where the plot lies in the picture, in pixels, and what its axes show."""

    left: int
    top: int
    right: int
    bottom: int
    steps: Axis
    values: Axis

    def place(self, step: float, value: float) -> Tuple[float, float]:
        across = (step - self.steps.low) / (self.steps.high - self.steps.low)
        up = (value - self.values.low) / (self.values.high - self.values.low)
        return (self.left + across * (self.right - self.left),
                self.bottom - up * (self.bottom - self.top))


def curve_picture(curves: Sequence[Curve], title: str, threshold: Optional[float] = None,
                  limits: Optional[Tuple[float, float]] = None) -> np.ndarray:
    """Draws curves with a title, axes and a legend; returns uint8 (HEIGHT, WIDTH, 3).

    Args:
        curves: one per seed, for example, up to about six; they have the slots' colours.
        threshold: a value to mark with a dashed line, in the range drawn.
        limits: the lowest and highest value drawn; default: what the curves need.
    """
    font = letters()
    steps = _finite([curve.steps for curve in curves])
    marked = [] if threshold is None else [threshold]
    values = _finite([curve.values for curve in curves] + [marked])
    value_axis = nice_axis(*(limits or (values.min(), values.max())))
    wide = max(text_size(as_text(tick), font)[0] for tick in value_axis.ticks)
    high = text_size("0", font)[1]
    frame = _Frame(MARGIN + wide + GAP, MARGIN + 2 * (high + GAP), WIDTH - 2 * MARGIN,
                   HEIGHT - MARGIN - 2 * (high + GAP), nice_axis(steps.min(), steps.max()),
                   value_axis)
    return _written(_lines(frame, curves, threshold), frame, curves, title, font)


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
            return "{:g}{}".format(tick / size, letter)
    return "{:g}".format(tick)


def _finite(rows: Sequence[Sequence[float]]) -> np.ndarray:
    """All finite numbers of the rows; 0 where there are none."""
    numbers = np.concatenate([np.asarray(row, np.float64).ravel() for row in rows])
    numbers = numbers[np.isfinite(numbers)]
    return numbers if len(numbers) else np.zeros(1)


def _lines(frame: _Frame, curves: Sequence[Curve], threshold: Optional[float]) -> np.ndarray:
    """Grid, threshold and curves, without letters."""
    from PIL import Image

    large = frame._replace(left=frame.left * SMOOTH, top=frame.top * SMOOTH,
                           right=frame.right * SMOOTH, bottom=frame.bottom * SMOOTH)
    image, pen = drawing(blank(HEIGHT * SMOOTH, WIDTH * SMOOTH))
    for tick in frame.values.ticks:
        y = large.place(frame.steps.low, tick)[1]
        pen.line([large.left, y, large.right, y], fill=HAIRLINE, width=SMOOTH)
    if threshold is not None:
        _dashed(pen, large, threshold)
    for number, curve in enumerate(curves):
        for part in _unbroken(curve, frame.values):
            _draw_part(pen, [large.place(*point) for point in part], slot_color(number))
    return np.asarray(image.resize((WIDTH, HEIGHT), Image.BOX))


def _dashed(pen: Any, frame: _Frame, value: float) -> None:
    y = frame.place(frame.steps.low, value)[1]
    for x in range(frame.left, frame.right, 2 * DASH * SMOOTH):
        pen.line([x, y, min(x + DASH * SMOOTH, frame.right), y], fill=INK, width=SMOOTH)


def _unbroken(curve: Curve, axis: Axis) -> List[List[Tuple[float, float]]]:
    """The curve's points between its gaps, with values outside the axis at its edge."""
    parts: List[List[Tuple[float, float]]] = [[]]
    for step, value in zip(curve.steps, curve.values):
        if np.isfinite(value):
            parts[-1].append((step, min(max(value, axis.low), axis.high)))
        elif parts[-1]:
            parts.append([])
    return [part for part in parts if part]


def _draw_part(pen: Any, points: List[Tuple[float, float]], color: Tuple[int, int, int]) -> None:
    if len(points) > 1:
        pen.line(points, fill=color, width=2 * SMOOTH, joint="curve")
    else:
        (x, y), radius = points[0], 2 * SMOOTH
        pen.ellipse([x - radius, y - radius, x + radius, y + radius], fill=color)


def _written(picture: np.ndarray, frame: _Frame, curves: Sequence[Curve], title: str,
             font: Any) -> np.ndarray:
    image, pen = drawing(picture)
    high = text_size("0", font)[1]
    pen.text((frame.left, MARGIN), title, fill=INK, font=font)
    for tick in frame.values.ticks:
        text = as_text(tick)
        y = frame.place(frame.steps.low, tick)[1]
        pen.text((frame.left - GAP - text_size(text, font)[0], y - high / 2), text, fill=INK,
                 font=font)
    for tick in frame.steps.ticks:
        text = as_text(tick)
        x = frame.place(tick, frame.values.low)[0]
        pen.text((x - text_size(text, font)[0] / 2, frame.bottom + GAP), text, fill=INK, font=font)
    _legend(pen, frame, curves, font)
    return np.asarray(image)


def _legend(pen: Any, frame: _Frame, curves: Sequence[Curve], font: Any) -> None:
    """The names with a piece of their line, below the axis of steps."""
    high = text_size("0", font)[1]
    x, y = frame.left, frame.bottom + 2 * GAP + high
    for number, curve in enumerate(curves):
        pen.line([x, y + high // 2, x + 18, y + high // 2], fill=slot_color(number), width=3)
        pen.text((x + 18 + GAP, y), curve.name, fill=INK, font=font)
        x += 18 + 3 * GAP + text_size(curve.name, font)[0]
    pen.text((frame.right - text_size("step", font)[0], y), "step", fill=INK, font=font)
