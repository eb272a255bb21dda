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
        return [
            Finding(
                "speed",
                Verdict.INCONCLUSIVE,
                device,
                others,
                "speed is compared on the same device only",
            )
        ]
    return [_rate(rules, same, measured), _data_wait(rules, same, measured)]


def _rate(rules: TierRules, stored: Sequence[StoredRun], measured: Sequence[StoredRun]) -> Finding:
    before = _known([run.samples_per_second for run in stored])
    now = _known([run.samples_per_second for run in measured])
    if not before or not now:
        return Finding(
            "speed",
            Verdict.INCONCLUSIVE,
            _rates(now),
            _rates(before),
            "a run without a measured speed",
        )
    ratio = statistics.median(now) / statistics.median(before)
    band = _band(rules, before, len(now))
    rule = f"ratio of medians {ratio:.3f}, at least {1 - band:.3f}"
    if band >= WIDEST_BAND:
        verdict, rule = Verdict.INCONCLUSIVE, rule + ": the stored speeds spread too widely"
    elif ratio < 1 - band:
        verdict = Verdict.REGRESS
    else:
        verdict = Verdict.PASS
        rule += "; faster: --accept makes it the reference" if ratio > 1 + band else ""
    return Finding("speed", verdict, _rates(now), _rates(before), rule)


def _band(rules: TierRules, stored: Sequence[float], count: int) -> float:
    """The share that may be missing: the card's, or what the stored spread lets one expect."""
    if len(stored) < 2:
        return rules.speed_margin
    spread = prediction_half_width(stored, count) / statistics.median(stored)
    return max(rules.speed_margin, spread)


def _data_wait(
    rules: TierRules, stored: Sequence[StoredRun], measured: Sequence[StoredRun]
) -> Finding:
    before = _known([run.data_wait for run in stored])
    now = _known([run.data_wait for run in measured])
    if not before or not now:
        return Finding(
            "data wait",
            None,
            _shares(now),
            _shares(before),
            "not judged: no clock tells it on this device",
        )
    limit = max(before) + rules.data_wait_margin
    worst = statistics.median(now)
    return Finding(
        "data wait",
        Verdict.REGRESS if worst > limit else Verdict.PASS,
        _shares(now),
        _shares(before),
        f"median {100 * worst:.1f} % of the step, at most {100 * limit:.1f} %",
    )


def _known(values: Sequence[Optional[float]]) -> List[float]:
    return [value for value in values if value is not None]


def _rates(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.1f}" for value in values) + " samples/s" if values else "–"


def _shares(values: Sequence[float]) -> str:
    return ", ".join(f"{100 * value:.1f} %" for value in values) or "–"
