"""Verdicts in the vocabulary of Ascend's modelzoo_level.txt, each with the rule it follows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Optional, Sequence, Tuple

from common.evidence.comparison.statistics import Estimate

PERFECT, OK, POK, NOK, INCONCLUSIVE = "PERFECT", "OK", "POK", "NOK", "INCONCLUSIVE"
SPEED_CLASSES = ((PERFECT, 1.2), (OK, 1.0), (POK, 0.5))
LOSS_MARGIN = 0.05  # relative: curves that are closer agree
WIDEST_CURVE_INTERVAL = 0.2  # relative half width; a wider one finds "better" by luck
WIDEST_SPEED_INTERVAL = 0.05  # relative half width; wider is no measurement
EXIT_CODES = {PERFECT: 0, OK: 0, POK: 1, NOK: 1, INCONCLUSIVE: 2}

PERF_RULE = (
    "PERFECT from 1.2x, OK from 1.0x, POK from 0.5x, NOK below: samples/s of all samples "
    "over all seconds; INCONCLUSIVE without times, or where the 95 % interval is wider "
    f"than ±{100 * WIDEST_SPEED_INTERVAL:.0f} %"
)


@dataclass(frozen=True)
class Verdict:
    """A status, why it is that, and the rule that says so."""

    status: str
    because: str
    rule: str


@dataclass(frozen=True)
class Judged:
    """What a precision verdict is about.

    Attributes:
        name: of the metric.
        margin: how much worse still passes: in the metric's unit, a share of the reference for a
            curve; None where nobody named one.
        is_curve: a curve over steps such as the loss; else a final figure such as accuracy.
        unit: written after numbers, "" for fractions.
    """

    name: str
    higher_is_better: bool
    margin: Optional[float]
    is_curve: bool = False
    unit: str = ""

    def better(self, difference: Estimate) -> Estimate:
        """The difference turned so that more is better."""
        return difference if self.higher_is_better else difference.scaled(-1)

    def told(self, value: float) -> str:
        """A difference or a margin in words."""
        if self.is_curve:
            return f"{100 * value:.3g} %"
        return "{:.4g}{}".format(value, " " + self.unit if self.unit else "")


@dataclass(frozen=True)
class Evidence:
    """What a precision verdict rests on.

    Attributes:
        metric: candidate less reference of the judged metric, relative for a curve; None without.
        loss: the relative difference of the training losses over the last window; None without.
        broken: what makes the candidate wrong whatever else it has, such as nan.
        doubts: what forbids any verdict, such as an aborted run.
    """

    metric: Optional[Estimate]
    loss: Optional[Estimate]
    broken: str = ""
    doubts: Sequence[str] = ()


def precision_rule(judged: Judged) -> str:
    """The rule of precision_verdict in words, with its numbers."""
    worse = "lower" if judged.higher_is_better else "higher"
    if judged.margin is None:
        return f"INCONCLUSIVE: no margin is named for {judged.name}"
    bound = f"the 95 % interval of {judged.name} less the reference"
    if judged.is_curve:
        return (
            "OK: {} ends within the margin, {} {}; NOK: it lies wholly beyond; "
            "INCONCLUSIVE: else, too few samples, or an interval wider than ±{:.0f} %".format(
                bound.replace(" less the reference", " against the reference"),
                judged.told(judged.margin),
                worse,
                100 * WIDEST_CURVE_INTERVAL,
            )
        )
    return (
        f"OK: {bound} ends within the margin, {judged.told(judged.margin)} {worse}; POK: "
        "it lies wholly beyond, but the loss over "
        f"the last window is not more than {100 * LOSS_MARGIN:.0f} % higher (95 %); NOK: "
        "that neither; "
        "INCONCLUSIVE: else, or no such figure"
    )


def precision_verdict(judged: Judged, evidence: Evidence) -> Verdict:
    """OK, POK, NOK or INCONCLUSIVE; never OK without an interval that lies within the margin."""
    status, because = _precision(judged, evidence)
    return Verdict(status, because, precision_rule(judged))


def _precision(judged: Judged, evidence: Evidence) -> Tuple[str, str]:
    if evidence.broken:
        return NOK, evidence.broken
    if evidence.doubts:
        return INCONCLUSIVE, "; ".join(evidence.doubts)
    if evidence.metric is None:
        return _without_metric(judged, evidence.loss)
    if judged.margin is None:
        return INCONCLUSIVE, f"no margin is named for {judged.name}"
    if not evidence.metric.is_known:
        return INCONCLUSIVE, f"how far {judged.name} may be off by chance is not known"
    return _by_interval(judged, judged.margin, evidence)


def _by_interval(judged: Judged, margin: float, evidence: Evidence) -> Tuple[str, str]:
    assert evidence.metric is not None
    better = judged.better(evidence.metric)
    span = f"{judged.name} is {_span(judged, better)} than the reference's"
    if judged.is_curve and _is_wide(evidence.metric):
        return INCONCLUSIVE, span + ": too noisy"
    if better.low >= -margin:
        return OK, span
    if better.high >= -margin:
        return INCONCLUSIVE, span + ": both sides of the margin"
    if judged.is_curve or not agrees(evidence.loss):
        return NOK, span
    return POK, span + ", and the loss curves agree"


def _is_wide(relative: Estimate) -> bool:
    """Whether noise is large against either run: a low mean by luck makes its interval narrow."""
    smaller = min(1.0, 1 + relative.value)
    return smaller <= 0 or relative.half_width > WIDEST_CURVE_INTERVAL * smaller


def _span(judged: Judged, better: Estimate) -> str:
    """An interval in words: 0.1 to 0.2 worse, or 0.1 worse to 0.2 better."""
    low, high = judged.told(abs(better.low)), judged.told(abs(better.high))
    if better.low >= 0:
        return f"{low} to {high} better"
    return f"{high} to {low} worse" if better.high < 0 else f"{low} worse to {high} better"


def _without_metric(judged: Judged, loss: Optional[Estimate]) -> Tuple[str, str]:
    """A training loss alone can show that something is wrong, not that all is well."""
    missing = f"{judged.name} is not there on both sides"
    if loss is not None and loss.is_known and loss.low > LOSS_MARGIN:
        return (
            NOK,
            f"{missing}, and the loss is {100 * loss.low:.1f} to {100 * loss.high:.1f} % higher",
        )
    if agrees(loss):
        return INCONCLUSIVE, missing + "; the loss curves agree, which alone proves no accuracy"
    return INCONCLUSIVE, missing


def agrees(loss: Optional[Estimate]) -> bool:
    """Whether a loss is shown to be at most LOSS_MARGIN higher than its reference."""
    return loss is not None and loss.is_known and loss.high <= LOSS_MARGIN


def perf_verdict(ratio: Estimate, doubts: Sequence[str] = ()) -> Verdict:
    """PERFECT, OK, POK, NOK by the throughput ratio, or INCONCLUSIVE."""
    status, because = _perf(ratio, doubts)
    return Verdict(status, because, PERF_RULE)


def _perf(ratio: Estimate, doubts: Sequence[str]) -> Tuple[str, str]:
    if doubts:
        return INCONCLUSIVE, "; ".join(doubts)
    if not math.isfinite(ratio.value):
        return INCONCLUSIVE, "no throughput on both sides"
    if not ratio.is_known:
        return INCONCLUSIVE, "too few times for an interval"
    told = f"{ratio.value:.2f}x [{ratio.low:.2f}, {ratio.high:.2f}]"
    if ratio.half_width > WIDEST_SPEED_INTERVAL * ratio.value:
        return INCONCLUSIVE, told + ": too noisy"
    crossed = [f"{least:g}x" for _, least in SPEED_CLASSES if ratio.low < least <= ratio.high]
    if crossed:
        told += "; the interval holds the limit " + crossed[0]
    return speed_class(ratio.value), told


def speed_class(ratio: float) -> str:
    """The PerfStatus of a ratio."""
    return next((status for status, least in SPEED_CLASSES if ratio >= least), NOK)


def exit_code(verdicts: Sequence[Verdict]) -> int:
    """1 where any verdict is POK or NOK, else 2 where any is INCONCLUSIVE, else 0."""
    codes = {EXIT_CODES[verdict.status] for verdict in verdicts}
    return 1 if 1 in codes else max(codes)
