"""Judges a case: its runs, reference, data, evaluation, accuracy and speed; rules are pure."""

from __future__ import annotations

import math
import statistics
from typing import Callable, List, Optional, Sequence, Tuple

import attrs

from common.cards.model_card import RELEASE, Task, TierRules
from common.core.text import listed
from common.evidence.comparison.statistics import two_sided_quantile, welch
from common.evidence.gate.evidence import GivenRun, judge_soundness
from common.evidence.gate.findings import CaseReport, Finding, Verdict, worst
from common.evidence.gate.references import (
    Baseline,
    StoredRun,
    device_label,
    framework_of,
    key_of,
    stored_run,
)
from common.runs.provenance import recipe_of
from common.runs.record import RunRecord

CONFIDENCE = 0.95  # one-sided, everywhere in the gate
TOO_GOOD = "too good is a fault until explained"
WIDEST_BAND = 0.5  # of speed: a wider one would let half of it pass
_SHOWN_DIFFERENCES = 6

Values = Sequence[float]
Judged = Tuple[Optional[Verdict], str]  # with the rule that it follows from


def judge_case(
    name: str,
    task: Optional[Task],
    rules: Optional[TierRules],
    runs: Sequence[GivenRun],
    stored: Sequence[Baseline],
    with_speed: bool = True,
    seconds: Optional[float] = None,
) -> CaseReport:
    """Judges the runs of one case.

    Args:
        name: model/task case.
        task: it says what its cases promise; None, as `rules`, where no card knows it.
        stored: the references of the network.
        with_speed: False tells the speed without judging it.
    """
    findings: List[Finding] = []
    records, sound = [run.record for run in runs if run.record is not None], []
    for run in runs:
        found = judge_soundness(run)
        if run.record is not None:
            of_seed = f", seed {run.record.seed}"
            found = [attrs.evolve(part, aspect=part.aspect + of_seed) for part in found]
            if worst(part.verdict for part in found) is Verdict.PASS:
                sound.append(run.record)
        findings += found
    if sound and task is not None and rules is not None:
        findings += _judge_records(task, rules, sound, stored, with_speed)
    setting = ""
    if records:
        kind, framework = records[0].device.kind.upper(), records[0].device.framework
        setting = f"{kind} {device_label(records[0])}, {framework_of(framework)}"
    sources = tuple(run.source for run in runs)
    return CaseReport(name, setting, sources, tuple(findings), seconds)


def _judge_records(
    task: Task,
    rules: TierRules,
    records: Sequence[RunRecord],
    stored: Sequence[Baseline],
    with_speed: bool,
) -> List[Finding]:
    key, seeds = key_of(records[0]), sorted({record.seed for record in records})
    logs = {record.log_sha256 for record in records}
    alike = len({key_of(record) for record in records}) == 1
    if not alike or len(seeds) < len(records) or len(logs) < len(records):
        rule = "runs must differ in their seed and their log, and in nothing else"
        return [Finding("seeds", Verdict.INCONCLUSIVE, f"seeds {listed(seeds)}", "", rule)]
    verdict = Verdict.PASS if len(seeds) >= rules.seeds else Verdict.INCONCLUSIVE
    told = f"{len(seeds)} ({listed(seeds)})"
    findings = [Finding("seeds", verdict, told, "", f"{rules.seeds} at {rules.tier}")]
    baseline = next((one for one in stored if one.key == key), None)
    if baseline is None:
        return [*findings, _no_reference(stored, records[0])]
    dirty = any(run.dirty for run in baseline.runs)
    told = f"{len(baseline.runs)} runs, seeds {listed(baseline.seeds)}"
    told += ", made with uncommitted changes" if dirty else ""
    findings.append(Finding("reference", Verdict.PASS, baseline.file_name, "", told))
    measured = [stored_run(record) for record in records]
    findings.append(_evaluation(baseline, measured))
    findings += [_first_batches(baseline, run) for run in measured]
    # What the reference's case promises counts too: a run's own case is what its files say.
    cases = [task.cases.get(name) for name in (records[0].case, baseline.case)]
    if any(case is None or case.promises_accuracy for case in cases):
        findings += _accuracy(rules, baseline, measured)
    if any(case is None or case.promises_speed for case in cases):
        speed = judge_speed(rules, baseline.runs, measured)
        findings += speed if with_speed else [attrs.evolve(part, verdict=None) for part in speed]
    return findings


