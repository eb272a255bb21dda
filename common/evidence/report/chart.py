"""A chart as inline SVG: lines, bands of noise, axes, and the points for the page's script."""

from __future__ import annotations

import json
from html import escape
from typing import Any, Dict, List, NamedTuple, Sequence, Tuple

import numpy as np

from common.evidence.comparison.summary_curve import SummaryCurve, summary_curve
from common.evidence.comparison.wording import number
from common.evidence.figures.bands import is_logarithmic, log_axis
from common.evidence.figures.broken_axis import BrokenAxis, axis_of, broken_axis
from common.evidence.figures.plot import Axis, nice_axis
from common.evidence.report.derived import DrawnCurve

WIDTH, HEIGHT = 480, 250
LEFT, RIGHT, TOP, BOTTOM = 52, 472, 10, 222
COLORS = 6  # classes c0 … c5 of the style sheet
MOST_POINTS = 240
LEAST_TICKS_APART = 26  # pixels


class Plane(NamedTuple):
    """The axes of a chart and the way from values to pixels."""

    across: Axis
    up: Axis
    broken: BrokenAxis
    logarithmic: bool

    def x(self, steps: np.ndarray) -> np.ndarray:
        """Pixels across, (N,)."""
        low, high = self.across.low, self.across.high
        return np.asarray(LEFT + (self.broken.moved(steps) - low) / (high - low) * (RIGHT - LEFT))

    def y(self, values: np.ndarray) -> np.ndarray:
        """Pixels downwards, (N,); values outside the axis lie at its edge, nan stays nan."""
        if self.logarithmic:
            values = np.log10(np.maximum(values, 10**self.up.low))
        inside = np.clip(values, self.up.low, self.up.high)
        return np.asarray(
            BOTTOM - (inside - self.up.low) / (self.up.high - self.up.low) * (BOTTOM - TOP)
        )


def chart(
    title: str,
    curves: Sequence[DrawnCurve],
    colors: Dict[str, int],
    may_be_logarithmic: bool = False,
) -> str:
    """A figure with the curves of one quantity, each with its band; "" without any number.

    Args:
        colors: the number of each run's colour, by label.
        may_be_logarithmic: whether the axis is where the values are far apart.
    """
    reduced = [(curve.label, summary_curve(curve.series, MOST_POINTS)) for curve in curves]
    reduced = [(label, curve) for label, curve in reduced if np.isfinite(curve.means).any()]
    if not reduced:
        return ""
    plane = _plane([curve for _, curve in reduced], may_be_logarithmic)
    lines = "".join(_drawn(plane, curve, colors[label]) for label, curve in reduced)
    points = json.dumps(
        [_points(plane, label, curve, colors[label]) for label, curve in reduced],
        separators=(",", ":"),
    )
    return (
        '<figure class="chart" data-curves="{points}"><figcaption>{title}</figcaption>'
        '<svg viewBox="0 0 {width} {height}" role="img" tabindex="0" aria-label="{title}: '
        '{runs}">{grid}{lines}<line class="cursor" y1="{top}" y2="{bottom}" hidden></line>'
        "</svg>{legend}<output></output></figure>"
    ).format(
        points=escape(points),
        title=escape(title),
        width=WIDTH,
        height=HEIGHT,
        runs=escape(", ".join(label for label, _ in reduced)),
        grid=_grid(plane),
        lines=lines,
        top=TOP,
        bottom=BOTTOM,
        legend=_legend([label for label, _ in reduced], colors),
    )


def _plane(curves: Sequence[SummaryCurve], may_be_logarithmic: bool) -> Plane:
    steps = np.concatenate([curve.steps for curve in curves])
    means = np.concatenate([curve.means for curve in curves])
    means = means[np.isfinite(means)]
    broken = broken_axis(steps)
    logarithmic = may_be_logarithmic and is_logarithmic(means)
    up = log_axis(means) if logarithmic else _linear(curves)
    return Plane(axis_of(broken, steps), up, broken, logarithmic)


