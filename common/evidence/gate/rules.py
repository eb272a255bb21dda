"""Whether accuracy and speed are those of a reference: pure functions of the raw values."""

from __future__ import annotations

import math
import statistics
from typing import Callable, List, Optional, Sequence, Tuple

from common.cards.model_card import RELEASE, TierRules
from common.evidence.comparison.statistics import two_sided_quantile, welch
from common.evidence.gate.findings import Finding, Verdict
from common.evidence.gate.references import StoredRun

CONFIDENCE = 0.95  # one-sided, everywhere in the gate
TOO_GOOD = "too good is a fault until explained"
WIDEST_BAND = 0.5  # of speed: a wider one would let half of it pass

Values = Sequence[float]
Judged = Tuple[Optional[Verdict], str]  # with the rule that it follows from


def _quantile(degrees: int) -> float:
    """The value that Student's t exceeds with probability 1 - CONFIDENCE."""
    return two_sided_quantile(2 * CONFIDENCE - 1, degrees)


def prediction_half_width(stored: Values, count: int = 1) -> float:
    """How far the mean of `count` further runs may lie from that of two or more stored ones.

    The prediction interval of a normal sample (Hahn and Meeker, Statistical Intervals, 1991,
    section 4.8): t(n - 1) s sqrt(1/count + 1/n), on one side.
    """
    width = statistics.stdev(stored) * math.sqrt(1.0 / count + 1.0 / len(stored))
    return _quantile(len(stored) - 1) * width


def chance_of_so_few(successes: int, runs: int, stored_successes: int, stored_runs: int) -> float:
    """How probable so few successes are, were both samples of one kind (Fisher's exact test)."""
    from scipy.stats import hypergeom  # takes seconds; only networks that fail by seed need it

    good = successes + stored_successes
    return float(hypergeom.cdf(successes, runs + stored_runs, good, runs))


# --- accuracy ---


def judge_accuracy(rules: TierRules, stored: Values, measured: Values) -> List[Finding]:
    """Judges the metric of runs of different seeds; at least two stored, one measured."""
    if rules.metric.success is not None and any(map(rules.metric.succeeded, stored)):
        return _of_bimodal(rules, stored, measured)
    if rules.tier != RELEASE:
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
    rules: TierRules, stored: Values, measured: Values, middle: Callable[[Values], float]
) -> Judged:
    """The measured middle must lie within margin and prediction interval around the stored one."""
    told, margin, centre = rules.metric.told, rules.metric.margin, middle(stored)
    spread = prediction_half_width(stored, len(measured))
    reach = margin + spread
    low, high = centre - reach, centre + reach
    rule = (
        f"at least {told(low)}, at most {told(high)} (margin {told(margin)}, spread {told(spread)})"
    )
    worst = low if rules.metric.higher_is_better else high
    if rules.chance is not None and _gain(rules, worst - rules.chance) <= 0:
        why = f"guessing reaches {told(rules.chance)}, the stored runs spread too widely"
        return Verdict.INCONCLUSIVE, f"{rule}: {why}"
    gain = _gain(rules, middle(measured) - centre)
    if gain > reach:
        return Verdict.REGRESS, f"{rule}; {TOO_GOOD}"
    return (Verdict.REGRESS if gain < -reach else Verdict.PASS), rule


def _not_inferior(rules: TierRules, stored: Values, measured: Values) -> Judged:
    """At release: one-sided non-inferiority of means, with 95 % confidence (Welch)."""
    difference, variance, degrees = welch(stored, measured)
    half_width = _quantile(degrees) * math.sqrt(variance)
    gain, margin, told = _gain(rules, difference), rules.metric.margin, rules.metric.told
    rule = (
        f"difference {'' if gain < 0 else '+'}{told(gain)}, with {100 * CONFIDENCE:.0f} % "
        f"confidence at least {told(gain - half_width)}; must be above -{told(margin)}"
    )
    if gain < -margin and gain + half_width < 0:
        return Verdict.REGRESS, rule
    if gain > margin and gain - half_width > 0:
        return Verdict.REGRESS, f"{rule}; better by more than {told(margin)}: {TOO_GOOD}"
    if gain - half_width < -margin:
        return Verdict.INCONCLUSIVE, rule + "; more seeds"
    return Verdict.PASS, rule


