"""What decisions come to: accuracy, sparsity, coverage, calibration, telling other sets apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Optional, Sequence, Tuple

import numpy as np

from protoattend.metrics.decisions import PROTOTYPE_SHARES, Decisions

THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 0.999)
BINS = 15  # as Guo et al. 2017 use
TRUE_POSITIVE_PERCENT = 95


@dataclass(frozen=True)
class Summary:
    """What n decisions come to, as shares of 1.

    accuracy is of the prototypes' mix, encoder_accuracy of the encoder alone. prototypes: the
    median number of prototypes by the share of the decision that they make. confidence_right and
    confidence_wrong are None where there are no such decisions.
    """

    n: int
    n_wrong: int
    accuracy: float
    encoder_accuracy: float
    prototypes: Dict[float, float]
    confidence_mean: float
    confidence_right: Optional[float]
    confidence_wrong: Optional[float]


def summary(decisions: Decisions, reference_denominators: bool = False) -> Summary:
    """Sums up decisions, at least one.

    Args:
        reference_denominators: divide the confidences of right and of wrong decisions by the number
            of all, as the reference does (main_protoattend.py, conf_right, conf_wrong).
    """
    right, confidence = decisions.right, decisions.confidence

    def mean(chosen: np.ndarray) -> Optional[float]:
        count = len(chosen) if reference_denominators else int(chosen.sum())
        return float(confidence[chosen].sum(dtype=np.float64) / count) if count else None

    medians = np.median(decisions.prototype_counts, axis=0)
    own = decisions.own_logits.argmax(axis=1)
    return Summary(
        n=len(decisions),
        n_wrong=int((~right).sum()),
        accuracy=float(right.mean()),
        encoder_accuracy=float((own == decisions.labels).mean()),
        prototypes=dict(zip(PROTOTYPE_SHARES, medians.tolist())),
        confidence_mean=float(confidence.mean(dtype=np.float64)),
        confidence_right=mean(right),
        confidence_wrong=mean(~right),
    )


@dataclass(frozen=True)
class CoveragePoint:
    """Deciding only where the confidence is above the threshold.

    coverage: the share of inputs that are decided. accuracy: the share of right decisions among
    these n; None where nothing is decided.
    """

    threshold: float
    n: int
    coverage: float
    accuracy: Optional[float]


def coverage_curve(
    confidence: np.ndarray, right: np.ndarray, thresholds: Sequence[float] = THRESHOLDS
) -> Tuple[CoveragePoint, ...]:
    """Accuracy and coverage where only decisions with confidence > threshold count, (N,) each."""
    points = []
    for threshold in thresholds:
        decided = confidence > confidence.dtype.type(threshold)
        count = int(decided.sum())
        accuracy = float(right[decided].mean()) if count else None
        points.append(CoveragePoint(float(threshold), count, count / len(right), accuracy))
    return tuple(points)


@dataclass(frozen=True)
class ConfidenceBin:
    """The n decisions with low < confidence <= high; the first bin has confidence 0, too.

    accuracy and confidence are means over them, None in an empty bin.
    """

    low: float
    high: float
    n: int
    accuracy: Optional[float]
    confidence: Optional[float]


@dataclass(frozen=True)
class Calibration:
    """The expected calibration error, and the bins from which it is computed."""

    error: float
    bins: Tuple[ConfidenceBin, ...]


def calibration(confidence: np.ndarray, right: np.ndarray) -> Calibration:
    """Expected calibration error in BINS bins of equal width.

    Guo et al., On Calibration of Modern Neural Networks, ICML 2017, equation 3: the mean distance
    of accuracy and mean confidence in a bin, weighted by the bin's share of the decisions.

    Args:
        confidence: (N,) floats; rounding may bring them slightly outside [0, 1], they are clipped.
        right: (N,) bool. N > 0.
    """
    confidence = np.clip(np.asarray(confidence, np.float64), 0, 1)
    edges = np.arange(BINS + 1) / BINS
    number = np.maximum(np.searchsorted(edges, confidence, side="left") - 1, 0)
    bins, error = [], 0.0
    for place, (low, high) in enumerate(zip(edges.tolist(), edges[1:].tolist())):
        inside = number == place
        count = int(inside.sum())
        if not count:
            bins.append(ConfidenceBin(low, high, 0, None, None))
            continue
        accuracy, mean = float(right[inside].mean()), float(confidence[inside].mean())
        bins.append(ConfidenceBin(low, high, count, accuracy, mean))
        error += count * abs(accuracy - mean)
    return Calibration(error / len(right), tuple(bins))


@dataclass(frozen=True)
class Separation:
    """In- against out-of-distribution inputs, told apart by a threshold of confidence.

    auroc: the area under the curve of true over false positives, positive being in-distribution;
    0.5 is chance, 1 perfect. false_positive_rate: the share of other inputs that pass where 95 %
    of the in-distribution ones do. n: how many other inputs. confidence_mean: theirs.
    """

    n: int
    auroc: float
    false_positive_rate: float
    confidence_mean: float


def separation(inside: np.ndarray, outside: np.ndarray) -> Separation:
    """Compares scores (N,) of in-distribution inputs with those (M,) of another set."""
    # The highest threshold that enough of the inside values pass; to pass is not to be less.
    enough = -(-len(inside) * TRUE_POSITIVE_PERCENT // 100)
    threshold = np.sort(inside)[len(inside) - enough]
    return Separation(
        len(outside),
        area_under_roc(inside, outside),
        float((np.asarray(outside) >= threshold).mean()),
        float(np.mean(outside, dtype=np.float64)),
    )


def area_under_roc(inside: np.ndarray, outside: np.ndarray) -> float:
    """The probability that an inside value is larger than an outside one, ties counted half."""
    ordered = np.sort(outside)
    below = np.searchsorted(ordered, inside, side="left").sum(dtype=np.float64)
    not_above = np.searchsorted(ordered, inside, side="right").sum(dtype=np.float64)
    return float((below + not_above) / 2 / len(inside) / len(outside))
