"""The evaluation of a network as one report: JSON, lines for people, figures for the record."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Dict, Mapping, Optional, Tuple

import numpy as np

from common.core.errors import ZooError
from common.training.evaluation_run import metrics_text
from protoattend.metrics.decisions import Decisions
from protoattend.metrics.measures import (
    Calibration,
    CoveragePoint,
    Separation,
    Summary,
    calibration,
    coverage_curve,
    separation,
    summary,
)

SCHEMA_VERSION = 1
FLAT_THRESHOLD = 0.9  # the one point of the coverage curve that a run record keeps


@dataclass(frozen=True)
class CandidateSet:
    """The database that prototypes are drawn from: its dataset, its size, its content's sha256."""

    dataset: str
    count: int
    sha256: str


@dataclass(frozen=True)
class Report:
    """All that an evaluation found.

    others: by the name of the out-of-distribution set, told apart by the confidence. by_score: the
    same by other scores, see Decisions.scores.
    """

    candidates: CandidateSet
    reference_denominators: bool
    summary: Summary
    coverage: Tuple[CoveragePoint, ...]
    calibration: Calibration
    others: Dict[str, Separation]
    by_score: Dict[str, Dict[str, Separation]]


def make_report(
    decisions: Decisions,
    candidates: CandidateSet,
    others: Optional[Mapping[str, Decisions]] = None,
    reference_denominators: bool = False,
) -> Report:
    """Computes every metric of some decisions, and how they differ from those on other sets.

    Raises:
        ZooError: a score or logit is not finite.
    """
    others = dict(sorted((others or {}).items()))
    require_finite(decisions, "the evaluated images")
    for name, other in others.items():
        require_finite(other, f"the out-of-distribution set {name}")
    confidence, right = decisions.confidence, decisions.right
    told = {name: other.scores for name, other in others.items()}
    apart = {
        score: {name: separation(values, scores[score]) for name, scores in told.items()}
        for score, values in decisions.scores.items()
    }
    by_confidence = apart.pop("")
    return Report(
        candidates,
        reference_denominators,
        summary(decisions, reference_denominators),
        coverage_curve(confidence, right),
        calibration(confidence, right),
        by_confidence,
        apart if others else {},
    )


def require_finite(decisions: Decisions, what: str) -> None:
    """Raises ZooError where a number of decisions on `what` is not finite."""
    for name in ("own_logits", "mixed_logits", "class_weights", "familiarity"):
        bad = np.flatnonzero(~np.isfinite(getattr(decisions, name)).all(axis=1))
        if len(bad):
            raise ZooError(
                f"{name} of row {bad[0]} of {what} are not finite ({len(bad)} of {len(decisions)} "
                "rows); the weights of the checkpoint or the precision mode are at fault: try "
                "another checkpoint, or fp32"
            )


def as_json(report: Report) -> Dict[str, Any]:
    """The report as what JSON can hold; what does not exist (0/0) is left out."""
    whole = asdict(report)
    whole["summary"]["prototypes"] = {
        percent(share): count for share, count in report.summary.prototypes.items()
    }
    return _without_none({"schema_version": SCHEMA_VERSION, "n": report.summary.n, **whole})


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(entry) for key, entry in value.items() if entry is not None}
    if isinstance(value, (list, tuple)):
        return [_without_none(entry) for entry in value]
    return value


def as_metrics(report: Report) -> Dict[str, float]:
    """The figures of a run record by name; what does not exist is left out."""
    summed = report.summary
    (flat,) = (point for point in report.coverage if point.threshold == FLAT_THRESHOLD)
    found: Dict[str, Optional[float]] = {
        "accuracy": summed.accuracy,
        "encoder_accuracy": summed.encoder_accuracy,
        **{"prototypes_" + percent(share): count for share, count in summed.prototypes.items()},
        "confidence_mean": summed.confidence_mean,
        "confidence_right": summed.confidence_right,
        "confidence_wrong": summed.confidence_wrong,
        "ece": report.calibration.error,
        "coverage_at_0_9": flat.coverage,
        "accuracy_at_0_9": flat.accuracy,
        **{"fpr95_" + name: one.false_positive_rate for name, one in report.others.items()},
    }
    for score, separations in {"": report.others, **report.by_score}.items():
        prefix = f"auroc_{score}_" if score else "auroc_"
        found.update({prefix + name: one.auroc for name, one in separations.items()})
        if separations:
            found[prefix + "mean"] = _mean_auroc(separations)
    return {name: value for name, value in found.items() if value is not None}


def _mean_auroc(separations: Mapping[str, Separation]) -> float:
    return sum(other.auroc for other in separations.values()) / len(separations)


def percent(share: float) -> str:
    """A share of 1 in percent: "50", "99.9"."""
    return f"{round(share * 100, 6):g}"


def as_text(report: Report) -> str:
    """The report for people, a line each: what was evaluated, then the record's figures."""
    candidates, n = report.candidates, report.summary.n
    told = f"{candidates.count:,} candidates of {candidates.dataset} (sha256 {candidates.sha256})"
    return metrics_text(f"{n:,} images, {told}", as_metrics(report))