def _of_bimodal(rules: TierRules, stored: Values, measured: Values) -> List[Finding]:
    """Networks that fail by seed: success rate (Fisher), and median around those that succeeded."""
    good = [value for value in stored if rules.metric.succeeded(value)]
    now, before = sum(map(bool, map(rules.metric.succeeded, measured))), len(good)
    chance, significant = chance_of_so_few(now, len(measured), before, len(stored)), 1 - CONFIDENCE
    if now * len(stored) >= before * len(measured):
        verdict = Verdict.PASS
    else:
        verdict = Verdict.REGRESS if chance <= significant + 1e-9 else Verdict.INCONCLUSIVE
    rate = Finding(
        "success rate",
        verdict,
        f"{now} of {len(measured)} reached {rules.metric.success:g}",
        f"{before} of {len(stored)} stored",
        f"so few by chance: {100 * chance:.0f} %, REGRESS at most {100 * significant:.0f} %",
    )
    if before < 2:
        why = "median told only: a single stored run succeeded, which has no spread"
        return [rate, _finding(rules, stored, measured, (None, why))]
    judged, rule = _within_spread(rules, good, measured, statistics.median)
    below = _gain(rules, statistics.median(measured) - statistics.median(good)) < 0
    failed_before = below and before < len(stored) and verdict is not Verdict.REGRESS
    if judged is Verdict.REGRESS and failed_before:
        judged, rule = Verdict.INCONCLUSIVE, rule + "; stored runs have failed too: more seeds"
    return [rate, _finding(rules, good, measured, (judged, rule))]


def _finding(rules: TierRules, stored: Values, measured: Values, judged: Judged) -> Finding:
    """A finding on the metric, with the values themselves."""
    now, before = (", ".join(map(rules.metric.told, values)) for values in (measured, stored))
    now += " percent" if rules.metric.unit == "percent" else ""
    return Finding(rules.metric.name, judged[0], now, "stored " + before, judged[1])


# --- speed ---


def judge_speed(
    rules: TierRules, stored: Sequence[StoredRun], measured: Sequence[StoredRun]
) -> List[Finding]:
    """Judges rate and data wait of runs on one device; nothing where the reference has another."""
    device = measured[0].device
    same = [run for run in stored if run.device == device]
    if not same:
        others = ", ".join(sorted({run.device for run in stored}))
        rule = "speed is compared on the same device only"
        return [Finding("speed", Verdict.INCONCLUSIVE, device, others, rule)]
    rates, waits = (
        [
            [getattr(run, name) for run in runs if getattr(run, name) is not None]
            for runs in (measured, same)
        ]
        for name in ("samples_per_second", "data_wait")
    )
    told_rates = [", ".join(f"{rate:.1f}" for rate in side) + " samples/s" for side in rates]
    told_waits = [", ".join(f"{100 * wait:.1f} %" for wait in side) or "–" for side in waits]
    rate, wait = _judged_rate(rules, *rates), _judged_wait(rules, *waits)
    return [
        Finding("speed", rate[0], told_rates[0], told_rates[1], rate[1]),
        Finding("data wait", wait[0], told_waits[0], told_waits[1], wait[1]),
    ]


def _judged_rate(rules: TierRules, now: Values, before: Values) -> Judged:
    if not before or not now:
        return Verdict.INCONCLUSIVE, "a run without a measured speed"
    middle = statistics.median(before)
    ratio, band = statistics.median(now) / middle, rules.speed_margin
    if len(before) > 1:  # what the stored spread lets one expect, where that is more
        band = max(band, prediction_half_width(before, len(now)) / middle)
    rule = f"ratio of medians {ratio:.3f}, at least {1 - band:.3f}"
    if band >= WIDEST_BAND:
        return Verdict.INCONCLUSIVE, rule + ": the stored speeds spread too widely"
    if ratio < 1 - band:
        return Verdict.REGRESS, rule
    faster = "; faster: --accept makes it the reference" if ratio > 1 + band else ""
    return Verdict.PASS, rule + faster


def _judged_wait(rules: TierRules, now: Values, before: Values) -> Judged:
    if not before or not now:
        return None, "not judged: no clock tells it on this device"
    wait, limit = statistics.median(now), max(before) + rules.data_wait_margin
    rule = f"median {100 * wait:.1f} % of the step, at most {100 * limit:.1f} %"
    return (Verdict.REGRESS if wait > limit else Verdict.PASS), rule
