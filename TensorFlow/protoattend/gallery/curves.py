"""What confidence is worth, as figures: coverage, reliability, other inputs beside known ones."""

from __future__ import annotations

from typing import Callable, Dict, Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from common.evidence.figures.colors import INK, PALETTE, palette_color, web_color
from common.evidence.figures.figure import new_figure
from common.evidence.figures.line_chart import Curve, finish, line_chart
from protoattend.metrics.decisions import Decisions
from protoattend.metrics.measures import (
    Calibration,
    CoveragePoint,
    area_under_roc,
    calibration,
    coverage_curve,
)

FINE_THRESHOLDS = tuple(number / 200 for number in range(200)) + (0.999,)  # make smooth curves
HISTOGRAM_BINS = 20
CONFIDENCE = "confidence (0 to 1)"


def evaluation_figures(
    decisions: Decisions, name: str, others: Mapping[str, np.ndarray]
) -> Dict[str, Callable[[], Figure]]:
    """What draws each figure of an evaluation, by the figure's name.

    Args:
        name: of the set that the decisions are on. others: see confidence_figure; may be empty.
    """
    confidence, right = decisions.confidence, decisions.right
    figures: Dict[str, Callable[[], Figure]] = {
        "coverage": lambda: coverage_figure(coverage_curve(confidence, right, FINE_THRESHOLDS)),
        "reliability": lambda: reliability_figure(calibration(confidence, right)),
    }
    if others:
        figures["confidence"] = lambda: confidence_figure(name, confidence, others)
    return figures


def coverage_figure(points: Sequence[CoveragePoint]) -> Figure:
    """Draws accuracy and coverage over the threshold, points by growing threshold."""
    accuracy = [np.nan if point.accuracy is None else 100 * point.accuracy for point in points]
    coverage = [100 * point.coverage for point in points]
    thresholds = [point.threshold for point in points]
    return line_chart(
        [
            Curve("accuracy where decided", thresholds, accuracy),
            Curve("coverage: share decided", thresholds, coverage),
        ],
        "Deciding only where the confidence is higher",
        "share (%)",
        "least confidence (0 to 1)",
        logarithmic=False,
        limits=(min(0.98 * float(np.nanmin(accuracy + coverage)), 99), 101),
    )


def reliability_figure(found: Calibration) -> Figure:
    """Draws the reliability diagram (Guo et al. 2017).

    A bar is the accuracy of the decisions of one bin. A dot lies at their mean confidence and at
    that accuracy; its area is the bin's share of the decisions.
    """
    bins = [entry for entry in found.bins if entry.n]
    counts = np.array([entry.n for entry in bins])
    accuracy = 100 * np.array([entry.accuracy for entry in bins], np.float64)
    edges, widths = zip(*((entry.low, 0.9 * (entry.high - entry.low)) for entry in bins))
    figure = new_figure(800, 640)
    axes = figure.add_subplot()
    blue = web_color(PALETTE[0])
    axes.bar(edges, accuracy, widths, align="edge", color=blue, alpha=0.4, label="accuracy")
    axes.plot([0, 1], [0, 100], "--", color=web_color(INK), linewidth=1, label="calibrated")
    axes.scatter(
        [entry.confidence for entry in bins],
        accuracy,
        np.maximum(700 * counts / counts.sum(), 25),  # square points
        color=web_color(PALETTE[10]),
        zorder=3,
        label="mean confidence; area: share of decisions",
    )
    axes.set(xlim=(0, 1), ylim=(0, 100), xlabel=CONFIDENCE, ylabel="accuracy (%)")
    finish(figure, axes, f"Accuracy over confidence (calibration error {100 * found.error:.2f} %)")
    return figure


def confidence_figure(name: str, inside: np.ndarray, others: Mapping[str, np.ndarray]) -> Figure:
    """Draws histograms of the confidences of several sets.

    Args:
        name, inside: the in-distribution set. others: confidences by out-of-distribution set; each
            has its AUROC against the first in the legend.
    """
    figure = new_figure(960, 480)
    axes = figure.add_subplot()
    edges = np.linspace(0, 1, HISTOGRAM_BINS + 1)
    for number, (given, values) in enumerate({name: inside, **others}.items()):
        color = web_color(palette_color(number))
        apart = f": AUROC {area_under_roc(inside, values):.3f}" if number else ""
        counts, _ = np.histogram(np.clip(values, 0, 1), edges)
        shares = 100 * counts / len(values)
        axes.stairs(shares, edges, fill=True, color=color, alpha=0.18)
        axes.stairs(shares, edges, color=color, linewidth=1.8, label=given + apart)
    axes.set(xlim=(0, 1), xlabel=CONFIDENCE, ylabel="share of each set (%)")
    axes.set_ylim(bottom=0)
    finish(figure, axes, "Confidence of known and of other inputs")
    return figure
