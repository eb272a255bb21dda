"""Curves with a band around each, on a logarithmic axis where the values need one."""

from __future__ import annotations

from typing import Any, List, NamedTuple, Sequence, Tuple

import numpy as np

from common.evidence.figures.broken_axis import axis_of, broken_axis
from common.evidence.figures.canvas import palette_color
from common.evidence.figures.curves import dashed
from common.evidence.figures.plot import SMOOTH, Axis, Entry, Frame, Texts, as_text, nice_axis, plot

OPACITY = 70  # of 255
LOGARITHMIC_FROM = 20.0  # times the smallest value
SIZE = (960, 480)


class Band(NamedTuple):
    """A curve and what lies around it; nan in `values` makes a gap. All have the same length."""

    name: str
    across: np.ndarray
    low: np.ndarray
    values: np.ndarray
    high: np.ndarray


def band_picture(
    bands: Sequence[Band], title: str, across: str = "step", size: Tuple[int, int] = SIZE
) -> np.ndarray:
    """Draws curves with their bands; returns uint8 (height, width, 3).

    The axis upwards is logarithmic where all values are positive and far apart; the axis across
    leaves out long parts in which nothing was logged, at a dashed line.
    """
    places = np.concatenate([band.across for band in bands])
    broken = broken_axis(places)
    values = np.concatenate([band.values for band in bands])
    values = values[np.isfinite(values)]
    logarithmic = is_logarithmic(values)
    up = log_axis(values) if logarithmic else _linear_axis(bands)
    legend = [Entry(band.name, palette_color(number)) for number, band in enumerate(bands)]

    def paint(pen: Any, frame: Frame) -> None:
        for mark in broken.marks():
            dashed(pen, frame.place(mark, up.low), frame.place(mark, up.high))
        for band, entry in zip(bands, legend):
            moved = band._replace(across=broken.moved(band.across))
            for part in _stretches(moved):
                _paint_stretch(pen, frame, _moved(part, up, logarithmic), entry.color)

    return plot(axis_of(broken, places), up, Texts(title, across, legend), paint, size)


def is_logarithmic(values: np.ndarray) -> bool:
    """Whether finite values are all positive and further apart than a linear axis can show."""
    return bool(len(values) and values.min() > 0 and values.max() > LOGARITHMIC_FROM * values.min())


def log_axis(values: np.ndarray) -> Axis:
    """An axis of logarithms to base 10, labelled with the values: 1, 2 and 5 of each decade."""
    low, high = np.log10(values.min()), np.log10(values.max())
    numbers = [
        factor * 10.0**power
        for power in range(int(np.floor(low)), int(np.ceil(high)) + 1)
        for factor in (1, 2, 5)
    ]
    below = max([n for n in numbers if np.log10(n) <= low + 1e-9], default=10**low)
    above = min([n for n in numbers if np.log10(n) >= high - 1e-9], default=10**high)
    shown = [n for n in numbers if below <= n <= above]
    return Axis(
        float(np.log10(below)),
        float(np.log10(above)),
        tuple(float(np.log10(n)) for n in shown),
        tuple(as_text(n) for n in shown),
    )


def _linear_axis(bands: Sequence[Band]) -> Axis:
    edges = np.concatenate([np.concatenate([band.low, band.high]) for band in bands])
    edges = edges[np.isfinite(edges)]
    return nice_axis(float(edges.min()), float(edges.max())) if len(edges) else nice_axis(0, 1)


def _stretches(band: Band) -> List[Band]:
    """The parts of a band between its gaps."""
    known = np.isfinite(band.values)
    breaks = np.flatnonzero(np.diff(known.astype(int))) + 1
    parts = [
        part for part in np.split(np.arange(len(known)), breaks) if len(part) and known[part[0]]
    ]
    return [
        Band(band.name, band.across[part], band.low[part], band.values[part], band.high[part])
        for part in parts
    ]


def _moved(band: Band, up: Axis, logarithmic: bool) -> Band:
    """A band in the axis's own numbers, cut off at its ends."""
    rows = [band.low, band.values, band.high]
    if logarithmic:
        rows = [np.log10(np.maximum(row, 10**up.low)) for row in rows]
    low, values, high = (np.clip(row, up.low, up.high) for row in rows)
    return Band(band.name, band.across, low, values, high)


def _paint_stretch(pen: Any, frame: Frame, band: Band, color: Tuple[int, int, int]) -> None:
    points = [frame.place(*point) for point in zip(band.across, band.values)]
    edge = [frame.place(*point) for point in zip(band.across, band.high)]
    edge += [frame.place(*point) for point in zip(band.across[::-1], band.low[::-1])]
    if len(points) > 1:
        pen.polygon(edge, fill=color + (OPACITY,))
        pen.line(points, fill=color, width=2 * SMOOTH, joint="curve")
    else:
        (x, y), radius = points[0], 2 * SMOOTH
        pen.ellipse([x - radius, y - radius, x + radius, y + radius], fill=color)
