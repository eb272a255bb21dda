"""What confidence is worth, as pictures: coverage, reliability, other inputs beside known ones."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from common.evidence.figures.canvas import PALETTE, Color, palette_color
from common.evidence.figures.curves import Curve, curve_picture, dashed
from common.evidence.figures.plot import SMOOTH, Entry, Frame, Texts, nice_axis, plot
from protoattend.metrics.calibration import Calibration, ConfidenceBin, calibration
from protoattend.metrics.decisions import Decisions
from protoattend.metrics.out_of_distribution import area_under_roc
from protoattend.metrics.summary import CoveragePoint, coverage_curve

FINE_THRESHOLDS = tuple(number / 200 for number in range(200)) + (0.999,)
HISTOGRAM_BINS = 20
RELIABILITY_SIZE = (520, 520)
LARGEST_DOT, LEAST_DOT = 13, 2.5  # radius in pixels, the first of a dot for all decisions
SHARE = nice_axis(0, 1)
PERCENT = nice_axis(0, 100)
ACCURACY: Color = (178, 201, 225)  # of bars, light behind the dots
DISTANCE, DOT = PALETTE[2], PALETTE[10]
LIGHT = (45,)  # opacity of 255


def evaluation_pictures(
    decisions: Decisions,
    name: str,
    other_confidences: Optional[Mapping[str, np.ndarray]] = None,
) -> Dict[str, np.ndarray]:
    """All pictures of an evaluation by name: coverage, reliability, and confidence with others.

    Args:
        name: of the set that the decisions are on, for the legend.
        other_confidences: by the set's name, the confidences of out-of-distribution inputs.
    """
    confidence, right = decisions.confidence, decisions.right
    pictures = {
        "coverage": coverage_picture(coverage_curve(confidence, right, FINE_THRESHOLDS)),
        "reliability": reliability_picture(calibration(confidence, right)),
    }
    if other_confidences:
        pictures["confidence"] = confidence_picture(name, confidence, other_confidences)
    return pictures


def coverage_picture(points: Sequence[CoveragePoint]) -> np.ndarray:
    """Draws accuracy and coverage over the threshold; returns uint8 (height, width, 3).

    Args:
        points: by growing threshold; FINE_THRESHOLDS make smooth curves.
    """
    thresholds = [point.threshold for point in points]
    accuracy = [np.nan if point.accuracy is None else 100 * point.accuracy for point in points]
    coverage = [100 * point.coverage for point in points]
    low = np.nanmin(np.array(accuracy + coverage))
    return curve_picture(
        [
            Curve("accuracy where decided", thresholds, accuracy),
            Curve("coverage: share decided", thresholds, coverage),
        ],
        "Deciding only where the confidence is higher, %",
        limits=(low, 100),
        across="confidence",
    )


def reliability_picture(found: Calibration) -> np.ndarray:
    """Draws the reliability diagram (Guo et al. 2017); returns uint8 (height, width, 3).

    A bar is the accuracy of the decisions of one bin. A dot lies at their mean confidence and at
    that accuracy, its area is the bin's share of the decisions, its stem the distance of the two.
    """
    filled = [entry for entry in found.bins if entry.n]
    total = sum(entry.n for entry in filled)
    legend = [
        Entry("accuracy", ACCURACY),
        Entry("distance to confidence", DISTANCE),
        Entry("share of decisions, as area", DOT),
    ]

    def paint(pen: Any, frame: Frame) -> None:
        for entry in filled:
            _paint_bin(pen, frame, entry)
        dashed(pen, frame.place(0, 0), frame.place(1, 100))
        for entry in filled:
            _paint_dot(pen, frame, entry, entry.n / total)

    title = f"Accuracy over confidence, % (calibration error {100 * found.error:.2f} %)"
    return plot(SHARE, PERCENT, Texts(title, "confidence", legend), paint, RELIABILITY_SIZE)


def _paint_bin(pen: Any, frame: Frame, entry: ConfidenceBin) -> None:
    inset = 0.1 * (entry.high - entry.low)
    pen.rectangle(
        frame.place(entry.low + inset, 100 * entry.accuracy) + frame.place(entry.high - inset, 0),
        fill=ACCURACY,
    )


def _paint_dot(pen: Any, frame: Frame, entry: ConfidenceBin, share: float) -> None:
    radius = SMOOTH * max(LARGEST_DOT * np.sqrt(share), LEAST_DOT)
    x, y = frame.place(entry.confidence, 100 * entry.accuracy)
    pen.line(
        (x, y) + frame.place(entry.confidence, 100 * entry.confidence),
        fill=DISTANCE,
        width=3 * SMOOTH,
    )
    pen.ellipse([x - radius, y - radius, x + radius, y + radius], fill=DOT)


def confidence_picture(
    name: str, inside: np.ndarray, others: Mapping[str, np.ndarray]
) -> np.ndarray:
    """Draws histograms of the confidences of several sets; returns uint8 (height, width, 3).

    Args:
        name, inside: the in-distribution set. others: confidences by out-of-distribution set; each
            has its AUROC against the first in the legend.
    """
    sets = {name: inside, **others}
    legend = [
        Entry(_set_name(given, name, inside, values), palette_color(number))
        for number, (given, values) in enumerate(sets.items())
    ]
    shares = [histogram(values) for values in sets.values()]
    up = nice_axis(0, max(row.max() for row in shares))

    def paint(pen: Any, frame: Frame) -> None:
        for row, entry in zip(shares, legend):
            _paint_histogram(pen, frame, row, entry.color)

    title = "Confidence of known and of other inputs, % of each set"
    return plot(SHARE, up, Texts(title, "confidence", legend), paint)


def _set_name(given: str, name: str, inside: np.ndarray, values: np.ndarray) -> str:
    if given == name:
        return name
    return f"{given}: AUROC {area_under_roc(inside, values):.3f}"


def histogram(values: np.ndarray) -> np.ndarray:
    """The share of values in each of HISTOGRAM_BINS bins of [0, 1], in percent."""
    counts, _ = np.histogram(np.clip(values, 0, 1), bins=HISTOGRAM_BINS, range=(0, 1))
    return 100 * counts / max(len(values), 1)


def _paint_histogram(pen: Any, frame: Frame, shares: np.ndarray, color: Color) -> None:
    outline: List[Tuple[float, float]] = [frame.place(0, 0)]
    for number, share in enumerate(shares):
        outline += [
            frame.place(number / len(shares), share),
            frame.place((number + 1) / len(shares), share),
        ]
    outline.append(frame.place(1, 0))
    pen.polygon(outline, fill=color + LIGHT)
    pen.line(outline, fill=color, width=2 * SMOOTH, joint="curve")
