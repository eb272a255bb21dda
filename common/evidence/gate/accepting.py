"""Makes references out of runs, where the runs are fit for it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import List, Optional, Sequence

from common.core.errors import InfrastructureError
from common.evidence.gate.baseline import Baseline, StoredRun, make_baseline
from common.evidence.gate.baseline_store import baselines_of, matching, store
from common.evidence.gate.reading import GivenRun
from common.evidence.gate.soundness import judge_soundness
from common.evidence.gate.verdict import Verdict
from common.runs.record import RunRecord


def fit_records(
    name: str, runs: Sequence[GivenRun], fewest: int, allow_dirty: bool
) -> List[RunRecord]:
    """The records of runs from which a reference may be made.

    Raises:
        InfrastructureError: a run is not whole or sound, too few runs, uncommitted changes.
    """
    for run in runs:
        for finding in judge_soundness(run):
            if finding.verdict is not Verdict.PASS:
                raise InfrastructureError(f"no reference for {name}: {finding.line}")
    records = [run.record for run in runs if run.record is not None]
    if len(records) < fewest:
        raise InfrastructureError(
            f"no reference for {name}: {len(records)} run(s), asked for were {fewest}"
        )
    dirty = ", ".join(record.run_id for record in records if record.code.dirty)
    if dirty and not allow_dirty:
        raise InfrastructureError(
            f"no reference for {name}: {dirty} ran with uncommitted changes; commit them and run "
            "again, or give --allow_dirty, which the reference will say"
        )
    return records


def accept(root: Path, records: Sequence[RunRecord], with_speed: bool = True) -> List[str]:
    """Writes the reference of runs; returns what to tell, an earlier reference's values included.

    Args:
        with_speed: False keeps the speeds of the earlier reference's runs of the same seeds.

    Raises:
        ZooError: the runs differ in more than their seed.
    """
    baseline = make_baseline(records)
    before = matching(baselines_of(root, baseline.key.model), baseline.key)
    if before is not None:  # a case may have got another name; its recipe is still the same
        baseline = dataclasses.replace(baseline, case=before.case)
    if not with_speed:
        runs = tuple(_with_earlier_speed(run, before) for run in baseline.runs)
        baseline = dataclasses.replace(baseline, runs=runs)
    lines = [f"wrote {store(root, baseline).relative_to(root)}"]
    for word, reference in (("now   ", baseline), ("before", before)):
        lines += [f"  {word}  {run}" for run in (reference.runs if reference else ())]
    return lines


def _with_earlier_speed(run: StoredRun, before: Optional[Baseline]) -> StoredRun:
    """The run with the speed that its seed had on the same device before; without any else."""
    known = {(old.seed, old.device): old for old in (before.runs if before else ())}
    old = known.get((run.seed, run.device))
    if old is None:
        return dataclasses.replace(run, samples_per_second=None, data_wait=None)
    return dataclasses.replace(
        run,
        samples_per_second=old.samples_per_second,
        data_wait=old.data_wait,
        speed_of=old.speed_of or old.run_id,
    )
