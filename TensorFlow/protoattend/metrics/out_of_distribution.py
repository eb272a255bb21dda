"""How well confidence tells inputs of the training's distribution from others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from common.core.errors import ZooError

TRUE_POSITIVE_PERCENT = 95


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


def separation(inside: np.ndarray, outside: np.ndarray, name: str) -> Separation:
    """Compares confidences of in-distribution inputs with those of another set.

    Args:
        inside, outside: (N,) and (M,) floats. name: the other set's, for messages.

    Raises:
        ZooError: a set is empty or holds a value that is not finite.
    """
    _check(inside, "the in-distribution set")
    _check(outside, f"the out-of-distribution set {name}")
    return Separation(
        len(outside),
        area_under_roc(inside, outside),
        false_positive_rate(inside, outside),
        float(np.mean(outside, dtype=np.float64)),
    )


def _check(confidence: np.ndarray, what: str) -> None:
    if not len(confidence):
        raise ZooError(
            f"{what} is empty: nothing to compare confidences with; "
            "give one with images or leave it out"
        )
    if not np.isfinite(confidence).all():
        raise ZooError(
            f"confidences of {what} are not finite; the weights of the checkpoint or the "
            "precision mode are at fault: try another checkpoint, or fp32"
        )


def area_under_roc(inside: np.ndarray, outside: np.ndarray) -> float:
    """The probability that an inside value is larger than an outside one, ties counted half.

    It is the Mann-Whitney statistic, from the two sets' ranks in O(n log n).
    """
    ordered = np.sort(outside)
    below = np.searchsorted(ordered, inside, side="left").sum(dtype=np.float64)
    not_above = np.searchsorted(ordered, inside, side="right").sum(dtype=np.float64)
    return float((below + not_above) / 2 / len(inside) / len(outside))


def false_positive_rate(
    inside: np.ndarray, outside: np.ndarray, true_positive_percent: int = TRUE_POSITIVE_PERCENT
) -> float:
    """The share of outside values that pass the highest threshold that enough inside ones pass.

    A value passes where it is not less than the threshold; enough is at least the given percent.
    """
    enough = -(-len(inside) * true_positive_percent // 100)
    threshold = np.sort(inside)[len(inside) - enough]
    return float((np.asarray(outside) >= threshold).mean())
