"""An axis across that leaves out long parts where nothing was logged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Tuple

import numpy as np

from common.evidence.figures.plot import Axis, as_text, nice_axis

LONG_PART = 0.3  # of the whole range: shorter parts are left as they are
USUAL_PART = 5.0  # times the usual distance of places: nearer ones are no gap
ROOM = 0.04  # of what remains, for each part left out


@dataclass(frozen=True)
class BrokenAxis:
    """Where places go when the parts between each (start, end) are shortened to `room`."""

    breaks: Tuple[Tuple[float, float], ...]
    room: float

    def moved(self, places: np.ndarray) -> np.ndarray:
        """Places, (N,) none of them inside a break, as numbers of the shortened axis."""
        shift = np.zeros(len(places))
        for start, end in self.breaks:
            shift += np.where(places >= end, end - start - self.room, 0.0)
        return np.asarray(places - shift)

    def marks(self) -> List[float]:
        """The middle of each break, on the shortened axis."""
        return [float(self.moved(np.array([start]))[0]) + self.room / 2 for start, _ in self.breaks]


def broken_axis(places: np.ndarray) -> BrokenAxis:
    """Finds the long parts without a place; there may be none.

    Args:
        places: (N,), of all curves, in any order.
    """
    ordered = np.unique(places)
    whole = float(ordered[-1] - ordered[0])
    least = (
        max(LONG_PART * whole, USUAL_PART * float(np.median(np.diff(ordered))))
        if len(ordered) > 1
        else whole
    )
    breaks = [
        (float(start), float(end))
        for start, end in zip(ordered[:-1], ordered[1:])
        if end - start > least
    ]
    rest = whole - sum(end - start for start, end in breaks)
    return BrokenAxis(tuple(breaks), ROOM * rest)


def axis_of(broken: BrokenAxis, places: np.ndarray) -> Axis:
    """The shortened axis with its ticks, which are labelled with the true numbers."""
    if not broken.breaks:
        return nice_axis(float(places.min()), float(places.max()))
    edges = (
        [float(places.min())]
        + [edge for pair in broken.breaks for edge in pair]
        + [float(places.max())]
    )
    parts = list(zip(edges[::2], edges[1::2]))
    rest = nice_axis(0, sum(last - first for first, last in parts))
    step = rest.ticks[1] - rest.ticks[0]
    ticks = [tick for part in parts for tick in _ticks(part, step)]
    low, high = broken.moved(np.array([edges[0], edges[-1]]))
    return Axis(
        float(low),
        float(high),
        tuple(float(t) for t in broken.moved(np.array(ticks))),
        tuple(as_text(tick) for tick in ticks),
    )


def _ticks(part: Tuple[float, float], step: float) -> List[float]:
    """Round ticks in a part; its middle where there is no round place."""
    first, last = np.ceil(part[0] / step), np.floor(part[1] / step)
    round_ones = [float(number * step) for number in np.arange(first, last + 1)]
    fine = step / 20
    return round_ones or [float(np.round((part[0] + part[1]) / 2 / fine) * fine)]
