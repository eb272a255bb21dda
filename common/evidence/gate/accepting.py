"""Makes references out of runs, where the runs are fit for it."""

from __future__ import annotations

from pathlib import Path
from typing import List, Sequence

from common.core.errors import InfrastructureError
from common.evidence.gate.baseline import StoredRun, make_baseline
from common.evidence.gate.baseline_store import store
from common.evidence.gate.soundness import GivenRun, judge_soundness
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
    dirty = [record.run_id for record in records if record.code.dirty]
    if dirty and not allow_dirty:
        raise InfrastructureError(
            "no reference for {}: {} ran with uncommitted changes; commit them and run again, or "
            "give --allow_dirty, which the reference will say".format(name, ", ".join(dirty))
        )
    return records


def accept(root: Path, records: List[RunRecord]) -> List[str]:
    """Writes the reference of runs; returns what to tell, an earlier reference's values included.

    Raises:
        ZooError: the runs differ in more than their seed.
    """
    baseline = make_baseline(records)
    path, before = store(root, baseline)
    lines = [f"wrote {path.relative_to(root)}"]
    lines += [f"  now     {_told(run)}" for run in baseline.runs]
    if before is not None:
        lines += [f"  before  {_told(run)}" for run in before.runs]
    return lines


def _told(run: StoredRun) -> str:
    metrics = ", ".join("{} {:.6g}".format(*pair) for pair in sorted(run.metrics.items()))
    speed = (
        "no speed" if run.samples_per_second is None else f"{run.samples_per_second:.1f} samples/s"
    )
    wait = "" if run.data_wait is None else f", data wait {100 * run.data_wait:.1f} %"
    return "seed {}: {}; {}{}; {}, {}, commit {}{}".format(
        run.seed,
        metrics,
        speed,
        wait,
        run.device,
        run.date,
        run.commit[:7],
        " with changes" if run.dirty else "",
    )
