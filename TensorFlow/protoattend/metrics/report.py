"""The evaluation of a network as one report: JSON, lines for people, figures for the record."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from protoattend.metrics.calibration import Calibration, calibration
from protoattend.metrics.decisions import Decisions
from protoattend.metrics.familiarity import familiarity_scores
from protoattend.metrics.out_of_distribution import Separation, separation
from protoattend.metrics.summary import (
    THRESHOLDS,
    CoveragePoint,
    Summary,
    coverage_curve,
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
    same by other scores, see familiarity.
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
    other_confidences: Optional[Mapping[str, np.ndarray]] = None,
    other_scores: Optional[Mapping[str, Mapping[str, np.ndarray]]] = None,
    thresholds: Sequence[float] = THRESHOLDS,
    reference_denominators: bool = False,
) -> Report:
    """Computes every metric of some decisions.

    Args:
        other_confidences: by the set's name, the confidences of out-of-distribution inputs.
        other_scores: by the set's name, their familiarity_scores.

    Raises:
        ZooError: see check_decisions and separation.
    """
    summed = summary(decisions, reference_denominators)
    confidence, right = decisions.confidence, decisions.right
    others = {
        name: separation(confidence, values, name)
        for name, values in sorted((other_confidences or {}).items())
    }
    scores = familiarity_scores(decisions)
    by_score = {
        score: {
            name: separation(values, other[score], name)
            for name, other in sorted((other_scores or {}).items())
        }
        for score, values in scores.items()
        if other_scores
    }
    return Report(
        candidates,
        reference_denominators,
        summed,
        coverage_curve(confidence, right, thresholds),
        calibration(confidence, right),
        others,
        by_score,
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
    found: Dict[str, Optional[float]] = {
        "accuracy": summed.accuracy,
        "encoder_accuracy": summed.encoder_accuracy,
    }
    found.update(
        {"prototypes_" + percent(share): count for share, count in summed.prototypes.items()}
    )
    found.update(
        confidence_mean=summed.confidence_mean,
        confidence_right=summed.confidence_right,
        confidence_wrong=summed.confidence_wrong,
        ece=report.calibration.error,
    )
    for point in report.coverage:
        if point.threshold == FLAT_THRESHOLD:
            found.update(coverage_at_0_9=point.coverage, accuracy_at_0_9=point.accuracy)
    for name, other in report.others.items():
        found.update({"auroc_" + name: other.auroc, "fpr95_" + name: other.false_positive_rate})
    for score, separations in {"": report.others, **report.by_score}.items():
        prefix = f"auroc_{score}_" if score else "auroc_"
        if score:
            found.update({prefix + name: other.auroc for name, other in separations.items()})
        if separations:
            found[prefix + "mean"] = _mean_auroc(separations)
    return {name: value for name, value in found.items() if value is not None}


def _mean_auroc(separations: Mapping[str, Separation]) -> float:
    return sum(other.auroc for other in separations.values()) / len(separations)


def percent(share: float) -> str:
    """A share of 1 in percent: "50", "99.9"."""
    return f"{round(share * 100, 6):g}"


def as_lines(report: Report) -> List[str]:
    """The report for people."""
    summed = report.summary
    lines = [
        f"{summed.n:,} images, {report.candidates.count:,} candidates of "
        f"{report.candidates.dataset} (sha256 {report.candidates.sha256[:12]})",
        f"accuracy                 {_shown(summed.accuracy)} by prototypes, "
        f"{_shown(summed.encoder_accuracy)} by the encoder alone",
        "prototypes (median)      "
        + ", ".join(
            f"{count:g} for {percent(share)} %" for share, count in summed.prototypes.items()
        ),
        "confidence (mean)        {} of all, {} of right, {} of the {:,} wrong decisions{}".format(
            _shown(summed.confidence_mean),
            _shown(summed.confidence_right),
            _shown(summed.confidence_wrong),
            summed.n_wrong,
            ", each divided by all" if report.reference_denominators else "",
        ),
        f"calibration error        {_shown(report.calibration.error)}",
    ]
    return (
        lines
        + _coverage_lines(report.coverage)
        + _other_lines(report.others)
        + _score_lines(report.by_score)
    )


def _coverage_lines(points: Sequence[CoveragePoint]) -> List[str]:
    return [
        f"confidence > {point.threshold:<11g} {_shown(point.coverage)} decided, "
        f"{_shown(point.accuracy)} of them right"
        for point in points
    ]


def _other_lines(others: Mapping[str, Separation]) -> List[str]:
    return [
        f"against {name:<16} AUROC {other.auroc:.4f}, "
        f"{_shown(other.false_positive_rate)} pass where 95 % of the known do "
        f"({other.n:,} images)"
        for name, other in others.items()
    ]


def _score_lines(by_score: Mapping[str, Mapping[str, Separation]]) -> List[str]:
    return [
        "AUROC by {:<15} {:.4f} in the mean: {}".format(
            score.replace("_", " "),
            _mean_auroc(separations),
            ", ".join(f"{name} {other.auroc:.4f}" for name, other in separations.items()),
        )
        for score, separations in by_score.items()
    ]


def _shown(share: Optional[float]) -> str:
    return "none" if share is None else f"{100 * share:.2f} %"
