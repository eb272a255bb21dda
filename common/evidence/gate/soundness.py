"""Whether a run is one that can be judged: it ended well, its log is whole, its numbers finite."""

from __future__ import annotations

import dataclasses
from typing import List, Optional, Tuple

from common.core.errors import USAGE_EXIT_CODE, InfrastructureError
from common.evidence.gate.verdict import Finding, Verdict
from common.launch.run_folder import INTERRUPTED
from common.launch.supervisor import HANG_EXIT_CODE
from common.runs.record import COMPLETE, NO_END, RunRecord

_FROM_SIGNALS = 128
_OF_THE_MACHINE = (InfrastructureError.exit_code, USAGE_EXIT_CODE, HANG_EXIT_CODE)


@dataclasses.dataclass(frozen=True)
class GivenRun:
    """A run to judge, with what is known of how it ended.

    Attributes:
        source: its folder or record.
        record: None where there is none.
        state, exit_code: as the launcher's marker has them; "" and None where nobody launched it.
        reason: why there is no record, or what the launcher says of the end.
        doubts: why record and log can't be taken for whole.
    """

    source: str
    record: Optional[RunRecord]
    state: str = ""
    exit_code: Optional[int] = None
    reason: str = ""
    doubts: Tuple[str, ...] = ()

    @property
    def was_stopped(self) -> bool:
        """Whether the machine or somebody ended it, not the program itself."""
        code = self.exit_code or 0
        return self.state == INTERRUPTED or code > _FROM_SIGNALS or code in _OF_THE_MACHINE


def judge_soundness(run: GivenRun) -> List[Finding]:
    """What keeps a run from being judged further; all PASS where nothing does."""
    if run.record is None:
        return [_without_record(run)]
    if run.was_stopped:
        return [
            _run(
                run,
                Verdict.INFRA,
                f"exit code {run.exit_code}",
                "killed, interrupted, or kept from running by the machine",
            )
        ]
    ending = _ending(run, run.record)
    return (
        [ending] + [_numbers(run.record), _proof(run.record)]
        if ending.verdict is Verdict.PASS
        else [ending]
    )


def _without_record(run: GivenRun) -> Finding:
    if run.exit_code is None:
        return _run(run, Verdict.INCONCLUSIVE, "no record", "there is nothing to judge")
    return _run(run, Verdict.INFRA, "no record", "the run could not start")


def _ending(run: GivenRun, record: RunRecord) -> Finding:
    doubts = list(run.doubts) + _doubts(record)
    if record.status != COMPLETE and record.reason == NO_END and not run.exit_code:
        doubts.append("the log has no end")
    if doubts:
        return _run(
            run,
            Verdict.INCONCLUSIVE,
            "incomplete: " + "; ".join(doubts),
            "log and record must be whole",
        )
    if record.status != COMPLETE or run.exit_code:
        return _run(
            run, Verdict.REGRESS, "failed: " + (record.reason or run.reason), "must end well"
        )
    return _run(run, Verdict.PASS, f"complete, {record.progress.steps} steps", "must end well")


def _doubts(record: RunRecord) -> List[str]:
    """What in a record shows that its log is not whole."""
    if record.status != COMPLETE:
        return []
    progress, logged = record.progress, record.speed.warmup_steps + record.speed.measured_steps
    doubts = []
    if progress.steps < progress.target_steps:
        doubts.append(f"{progress.steps} of {progress.target_steps} steps")
    if logged < progress.steps:
        doubts.append(f"the log holds {logged} of {progress.steps} steps")
    return doubts


def _numbers(record: RunRecord) -> Finding:
    count = record.health.nonfinite_steps
    skips = record.health.loss_scale_skips
    return Finding(
        "numbers",
        Verdict.REGRESS if count else Verdict.PASS,
        "{} steps with a loss that is not finite{}".format(
            count or "no", f", {skips} skipped by the loss scale" if skips else ""
        ),
        "",
        "none may have one",
    )


def _proof(record: RunRecord) -> Finding:
    proof = record.health.proof
    return Finding(
        "device",
        Verdict.PASS if proof else Verdict.INCONCLUSIVE,
        proof or "no proof",
        "",
        f"the log must prove that {record.device.name} ran it",
    )


def _run(run: GivenRun, verdict: Verdict, measured: str, rule: str) -> Finding:
    told = measured if not run.reason or run.reason in measured else f"{measured} ({run.reason})"
    return Finding("run", verdict, told, "", rule)
