"""Whether a run is as fast as the reference on the same device, and waits no more for data."""

from __future__ import annotations

import statistics
from typing import List, Optional, Sequence

from common.cards.tiers import TierRules
from common.evidence.gate.baseline import StoredRun
from common.evidence.gate.spread import prediction_half_width
from common.evidence.gate.verdict import Finding, Verdict

WIDEST_BAND = 0.5  # a wider one would let half the speed pass


def judge_speed(
    rules: TierRules, stored: Sequence[StoredRun], measured: Sequence[StoredRun]
) -> List[Finding]:
    """Judges rate and data wait of runs on one device."""
    device = measured[0].device
    same = [run for run in stored if run.device == device]
    if not same:
        others = ", ".join(sorted({run.device for run in stored}))
        rule = "speed is compared on the same device only"
        return [Finding("speed", Verdict.INCONCLUSIVE, device, others, rule)]
    rates = [_known([run.samples_per_second for run in runs]) for runs in (same, measured)]
    waits = [_known([run.data_wait for run in runs]) for runs in (same, measured)]
    return [_rate(rules, *rates), _data_wait(rules, *waits)]


def _known(values: Sequence[Optional[float]]) -> List[float]:
    return [value for value in values if value is not None]


def _rate(rules: TierRules, before: Sequence[float], now: Sequence[float]) -> Finding:
    def finding(verdict: Verdict, rule: str) -> Finding:
        told, reference = (
            ", ".join(f"{value:.1f}" for value in values) + " samples/s" if values else "–"
            for values in (now, before)
        )
        return Finding("speed", verdict, told, reference, rule)

    if not before or not now:
        return finding(Verdict.INCONCLUSIVE, "a run without a measured speed")
    middle = statistics.median(before)
    ratio, band = statistics.median(now) / middle, rules.speed_margin
    if len(before) > 1:  # what the stored spread lets one expect, where that is more
        band = max(band, prediction_half_width(before, len(now)) / middle)
    rule = f"ratio of medians {ratio:.3f}, at least {1 - band:.3f}"
    if band >= WIDEST_BAND:
        return finding(Verdict.INCONCLUSIVE, rule + ": the stored speeds spread too widely")
    if ratio < 1 - band:
        return finding(Verdict.REGRESS, rule)
    faster = "; faster: --accept makes it the reference" if ratio > 1 + band else ""
    return finding(Verdict.PASS, rule + faster)


def _data_wait(rules: TierRules, before: Sequence[float], now: Sequence[float]) -> Finding:
    told, reference = (
        ", ".join(f"{100 * value:.1f} %" for value in values) or "–" for values in (now, before)
    )
    if not before or not now:
        rule = "not judged: no clock tells it on this device"
        return Finding("data wait", None, told, reference, rule)
    wait, limit = statistics.median(now), max(before) + rules.data_wait_margin
    verdict = Verdict.REGRESS if wait > limit else Verdict.PASS
    rule = f"median {100 * wait:.1f} % of the step, at most {100 * limit:.1f} %"
    return Finding("data wait", verdict, told, reference, rule)
