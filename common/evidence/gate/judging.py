"""Puts the findings of a case together: runs, reference, data, evaluation, accuracy, speed."""

from __future__ import annotations

from typing import List, Optional, Sequence

import attrs

from common.cards.model_card import Task, TierRules
from common.core.text import listed
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
from common.evidence.gate.rules import judge_accuracy, judge_speed
from common.runs.provenance import recipe_of
from common.runs.record import RunRecord

_SHOWN_DIFFERENCES = 6


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
    now = list(dict.fromkeys(str(run.evaluation or "no evaluation") for run in measured))
    before, rule = str(baseline.runs[0].evaluation or ""), "must be the same"
    if not before:
        rule = "the reference does not say what it was evaluated on; --accept makes it anew"
    verdict = Verdict.PASS if now == [before] else Verdict.INCONCLUSIVE
    return Finding("evaluation", verdict, listed(now), before, rule)


def _first_batches(baseline: Baseline, run: StoredRun) -> Finding:
    """The same recipe and seed must give the same first batches."""
    stored = {known.seed: known.first_batches_sha256 for known in baseline.runs}.get(run.seed)
    now, verdict, rule = run.first_batches_sha256, Verdict.PASS, "must be equal"
    told, before = ("no checksum" if one is None else one[:8] for one in (now, stored))
    aspect = f"first batches, seed {run.seed}"
    if stored is None:
        return Finding(aspect, None, told, before, "not judged: none is stored for this seed")
    if now is None:
        verdict, rule = Verdict.INCONCLUSIVE, "the reference has a checksum, the run tells none"
    elif now != stored:
        rule = "same recipe and seed, other data: the data pipeline changed"
        verdict = Verdict.REGRESS
    return Finding(aspect, verdict, told, before, rule)


def _accuracy(rules: TierRules, baseline: Baseline, measured: Sequence[StoredRun]) -> List[Finding]:
    name, before = rules.metric.name, baseline.values(rules.metric.name)
    values = [run.metrics[name] for run in measured if name in run.metrics]
    if len(values) == len(measured) and len(before) == len(baseline.runs):
        return judge_accuracy(rules, before, values)
    told = f"{len(values)} of {len(measured)} runs have it"
    reference = f"{len(before)} of {len(baseline.runs)} stored"
    rule = "every run must tell a finite value"
    return [Finding(name, Verdict.INCONCLUSIVE, told, reference, rule)]
