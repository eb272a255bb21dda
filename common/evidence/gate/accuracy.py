"""Whether the judged metric is as good as the reference's, and not too good to be true."""

from __future__ import annotations

import math
import statistics
from typing import Callable, List, Optional, Sequence, Tuple

from common.cards.tiers import TierRules
from common.evidence.gate.spread import (
    CONFIDENCE,
    chance_of_so_few,
    difference_of_means,
    prediction_half_width,
)
from common.evidence.gate.verdict import Finding, Verdict

Judged = Tuple[Optional[Verdict], str]  # with the rule that it follows from

LARGEST = {"percent": 100.0, "fraction": 1.0}  # of a metric, by its unit
SIGNIFICANT = 1 - CONFIDENCE
TOO_GOOD = "too good is a fault until explained"


def judge_accuracy(
    rules: TierRules, stored: Sequence[float], measured: Sequence[float]
) -> List[Finding]:
    """Judges the metric of some runs.

    Args:
        stored: the reference's, at least two.
        measured: at least one, of different seeds.
    """
    if rules.metric.success is not None and _successes(rules, stored):
        return _of_bimodal(rules, stored, measured)
    if not rules.is_release:
        judged = _within_spread(rules, stored, measured, statistics.mean)
    elif len(measured) < 2:
        judged = Verdict.INCONCLUSIVE, "one run has no spread: at release at least 2 seeds"
    else:
        judged = _not_inferior(rules, stored, measured)
    return [_finding(rules, stored, measured, judged)]


def _gain(rules: TierRules, difference: float) -> float:
    """A difference with the sign turned so that more is better."""
    return difference if rules.metric.higher_is_better else -difference


def _within_spread(
    rules: TierRules,
    stored: Sequence[float],
    measured: Sequence[float],
    middle: Callable[[Sequence[float]], float],
) -> Judged:
    """The measured middle must lie within margin and prediction interval around the stored one."""
    told, margin = rules.metric.told, rules.metric.margin
    spread = prediction_half_width(stored, len(measured))
    reach, centre = margin + spread, middle(stored)
    worst, best = centre - _gain(rules, reach), centre + _gain(rules, reach)
    lower, upper = "at least", "at most"
    if not rules.metric.higher_is_better:
        lower, upper = upper, lower
    above = f", {upper} {told(best)}"
    if rules.metric.higher_is_better and best >= LARGEST.get(rules.metric.unit, math.inf):
        above = ""
    rule = f"{lower} {told(worst)}{above} (margin {told(margin)}, spread {told(spread)})"
    if rules.chance is not None and _gain(rules, worst - rules.chance) <= 0:
        why = f"guessing reaches {told(rules.chance)}, the stored runs spread too widely"
        return Verdict.INCONCLUSIVE, f"{rule}: {why}"
    gain = _gain(rules, middle(measured) - centre)
    if gain > reach:
        return Verdict.REGRESS, f"{rule}; {TOO_GOOD}"
    return (Verdict.REGRESS if gain < -reach else Verdict.PASS), rule


def _not_inferior(rules: TierRules, stored: Sequence[float], measured: Sequence[float]) -> Judged:
    """At release: one-sided non-inferiority of means, with 95 % confidence (Welch)."""
    raw, half_width = difference_of_means(stored, measured)
    gain, margin, told = _gain(rules, raw), rules.metric.margin, rules.metric.told
    sign = "" if gain < 0 else "+"
    rule = (
        f"difference {sign}{told(gain)}, with {100 * CONFIDENCE:.0f} % confidence at least "
        f"{told(gain - half_width)}; must be above -{told(margin)}"
    )
    if gain < -margin and gain + half_width < 0:
        return Verdict.REGRESS, rule
    if gain > margin and gain - half_width > 0:
        return Verdict.REGRESS, f"{rule}; better by more than {told(margin)}: {TOO_GOOD}"
    if gain - half_width < -margin:
        return Verdict.INCONCLUSIVE, rule + "; more seeds"
    return Verdict.PASS, rule


def _of_bimodal(
    rules: TierRules, stored: Sequence[float], measured: Sequence[float]
) -> List[Finding]:
    """Networks that fail by seed: success rate, and median around the stored ones that succeeded.

    The rate is judged by Fisher's exact test.
    """
    rate = _success_rate(rules, stored, measured)
    good = [value for value in stored if rules.metric.succeeded(value)]
    if len(good) < 2:
        why = "median told only: a single stored run succeeded, which has no spread"
        return [rate, _finding(rules, stored, measured, (None, why))]
    verdict, rule = _within_spread(rules, good, measured, statistics.median)
    below = _gain(rules, statistics.median(measured) - statistics.median(good)) < 0
    failed_before = below and len(good) < len(stored) and rate.verdict is not Verdict.REGRESS
    if verdict is Verdict.REGRESS and failed_before:
        verdict = Verdict.INCONCLUSIVE
        rule += "; stored runs have failed too: more seeds"
    return [rate, _finding(rules, good, measured, (verdict, rule))]


def _success_rate(rules: TierRules, stored: Sequence[float], measured: Sequence[float]) -> Finding:
    now, before = _successes(rules, measured), _successes(rules, stored)
    chance = chance_of_so_few(now, len(measured), before, len(stored))
    if now * len(stored) >= before * len(measured):
        verdict = Verdict.PASS
    else:
        verdict = Verdict.REGRESS if chance <= SIGNIFICANT + 1e-9 else Verdict.INCONCLUSIVE
    return Finding(
        "success rate",
        verdict,
        f"{now} of {len(measured)} reached {rules.metric.success:g}",
        f"{before} of {len(stored)} stored",
        f"so few by chance: {100 * chance:.0f} %, REGRESS at most {100 * SIGNIFICANT:.0f} %",
    )


def _successes(rules: TierRules, values: Sequence[float]) -> int:
    return sum(1 for value in values if rules.metric.succeeded(value))


def _finding(
    rules: TierRules, stored: Sequence[float], measured: Sequence[float], judged: Judged
) -> Finding:
    """A finding on the metric, with the values themselves."""
    name, unit = rules.metric.name, rules.metric.unit
    now, before = (", ".join(map(rules.metric.told, values)) for values in (measured, stored))
    now += "" if unit in ("plain", "fraction") else " " + unit
    return Finding(name, judged[0], now, "stored " + before, judged[1])
