"""Puts the findings of a case together: runs, reference, data, evaluation, accuracy, speed."""

from __future__ import annotations

import dataclasses
from typing import List, Optional, Sequence, Tuple

from common.cards.model_card import Task
from common.cards.tiers import TierRules
from common.core.text import listed
from common.evidence.gate.accuracy import judge_accuracy
from common.evidence.gate.baseline import (
    Baseline,
    StoredRun,
    device_label,
    framework_of,
    key_of,
    nearest,
    stored_run,
)
from common.evidence.gate.baseline_store import matching
from common.evidence.gate.reading import GivenRun
from common.evidence.gate.soundness import judge_soundness
from common.evidence.gate.speed import judge_speed
from common.evidence.gate.verdict import CaseReport, Finding, Verdict, worst
from common.runs.provenance import recipe_of
from common.runs.record import RunRecord

_SHOWN_DIFFERENCES = 6


def judge_case(
    name: str,
    task: Task,
    rules: TierRules,
    runs: Sequence[GivenRun],
    stored: Sequence[Baseline],
    with_speed: bool = True,
    seconds: Optional[float] = None,
) -> CaseReport:
    """Judges the runs of one case.

    Args:
        name: model/task case.
        task: it says what its cases promise.
        stored: the references of the network.
        with_speed: False tells the speed without judging it.
    """
    findings: List[Finding] = []
    sound: List[RunRecord] = []
    for run in runs:
        found = judge_soundness(run)
        if run.record is not None:
            aspects = [f"{part.aspect}, seed {run.record.seed}" for part in found]
            pairs = zip(found, aspects)
            found = [dataclasses.replace(part, aspect=aspect) for part, aspect in pairs]
            if worst(part.verdict for part in found) is Verdict.PASS:
                sound.append(run.record)
        findings += found
    if sound:
        findings += _judge_records(task, rules, sound, stored, with_speed)
    sources = tuple(run.source for run in runs)
    return CaseReport(name, _setting(runs), sources, tuple(findings), seconds)


def judge_alone(run: GivenRun) -> CaseReport:
    """The report of a run of no known case: it has no record, or no card names its network."""
    return CaseReport(run.source, "", (run.source,), tuple(judge_soundness(run)))


def case_left_out(name: str, why: str) -> CaseReport:
    """The report of a case that could not be run for want of something: never a pass."""
    return CaseReport(name, "", (), (Finding("run", Verdict.INCONCLUSIVE, "not run", "", why),))


def _setting(runs: Sequence[GivenRun]) -> str:
    record = next((run.record for run in runs if run.record is not None), None)
    if record is None:
        return ""
    framework = framework_of(record.device.framework)
    return f"{record.device.kind.upper()} {device_label(record)}, {framework}"


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
    findings = [_seeds(rules, seeds)]
    baseline = matching(stored, key)
    if baseline is None:
        return [*findings, _no_reference(stored, records[0])]
    measured = [stored_run(record) for record in records]
    findings += [_reference(baseline), _evaluation(baseline, measured)]
    findings += [_first_batches(baseline, run) for run in measured]
    # What the reference's case promises counts too: a run's own case is what its files say.
    cases = [task.cases.get(name) for name in (records[0].case, baseline.case)]
    if any(case is None or case.promises_accuracy for case in cases):
        findings += _accuracy(rules, baseline, measured)
    if any(case is None or case.promises_speed for case in cases):
        speed = judge_speed(rules, baseline.runs, measured)
        findings += [
            part if with_speed else dataclasses.replace(part, verdict=None) for part in speed
        ]
    return findings


def _seeds(rules: TierRules, seeds: Sequence[int]) -> Finding:
    verdict = Verdict.PASS if len(seeds) >= rules.seeds else Verdict.INCONCLUSIVE
    told = f"{len(seeds)} ({listed(seeds)})"
    return Finding("seeds", verdict, told, "", f"{rules.seeds} at {rules.tier}")


def _no_reference(stored: Sequence[Baseline], record: RunRecord) -> Finding:
    key = key_of(record)
    found = nearest(stored, key, recipe_of(record.config))
    if found is None:
        told, rule = (
            f"none is stored for {key.model}/{key.task}",
            "`zoo regress --accept` makes one",
        )
        return Finding("reference", Verdict.INCONCLUSIVE, told, "", rule)
    baseline, differing = found
    shown = differing[:_SHOWN_DIFFERENCES]
    if len(differing) > len(shown):
        shown.append(f"{len(differing) - len(shown)} more")
    told = f"none of this key, recipe {key.recipe_sha256[:8]}"
    rule = "differs in " + "; ".join(shown)
    return Finding("reference", Verdict.INCONCLUSIVE, told, baseline.file_name, rule)


def _reference(baseline: Baseline) -> Finding:
    dirty = any(run.dirty for run in baseline.runs)
    told = f"{len(baseline.runs)} runs, seeds {listed(baseline.seeds)}"
    told += ", made with uncommitted changes" if dirty else ""
    return Finding("reference", Verdict.PASS, baseline.file_name, "", told)


def _evaluation(baseline: Baseline, measured: Sequence[StoredRun]) -> Finding:
    """Figures are those of the reference's split, samples and step, or they are none."""
    now = list(dict.fromkeys(str(run.evaluation or "no evaluation") for run in measured))
    before = baseline.runs[0].evaluation
    if before is None:
        rule = "the reference does not say what it was evaluated on; --accept makes it anew"
        return Finding("evaluation", Verdict.INCONCLUSIVE, listed(now), "", rule)
    verdict = Verdict.PASS if now == [str(before)] else Verdict.INCONCLUSIVE
    return Finding("evaluation", verdict, listed(now), str(before), "must be the same")


def _first_batches(baseline: Baseline, run: StoredRun) -> Finding:
    """The same recipe and seed must give the same first batches."""
    stored = {known.seed: known.first_batches_sha256 for known in baseline.runs}.get(run.seed)
    now = run.first_batches_sha256
    told, before = ("no checksum" if one is None else one[:8] for one in (now, stored))
    verdict, rule = _judged_batches(now, stored)
    return Finding(f"first batches, seed {run.seed}", verdict, told, before, rule)


def _judged_batches(now: Optional[str], stored: Optional[str]) -> Tuple[Optional[Verdict], str]:
    if stored is None:
        return None, "not judged: none is stored for this seed"
    if now is None:
        return Verdict.INCONCLUSIVE, "the run does not tell the checksum that the reference has"
    if now != stored:
        return Verdict.REGRESS, "same recipe and seed, other data: the data pipeline changed"
    return Verdict.PASS, "must be equal"


def _accuracy(rules: TierRules, baseline: Baseline, measured: Sequence[StoredRun]) -> List[Finding]:
    name = rules.metric.name
    values = [run.metrics[name] for run in measured if name in run.metrics]
    before = baseline.values(name)
    if len(values) == len(measured) and len(before) == len(baseline.runs):
        return judge_accuracy(rules, before, values)
    told = f"{len(values)} of {len(measured)} runs have it"
    reference = f"{len(before)} of {len(baseline.runs)} stored"
    rule = "every run must tell a finite value"
    return [Finding(name, Verdict.INCONCLUSIVE, told, reference, rule)]
