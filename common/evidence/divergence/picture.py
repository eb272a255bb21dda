"""The differences over depth: a point per tensor, on a logarithmic scale."""

from __future__ import annotations

import math
from typing import Any, List, Sequence, Tuple

import numpy as np

from common.evidence.divergence.comparing import Difference
from common.evidence.divergence.outcome import Outcome
from common.evidence.figures.canvas import INK, letters, palette_color
from common.evidence.figures.plot import SMOOTH, Axis, Entry, Frame, Texts, nice_axis, plot
from common.runs.dump.dump_format import FORWARD, KINDS

SIZE = (960, 460)
EQUAL = 1e-10  # where tensors that are equal to the bit are drawn, at least
_RADIUS, _FAINT, _LINE = 2.5, 90, 140  # pixels, opacities
_FIRST = (225, 87, 89)
_COLORS = {"activation": 0, "loss": 10, "gradient": 1, "weight": 4}


def divergence_picture(outcome: Outcome) -> np.ndarray:
    """Draws relative L2 (points) and the largest relative difference (faint) of every tensor.

    The grey line is the tolerance of relative L2, the red line the first divergence. Points of
    tensors that are equal, or smaller than EQUAL, are on the bottom line; those that are not finite
    on the top line.

    Returns:
        uint8 (height, width, 3).

    Raises:
        ZooError: Pillow is missing.
    """
    found = outcome.differences
    low, high = _range(found)
    legend = [
        Entry(f"{kind}s" if kind != "loss" else kind, _color(kind))
        for kind in KINDS
        if any(item.kind == kind for item in found)
    ]
    across = nice_axis(0, max(len(found), 1))._replace(low=0, high=float(max(len(found), 1)))
    across = across._replace(ticks=tuple(tick for tick in across.ticks if tick <= len(found)))

    def paint(pen: Any, frame: Frame) -> None:
        _paint_tolerance(pen, frame, found)
        for item in found:
            for value, opacity in ((item.largest_relative, _FAINT), (item.relative, 255)):
                shown = value if item.is_finite else math.inf
                _point(
                    pen,
                    frame.place(item.place, _height(shown, frame)),
                    _color(item.kind) + (opacity,),
                )
        if outcome.first is not None:
            _paint_first(pen, frame, outcome.first)

    title = (
        f"{outcome.verdict}: relative L2 of B - A (faint: largest element); grey line: tolerance"
    )
    return plot(
        across, _axis(low, high), Texts(title, "tensors in execution order", legend), paint, SIZE
    )


def _color(kind: str) -> Tuple[int, int, int]:
    return palette_color(_COLORS[kind])


def _range(found: Sequence[Difference]) -> Tuple[int, int]:
    """The decades shown: all finite values and the tolerance, at least two of them."""
    values: List[float] = []
    for item in found:
        values += [item.relative, item.largest_relative, item.tolerance]
    shown = [value for value in values if math.isfinite(value) and value > EQUAL]
    low = math.floor(math.log10(min(shown))) if shown else math.log10(EQUAL)
    high = math.ceil(math.log10(max(shown))) if shown else 0
    return int(low) - 1, max(int(high), int(low) + 1)


def _axis(low: int, high: int) -> Axis:
    step = max(1, (high - low) // 6)
    ticks = tuple(float(tick) for tick in range(low, high + 1, step))
    texts = tuple("equal" if tick == low else f"1e{int(tick):d}" for tick in ticks)
    return Axis(float(low), float(high), ticks, texts)


def _height(value: float, frame: Frame) -> float:
    """Where a value is drawn: its decimal logarithm, kept within the frame."""
    if not math.isfinite(value):
        return frame.up.high
    if value <= 10.0**frame.up.low:
        return frame.up.low
    return min(frame.up.high, math.log10(value))


def _point(pen: Any, place: Tuple[float, float], color: Tuple[int, ...]) -> None:
    radius = _RADIUS * SMOOTH
    pen.ellipse(
        [place[0] - radius, place[1] - radius, place[0] + radius, place[1] + radius], fill=color
    )


def _paint_tolerance(pen: Any, frame: Frame, found: Sequence[Difference]) -> None:
    """A line for the forward pass and one for the rest."""
    for forward in (True, False):
        places = [
            frame.place(item.place, _height(item.tolerance, frame))
            for item in found
            if (item.kind in FORWARD) == forward
        ]
        if places:
            pen.line(places, fill=INK + (_LINE,), width=2 * SMOOTH)


def _paint_first(pen: Any, frame: Frame, item: Difference) -> None:
    x = frame.place(item.place, frame.up.low)[0]
    pen.line([x, frame.top, x, frame.bottom], fill=_FIRST, width=SMOOTH)
    font = letters(13 * SMOOTH)
    text = f"first: {item.kind} {item.name}"
    right = x + 8 * SMOOTH + pen.textbbox((0, 0), text, font=font)[2] > frame.right
    start = x - 8 * SMOOTH - pen.textbbox((0, 0), text, font=font)[2] if right else x + 8 * SMOOTH
    pen.text((start, frame.top - 18 * SMOOTH), text, fill=INK, font=font)
