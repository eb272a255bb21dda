"""Curves of values, over training steps for example, one line per seed or split."""

from __future__ import annotations

from typing import Any, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from common.evidence.figures.canvas import INK, palette_color
from common.evidence.figures.plot import SMOOTH, Axis, Entry, Frame, Texts, nice_axis, plot

DASH = 6


class Curve(NamedTuple):
    """A line: its name, and its values at places of the axis across; nan makes a gap."""

    name: str
    across: Sequence[float]
    values: Sequence[float]


def curve_picture(
    curves: Sequence[Curve],
    title: str,
    threshold: Optional[float] = None,
    limits: Optional[Tuple[float, float]] = None,
    across: str = "step",
) -> np.ndarray:
    """Draws curves with a title, axes and a legend; returns uint8 (height, width, 3), plot.SIZE.

    Args:
        curves: one per seed, for example, up to about six; they have the palette's colours.
        threshold: a value to mark with a dashed line, in the range drawn.
        limits: the lowest and highest value drawn; default: what the curves need.
        across: the name of the axis across.
    """
    places = _finite([curve.across for curve in curves])
    marked = [] if threshold is None else [threshold]
    values = _finite([curve.values for curve in curves] + [marked])
    up = nice_axis(*(limits or (values.min(), values.max())))
    legend = [Entry(curve.name, palette_color(number)) for number, curve in enumerate(curves)]

    def paint(pen: Any, frame: Frame) -> None:
        if threshold is not None:
            dashed(
                pen,
                frame.place(frame.across.low, threshold),
                frame.place(frame.across.high, threshold),
            )
        for curve, entry in zip(curves, legend):
            for part in _unbroken(curve, up):
                _draw_part(pen, [frame.place(*point) for point in part], entry.color)

    return plot(nice_axis(places.min(), places.max()), up, Texts(title, across, legend), paint)


def dashed(pen: Any, start: Tuple[float, float], end: Tuple[float, float]) -> None:
    """A thin dashed line between two pixels, in a plot's painter."""
    first, last = np.asarray(start, float), np.asarray(end, float)
    length = float(np.hypot(*(last - first)))
    for begin in np.arange(0, length, 2 * DASH * SMOOTH):
        ends = [
            first + (last - first) * min(along, length) / length
            for along in (begin, begin + DASH * SMOOTH)
        ]
        pen.line([tuple(point) for point in ends], fill=INK, width=SMOOTH)


def _finite(rows: Sequence[Sequence[float]]) -> np.ndarray:
    """All finite numbers of the rows; 0 where there are none."""
    numbers = np.concatenate([np.asarray(row, np.float64).ravel() for row in rows])
    numbers = numbers[np.isfinite(numbers)]
    return numbers if len(numbers) else np.zeros(1)


def _unbroken(curve: Curve, axis: Axis) -> List[List[Tuple[float, float]]]:
    """The curve's points between its gaps, with values outside the axis at its edge."""
    parts: List[List[Tuple[float, float]]] = [[]]
    for place, value in zip(curve.across, curve.values):
        if np.isfinite(value):
            parts[-1].append((place, min(max(value, axis.low), axis.high)))
        elif parts[-1]:
            parts.append([])
    return [part for part in parts if part]


def _draw_part(pen: Any, points: List[Tuple[float, float]], color: Tuple[int, int, int]) -> None:
    if len(points) > 1:
        pen.line(points, fill=color, width=2 * SMOOTH, joint="curve")
    else:
        (x, y), radius = points[0], 2 * SMOOTH
        pen.ellipse([x - radius, y - radius, x + radius, y + radius], fill=color)
