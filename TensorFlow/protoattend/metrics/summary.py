"""Accuracy, sparsity and confidence of decisions, and what refusing unsure ones gains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Optional, Sequence, Tuple

import numpy as np

from protoattend.metrics.decisions import PROTOTYPE_SHARES, Decisions, check_decisions

THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 0.999)


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
    """Sums up decisions.

    Args:
        reference_denominators: divide the confidences of right and of wrong decisions by the number
            of all, as the reference does (main_protoattend.py, conf_right, conf_wrong).

    Raises:
        ZooError: see check_decisions.
    """
    check_decisions(decisions)
    right, confidence = decisions.right, decisions.confidence
    medians = np.median(decisions.prototype_counts, axis=0)
    return Summary(
        n=len(decisions),
        n_wrong=int((~right).sum()),
        accuracy=float(right.mean()),
        encoder_accuracy=float((decisions.own_predicted == decisions.labels).mean()),
        prototypes=dict(zip(PROTOTYPE_SHARES, medians.tolist())),
        confidence_mean=float(confidence.mean(dtype=np.float64)),
        confidence_right=_mean(confidence, right, reference_denominators),
        confidence_wrong=_mean(confidence, ~right, reference_denominators),
    )


def _mean(confidence: np.ndarray, chosen: np.ndarray, over_all: bool) -> Optional[float]:
    count = len(chosen) if over_all else int(chosen.sum())
    return float(confidence[chosen].sum(dtype=np.float64) / count) if count else None


def coverage_curve(
    confidence: np.ndarray, right: np.ndarray, thresholds: Sequence[float] = THRESHOLDS
) -> Tuple[CoveragePoint, ...]:
    """Accuracy and coverage where only decisions with confidence > threshold count.

    Args:
        confidence: (N,) floats. right: (N,) bool.
    """
    return tuple(
        _coverage_point(confidence > confidence.dtype.type(threshold), right, threshold)
        for threshold in thresholds
    )


def _coverage_point(decided: np.ndarray, right: np.ndarray, threshold: float) -> CoveragePoint:
    count = int(decided.sum())
    accuracy = float(right[decided].mean()) if count else None
    return CoveragePoint(float(threshold), count, count / len(right), accuracy)
