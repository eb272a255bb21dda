"""Puts the findings of a case together: runs, reference, accuracy, speed, data."""

from __future__ import annotations

import dataclasses
from typing import List, Optional, Sequence

from common.cards.model_card import Case
from common.cards.tiers import TierRules
from common.evidence.gate.accuracy import judge_accuracy
from common.evidence.gate.baseline import (
    Baseline,
    Key,
    StoredRun,
    device_label,
    framework_of,
    key_of,
    stored_run,
)
from common.evidence.gate.baseline_store import matching
from common.evidence.gate.differences import nearest
from common.evidence.gate.soundness import GivenRun, judge_soundness
from common.evidence.gate.speed import judge_speed
from common.evidence.gate.verdict import CaseReport, Finding, Verdict, worst
from common.runs.provenance import recipe_of
from common.runs.record import RunRecord

_SHOWN_DIFFERENCES = 6


def judge_case(
    name: str,
    case: Optional[Case],
    rules: TierRules,
    runs: Sequence[GivenRun],
    stored: Sequence[Baseline],
    with_speed: bool = True,
    seconds: Optional[float] = None,
) -> CaseReport:
    """Judges the runs of one case.

    Args:
        name: model/task case.
        case: what it promises; None judges accuracy and speed.
        stored: the references of the network.
        with_speed: False tells the speed without judging it.
    """
    findings: List[Finding] = []
    records: List[RunRecord] = []
    for run in runs:
        found = judge_soundness(run)
        findings += [dataclasses.replace(part, aspect=_of_run(part.aspect, run)) for part in found]
        if run.record is not None and worst(part.verdict for part in found) is Verdict.PASS:
            records.append(run.record)
    if records:
        findings += _judge_records(case, rules, records, stored, with_speed)
    return CaseReport(
        name, _setting(runs), tuple(run.source for run in runs), tuple(findings), seconds
    )


def judge_unreadable(run: GivenRun) -> CaseReport:
    """The report of a run that has no record."""
    return CaseReport(run.source, "", (run.source,), tuple(judge_soundness(run)))


def case_left_out(name: str, why: str) -> CaseReport:
    """The report of a case that could not be run for want of something: never a pass."""
    return CaseReport(name, "", (), (Finding("run", Verdict.INCONCLUSIVE, "not run", "", why),))


def _of_run(aspect: str, run: GivenRun) -> str:
    return aspect if run.record is None else f"{aspect}, seed {run.record.seed}"


def _setting(runs: Sequence[GivenRun]) -> str:
    record = next((run.record for run in runs if run.record is not None), None)
    if record is None:
        return ""
    return (
        f"{record.device.kind.upper()} {device_label(record)}, "
        f"{framework_of(record.device.framework)}"
    )


def _judge_records(
    case: Optional[Case],
    rules: TierRules,
    records: Sequence[RunRecord],
    stored: Sequence[Baseline],
    with_speed: bool,
) -> List[Finding]:
    keys = {key_of(record) for record in records}
    seeds = sorted({record.seed for record in records})
    if len(keys) > 1 or len(seeds) < len(records):
        return [
            Finding(
                "seeds",
                Verdict.INCONCLUSIVE,
                f"seeds {_listed(seeds)}",
                "",
                "runs must differ in their seed, and in nothing else",
            )
        ]
    findings = [_seeds(rules, seeds)]
    key = key_of(records[0])
    baseline = matching(list(stored), key)
    if baseline is None:
        return findings + [_no_reference(stored, key, records[0])]
    measured = [stored_run(record) for record in records]
    findings += [_reference(baseline)] + _first_batches(baseline, measured)
    if case is None or case.promises_accuracy:
        findings += _accuracy(rules, baseline, measured)
    if case is None or case.promises_speed:
        speed = judge_speed(rules, baseline.runs, measured)
        findings += (
            speed if with_speed else [dataclasses.replace(part, verdict=None) for part in speed]
        )
    return findings


def _listed(values: Sequence[object]) -> str:
    return ", ".join(str(value) for value in values)


def _seeds(rules: TierRules, seeds: Sequence[int]) -> Finding:
    enough = len(seeds) >= rules.seeds
    return Finding(
        "seeds",
        Verdict.PASS if enough else Verdict.INCONCLUSIVE,
        f"{len(seeds)} ({_listed(seeds)})",
        "",
        f"{rules.seeds} at {rules.tier}",
    )


def _no_reference(stored: Sequence[Baseline], key: Key, record: RunRecord) -> Finding:
    found = nearest(stored, key, recipe_of(record.config))
    if found is None:
        return Finding(
            "reference",
            Verdict.INCONCLUSIVE,
            f"none is stored for {key.model}/{key.task}",
            "",
            "`zoo regress --accept` makes one",
        )
    baseline, differing = found
    shown = "; ".join(differing[:_SHOWN_DIFFERENCES])
    if len(differing) > _SHOWN_DIFFERENCES:
        shown += f"; {len(differing) - _SHOWN_DIFFERENCES} more"
    return Finding(
        "reference",
        Verdict.INCONCLUSIVE,
        f"none of this key, recipe {key.recipe_sha256[:8]}",
        baseline.file_name,
        "differs in " + shown,
    )


def _reference(baseline: Baseline) -> Finding:
    dirty = any(run.dirty for run in baseline.runs)
    remark = ", made with uncommitted changes" if dirty else ""
    return Finding(
        "reference",
        Verdict.PASS,
        baseline.file_name,
        "",
        f"{len(baseline.runs)} runs, seeds {_listed(baseline.seeds)}{remark}",
    )


def _first_batches(baseline: Baseline, measured: Sequence[StoredRun]) -> List[Finding]:
    """The same recipe and seed must give the same first batches."""
    by_seed = {run.seed: run.first_batches_sha256 for run in baseline.runs}
    return [_first_batches_of(run, by_seed.get(run.seed)) for run in measured]


def _first_batches_of(run: StoredRun, stored: Optional[str]) -> Finding:
    now, aspect = run.first_batches_sha256, f"first batches, seed {run.seed}"
    if now is None or stored is None:
        why = "the run tells no checksum" if now is None else "none is stored for this seed"
        return Finding(aspect, None, _short(now), _short(stored), "not judged: " + why)
    if now != stored:
        return Finding(
            aspect,
            Verdict.REGRESS,
            _short(now),
            _short(stored),
            "same recipe and seed, other data: the data pipeline changed",
        )
    return Finding(aspect, Verdict.PASS, _short(now), _short(stored), "must be equal")


def _short(checksum: Optional[str]) -> str:
    return "no checksum" if checksum is None else checksum[:8]


def _accuracy(rules: TierRules, baseline: Baseline, measured: Sequence[StoredRun]) -> List[Finding]:
    name = rules.metric.name
    values = [run.metrics[name] for run in measured if name in run.metrics]
    before = baseline.values(name)
    if len(values) < len(measured) or len(before) < len(baseline.runs):
        return [
            Finding(
                name,
                Verdict.INCONCLUSIVE,
                f"{len(values)} of {len(measured)} runs have it",
                f"{len(before)} of {len(baseline.runs)} stored",
                "every run must tell a finite value",
            )
        ]
    return judge_accuracy(rules, before, values)
