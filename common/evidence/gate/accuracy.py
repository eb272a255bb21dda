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

Middle = Callable[[Sequence[float]], float]

LARGEST = {"percent": 100.0, "fraction": 1.0}  # of a metric, by its unit
SIGNIFICANT = 1 - CONFIDENCE


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
        return [_within_spread(rules, stored, measured, statistics.mean)]
    if len(measured) < 2:
        return [
            _finding(
                rules,
                stored,
                measured,
                Verdict.INCONCLUSIVE,
                "one run has no spread: at release at least 2 seeds",
            )
        ]
    return [_not_inferior(rules, stored, measured)]


# --- smoke and nightly: within what the stored spread lets one expect ---


def _within_spread(
    rules: TierRules, stored: Sequence[float], measured: Sequence[float], middle: Middle
) -> Finding:
    """The measured middle must lie within margin and prediction interval around the stored one."""
    centre, value = middle(stored), middle(measured)
    spread = prediction_half_width(stored, len(measured))
    reach = rules.metric.margin + spread
    worst, best = _limits(rules, centre, reach)
    rule = _limits_text(rules, worst, best, spread)
    if rules.chance is not None and _better(rules, worst - rules.chance) <= 0:
        return _finding(
            rules,
            stored,
            measured,
            Verdict.INCONCLUSIVE,
            f"{rule}: guessing reaches {rules.metric.told(rules.chance)}, the stored "
            "runs spread too widely",
        )
    shortfall = _better(rules, centre - value)
    if shortfall > reach:
        return _finding(rules, stored, measured, Verdict.REGRESS, rule)
    if -shortfall > reach:
        return _finding(
            rules, stored, measured, Verdict.REGRESS, rule + "; too good is a fault until explained"
        )
    return _finding(rules, stored, measured, Verdict.PASS, rule)


def _limits(rules: TierRules, centre: float, reach: float) -> Tuple[float, float]:
    """The worst and the best value that pass."""
    towards_better = 1.0 if rules.metric.higher_is_better else -1.0
    return centre - towards_better * reach, centre + towards_better * reach


def _better(rules: TierRules, difference: float) -> float:
    """A difference with the sign turned so that more is better."""
    return difference if rules.metric.higher_is_better else -difference


def _limits_text(rules: TierRules, worst: float, best: float, spread: float) -> str:
    told, metric = rules.metric.told, rules.metric
    most = LARGEST.get(metric.unit, math.inf)
    lower = "at least" if metric.higher_is_better else "at most"
    upper = "at most" if metric.higher_is_better else "at least"
    above = "" if metric.higher_is_better and best >= most else f", {upper} {told(best)}"
    return f"{lower} {told(worst)}{above} (margin {told(metric.margin)}, spread {told(spread)})"


# --- release: not inferior by the card's margin ---


def _not_inferior(rules: TierRules, stored: Sequence[float], measured: Sequence[float]) -> Finding:
    """One-sided non-inferiority of means, with 95 % confidence (Welch)."""
    raw, half_width = difference_of_means(stored, measured)
    difference, margin, told = _better(rules, raw), rules.metric.margin, rules.metric.told
    rule = "difference {}{}, with {:.0f} % confidence at least {}; must be above -{}".format(
        "" if difference < 0 else "+",
        told(difference),
        100 * CONFIDENCE,
        told(difference - half_width),
        told(margin),
    )
    if difference < -margin and difference + half_width < 0:
        return _finding(rules, stored, measured, Verdict.REGRESS, rule)
    if difference > margin and difference - half_width > 0:
        return _finding(
            rules,
            stored,
            measured,
            Verdict.REGRESS,
            rule + f"; better by more than {told(margin)}: too good is a fault until explained",
        )
    if difference - half_width < -margin:
        return _finding(rules, stored, measured, Verdict.INCONCLUSIVE, rule + "; more seeds")
    return _finding(rules, stored, measured, Verdict.PASS, rule)


# --- networks that fail by seed: how many succeed, and the median ---


def _of_bimodal(
    rules: TierRules, stored: Sequence[float], measured: Sequence[float]
) -> List[Finding]:
    """Success rate by Fisher's exact test; the median around the stored ones that succeeded."""
    rate = _success_rate(rules, stored, measured)
    good = [value for value in stored if rules.metric.succeeded(value)]
    if len(good) < 2:
        return [
            rate,
            _finding(
                rules,
                stored,
                measured,
                None,
                "median told only: a single stored run succeeded, which has no spread",
            ),
        ]
    found = _within_spread(rules, good, measured, statistics.median)
    below = _better(rules, statistics.median(measured) - statistics.median(good)) < 0
    if (
        found.verdict is Verdict.REGRESS
        and below
        and len(good) < len(stored)
        and rate.verdict is not Verdict.REGRESS
    ):
        found = _finding(
            rules,
            good,
            measured,
            Verdict.INCONCLUSIVE,
            found.rule + "; stored runs have failed too: more seeds",
        )
    return [rate, found]


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
    rules: TierRules,
    stored: Sequence[float],
    measured: Sequence[float],
    verdict: Optional[Verdict],
    rule: str,
) -> Finding:
    """A finding on the metric, with the values themselves."""
    told = rules.metric.told
    unit = "" if rules.metric.unit in ("plain", "fraction") else " " + rules.metric.unit
    return Finding(
        rules.metric.name,
        verdict,
        ", ".join(told(value) for value in measured) + unit,
        "stored {}".format(", ".join(told(value) for value in stored)),
        rule,
    )
