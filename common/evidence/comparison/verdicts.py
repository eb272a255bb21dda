"""Verdicts in the vocabulary of Ascend's modelzoo_level.txt, each with the rule it follows."""

from __future__ import annotations

import math
from typing import Optional, Sequence

import attrs

from common.evidence.comparison.statistics import Estimate

PERFECT, OK, POK, NOK, INCONCLUSIVE = "PERFECT", "OK", "POK", "NOK", "INCONCLUSIVE"
SPEED_CLASSES = ((PERFECT, 1.2), (OK, 1.0), (POK, 0.5))
LOSS_MARGIN = 0.05  # relative: curves that are closer agree
WIDEST_CURVE_INTERVAL = 0.2  # relative half width; a wider one finds "better" by luck
WIDEST_SPEED_INTERVAL = 0.05  # relative half width; wider is no measurement
EXIT_CODES = {PERFECT: 0, OK: 0, POK: 1, NOK: 1, INCONCLUSIVE: 2}

PRECISION_RULE = (
    "OK: the 95 % interval against the reference ends within the margin; NOK: it lies wholly "
    f"beyond; POK: so does a final figure, but the loss is not more than {100 * LOSS_MARGIN:.0f} % "
    "higher; INCONCLUSIVE: else, without such a figure, or with an interval of a curve that is "
    f"wider than ±{100 * WIDEST_CURVE_INTERVAL:.0f} %"
)
PERF_RULE = (
    "PERFECT from 1.2x, OK from 1.0x, POK from 0.5x, NOK below: samples/s of all samples "
    "over all seconds; INCONCLUSIVE without times, or where the 95 % interval is wider "
    f"than ±{100 * WIDEST_SPEED_INTERVAL:.0f} %"
)


@attrs.frozen
class Verdict:
    """A status, why it is that, and the rule that says so."""

    status: str
    because: str
    rule: str


@attrs.frozen
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

    def told(self, value: float, sign: str = "") -> str:
        """A difference or a margin in words."""
        number = f"{100 * value if self.is_curve else value:{sign}.4g}"
        return f"{number} {'%' if self.is_curve else self.unit}".rstrip()

    @property
    def rule(self) -> str:
        """The rule of precision_verdict in words, with its margin."""
        if self.margin is None:
            return f"INCONCLUSIVE: no margin is named for {self.name}"
        worse = "lower" if self.higher_is_better else "higher"
        return f"margin of {self.name} {self.told(self.margin)} {worse}. {PRECISION_RULE}"


def precision_verdict(
    judged: Judged,
    metric: Optional[Estimate],
    loss: Optional[Estimate],
    broken: str = "",
    doubts: Sequence[str] = (),
) -> Verdict:
    """OK, POK, NOK or INCONCLUSIVE; never OK without an interval that lies within the margin.

    Args:
        metric: candidate less reference of the judged metric, relative for a curve; None without.
        loss: the relative difference of the training losses over the last window; None without.
        broken: what makes the candidate wrong whatever else it has, such as nan.
        doubts: what forbids any verdict, such as an aborted run.
    """

    def verdict(status: str, because: str) -> Verdict:
        return Verdict(status, because, judged.rule)

    if broken:
        return verdict(NOK, broken)
    if doubts:
        return verdict(INCONCLUSIVE, "; ".join(doubts))
    agrees = loss is not None and loss.is_known and loss.high <= LOSS_MARGIN
    if metric is None:
        # A training loss alone can show that something is wrong, not that it is well.
        missing = f"{judged.name} is not there on both sides"
        if loss is not None and loss.is_known and loss.low > LOSS_MARGIN:
            higher = f"{100 * loss.low:.1f} to {100 * loss.high:.1f} % higher"
            return verdict(NOK, f"{missing}, and the loss is {higher}")
        proves = "; the loss curves agree, which alone proves no accuracy" if agrees else ""
        return verdict(INCONCLUSIVE, missing + proves)
    if judged.margin is None:
        return verdict(INCONCLUSIVE, f"no margin is named for {judged.name}")
    if not metric.is_known:
        return verdict(INCONCLUSIVE, f"how far {judged.name} may be off by chance is not known")
    low, high = judged.told(metric.low, "+"), judged.told(metric.high, "+")
    span = f"{judged.name} differs by {low} to {high}"
    if judged.is_curve and _is_wide(metric):
        return verdict(INCONCLUSIVE, span + ": too noisy")
    better = metric if judged.higher_is_better else metric.scaled(-1)
    if better.low >= -judged.margin:
        return verdict(OK, span)
    if better.high >= -judged.margin:
        return verdict(INCONCLUSIVE, span + ": both sides of the margin")
    if judged.is_curve or not agrees:
        return verdict(NOK, span)
    return verdict(POK, span + ", and the loss curves agree")


def _is_wide(relative: Estimate) -> bool:
    """Whether noise is large against either run: a low mean by luck makes its interval narrow."""
    smaller = min(1.0, 1 + relative.value)
    return smaller <= 0 or relative.half_width > WIDEST_CURVE_INTERVAL * smaller


def perf_verdict(ratio: Estimate, doubts: Sequence[str] = ()) -> Verdict:
    """PERFECT, OK, POK, NOK by the throughput ratio, or INCONCLUSIVE."""
    status = INCONCLUSIVE
    told = f"{ratio.value:.2f}x [{ratio.low:.2f}, {ratio.high:.2f}]"
    if doubts:
        told = "; ".join(doubts)
    elif not math.isfinite(ratio.value):
        told = "no throughput on both sides"
    elif not ratio.is_known:
        told = "too few times for an interval"
    elif ratio.half_width > WIDEST_SPEED_INTERVAL * ratio.value:
        told += ": too noisy"
    else:
        status = next((name for name, least in SPEED_CLASSES if ratio.value >= least), NOK)
    return Verdict(status, told, PERF_RULE)


def exit_code(verdicts: Sequence[Verdict]) -> int:
    """1 where any verdict is POK or NOK, else 2 where any is INCONCLUSIVE, else 0."""
    codes = {EXIT_CODES[verdict.status] for verdict in verdicts}
    return 1 if 1 in codes else max(codes)