def _linear(curves: Sequence[SummaryCurve]) -> Axis:
    edges = np.concatenate(
        [np.concatenate([_lower_edge(curve), curve.means + curve.noises]) for curve in curves]
    )
    edges = edges[np.isfinite(edges)]
    return nice_axis(float(edges.min()), float(edges.max()))


def _lower_edge(curve: SummaryCurve) -> np.ndarray:
    """The band's lower edge; not below zero for what never is."""
    low = curve.means - curve.noises
    return np.asarray(np.maximum(low, 0.0) if np.nanmin(curve.means) >= 0 else low)


def _drawn(plane: Plane, curve: SummaryCurve, color: int) -> str:
    found: List[str] = []
    known = np.isfinite(curve.means)
    breaks = np.flatnonzero(np.diff(known.astype(int))) + 1
    for part in np.split(np.arange(len(known)), breaks):
        if len(part) and known[part[0]]:
            found.append(_stretch(plane, curve, part, color))
    return "".join(found)


def _stretch(plane: Plane, curve: SummaryCurve, part: np.ndarray, color: int) -> str:
    x, mean = plane.x(curve.steps[part]), curve.means[part]
    y = plane.y(mean)
    if len(part) == 1:
        return f'<circle class="point c{color}" cx="{x[0]:.1f}" cy="{y[0]:.1f}" r="2.5"/>'
    noise = curve.noises[part]
    line = f'<polyline class="line c{color}" points="{_pairs(x, y)}"/>'
    if not noise.any():
        return line
    edge = _pairs(
        np.concatenate([x, x[::-1]]),
        np.concatenate([plane.y(mean + noise), plane.y(_lower_edge(curve)[part])[::-1]]),
    )
    return f'<polygon class="band c{color}" points="{edge}"/>' + line


def _pairs(x: np.ndarray, y: np.ndarray) -> str:
    return " ".join("{:.1f},{:.1f}".format(*pair) for pair in zip(x, y))


def _grid(plane: Plane) -> str:
    parts: List[str] = []
    for tick, text in zip(plane.up.ticks, plane.up.texts()):
        y = BOTTOM - (tick - plane.up.low) / (plane.up.high - plane.up.low) * (BOTTOM - TOP)
        parts.append(
            f'<line class="grid" x1="{LEFT}" x2="{RIGHT}" y1="{y:.1f}" '
            f'y2="{y:.1f}"/><text x="{LEFT - 6}" '
            f'y="{y + 4:.1f}" class="up">{escape(text)}</text>'
        )
    for x, text in _ticks_across(plane):
        parts.append(f'<text x="{x:.1f}" y="{BOTTOM + 17}" class="across">{escape(text)}</text>')
    for mark in plane.broken.marks():
        x = LEFT + (mark - plane.across.low) / (plane.across.high - plane.across.low) * (
            RIGHT - LEFT
        )
        parts.append(f'<line class="break" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{BOTTOM}"/>')
    return "".join(parts)


def _ticks_across(plane: Plane) -> List[Tuple[float, str]]:
    """The ticks across that have room beside the one before."""
    found: List[Tuple[float, str]] = []
    for tick, text in zip(plane.across.ticks, plane.across.texts()):
        x = LEFT + (tick - plane.across.low) / (plane.across.high - plane.across.low) * (
            RIGHT - LEFT
        )
        if not found or x - found[-1][0] >= LEAST_TICKS_APART:
            found.append((x, text))
    return found


def _legend(labels: Sequence[str], colors: Dict[str, int]) -> str:
    return '<ul class="legend">{}</ul>'.format(
        "".join(f'<li class="c{colors[label]}">{escape(label)}</li>' for label in labels)
    )


def _points(plane: Plane, label: str, curve: SummaryCurve, color: int) -> Dict[str, Any]:
    """What the script needs to tell the values at a place: pixels, steps and texts."""
    known = np.isfinite(curve.means)
    steps, means = curve.steps[known], curve.means[known]
    return {
        "name": label,
        "color": color,
        "x": [round(float(x), 1) for x in plane.x(steps)],
        "y": [round(float(y), 1) for y in plane.y(means)],
        "step": [int(round(step)) for step in steps],
        "value": [number(mean) for mean in means],
    }