def _no_reference(stored: Sequence[Baseline], record: RunRecord) -> Finding:
    """Names the reference of the task that differs least, and in what."""
    key, recipe = key_of(record), recipe_of(record.config)
    found = [(one.differences(key, recipe), one) for one in stored if one.key.task == key.task]
    told = f"none of {key.model}/{key.task}, recipe {key.recipe_sha256[:8]}"
    name, rule = "", "`zoo regress --accept` makes one"
    if found:
        differing, nearest = min(found, key=lambda pair: len(pair[0]))
        differing[_SHOWN_DIFFERENCES:] = ["…"] * (len(differing) > _SHOWN_DIFFERENCES)
        name, rule = nearest.file_name, "differs in " + "; ".join(differing)
    return Finding("reference", Verdict.INCONCLUSIVE, told, name, rule)


def _evaluation(baseline: Baseline, measured: Sequence[StoredRun]) -> Finding:
    """Figures are those of the reference's split, samples and step, or they are none."""
    now, before = (
        list(dict.fromkeys(str(run.evaluation or "not told") for run in runs))
        for runs in (measured, baseline.runs[:1])
    )
    verdict = Verdict.PASS if now == before else Verdict.INCONCLUSIVE
    return Finding("evaluation", verdict, listed(now), listed(before), "must be the same")


def _first_batches(baseline: Baseline, run: StoredRun) -> Finding:
    """The same recipe and seed must give the same first batches."""
    stored = {known.seed: known.first_batches_sha256 for known in baseline.runs}.get(run.seed)
    now, verdict, rule = run.first_batches_sha256, None, "not judged: none is stored for this seed"
    if now is None and stored is not None:
        verdict, rule = Verdict.INCONCLUSIVE, "the reference has a checksum, the run tells none"
    elif stored is not None:
        verdict, rule = Verdict.PASS, "must be equal"
        if now != stored:
            rule = "same recipe and seed, other data: the data pipeline changed"
            verdict = Verdict.REGRESS
    told, before = ("no checksum" if one is None else one[:8] for one in (now, stored))
    return Finding(f"first batches, seed {run.seed}", verdict, told, before, rule)


def _accuracy(rules: TierRules, baseline: Baseline, measured: Sequence[StoredRun]) -> List[Finding]:
    name, before = rules.metric.name, baseline.values(rules.metric.name)
    values = [run.metrics[name] for run in measured if name in run.metrics]
    if len(values) == len(measured) and len(before) == len(baseline.runs):
        return judge_accuracy(rules, before, values)
    told = f"{len(values)} of {len(measured)} runs have it"
    reference = f"{len(before)} of {len(baseline.runs)} stored"
    rule = "every run must tell a finite value"
    return [Finding(name, Verdict.INCONCLUSIVE, told, reference, rule)]


# --- the rules ---


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
    now, before = (", ".join(map(rules.metric.told, values)) for values in (measured, stored))
    now += " percent" if rules.metric.unit == "percent" else ""
    return Finding(rules.metric.name, judged[0], now, "stored " + before, judged[1])


# --- speed ---


def judge_speed(
    rules: TierRules, stored: Sequence[StoredRun], measured: Sequence[StoredRun]
) -> List[Finding]:
    """Judges rate and data wait of runs on one device; nothing where the reference has another."""
    device = measured[0].device
    sides = measured, [run for run in stored if run.device == device]
    if not sides[1]:
        others = ", ".join(sorted({run.device for run in stored}))
        rule = "speed is compared on the same device only"
        return [Finding("speed", Verdict.INCONCLUSIVE, device, others, rule)]
    rates, waits = (
        [[getattr(run, name) for run in runs if getattr(run, name) is not None] for runs in sides]
        for name in ("samples_per_second", "data_wait")
    )
    told_rates = [", ".join(f"{rate:.1f}" for rate in side) + " samples/s" for side in rates]
    told_waits = [", ".join(f"{100 * wait:.1f} %" for wait in side) or "–" for side in waits]
    rate, wait = _rate_rule(rules, *rates), _wait_rule(rules, *waits)
    return [
        Finding("speed", rate[0], told_rates[0], told_rates[1], rate[1]),
        Finding("data wait", wait[0], told_waits[0], told_waits[1], wait[1]),
    ]


def _rate_rule(rules: TierRules, now: Values, before: Values) -> Judged:
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


def _wait_rule(rules: TierRules, now: Values, before: Values) -> Judged:
    if not before or not now:
        return None, "not judged: no clock tells it on this device"
    wait, limit = statistics.median(now), max(before) + rules.data_wait_margin
    rule = f"median {100 * wait:.1f} % of the step, at most {100 * limit:.1f} %"
    return (Verdict.REGRESS if wait > limit else Verdict.PASS), rule
