"""Whether a run is one that can be judged: whole, ended well, of finite numbers, on its device."""

from __future__ import annotations

import re
from typing import List

from common.core.errors import USAGE_EXIT_CODE, InfrastructureError
from common.evidence.gate.reading import GivenRun
from common.evidence.gate.verdict import Finding, Verdict
from common.launch.processes import HANG_EXIT_CODE
from common.launch.run_folder import INTERRUPTED
from common.runs.record import ABORTED, COMPLETE, NO_END, RunRecord

_FROM_SIGNALS = 128
_MOST_DOUBTS = 6
_OF_THE_MACHINE = (InfrastructureError.exit_code, USAGE_EXIT_CODE, HANG_EXIT_CODE)
# What a proof calls each kind of device; torch_npu maps npu on xla inside torch 1.8.1.
_DEVICES = {"cpu": r"\bcpu\b", "gpu": r"\b(gpu|cuda)", "npu": r"\b(npu|xla)"}


def judge_soundness(run: GivenRun) -> List[Finding]:
    """What keeps a run from being judged further; all PASS where nothing does."""
    ending = _ending(run)
    if run.record is None or ending.verdict is not Verdict.PASS:
        return [ending]
    return [ending, _numbers(run.record), _proof(run.record)]


def _ending(run: GivenRun) -> Finding:
    def finding(verdict: Verdict, measured: str, rule: str) -> Finding:
        known = not run.reason or run.reason in measured
        return Finding(
            "run", verdict, measured if known else f"{measured} ({run.reason})", "", rule
        )

    code, record, told = run.exit_code or 0, run.record, list(run.doubts)
    if record is not None and (record.status, record.reason, code) == (ABORTED, NO_END, 0):
        told.append("the log has no end")
    if len(told) > _MOST_DOUBTS:
        told[_MOST_DOUBTS:] = [f"{len(told) - _MOST_DOUBTS} more"]
    doubts = "; ".join(told)
    if record is None and code:
        return finding(Verdict.INFRA, "no record", "the run could not start")
    if record is None:
        return finding(Verdict.INCONCLUSIVE, f"no record: {doubts}", "there is nothing to judge")
    if run.state == INTERRUPTED or code > _FROM_SIGNALS or code in _OF_THE_MACHINE:
        why = "killed, interrupted, or kept from running by the machine"
        return finding(Verdict.INFRA, f"exit code {run.exit_code}", why)
    if doubts:
        rule = "log, events, record and run.json must be whole, and say the same"
        return finding(Verdict.INCONCLUSIVE, f"incomplete: {doubts}", rule)
    if record.status != COMPLETE or code:
        return finding(Verdict.REGRESS, f"failed: {record.reason or run.reason}", "must end well")
    return finding(Verdict.PASS, f"complete, {record.progress.steps} steps", "must end well")


def _numbers(record: RunRecord) -> Finding:
    count, skips = record.health.nonfinite_steps, record.health.loss_scale_skips
    told = f"{count or 'no'} steps with a loss that is not finite"
    told += f", {skips} skipped by the loss scale" if skips else ""
    verdict = Verdict.REGRESS if count else Verdict.PASS
    return Finding("numbers", verdict, told, "", "none may have one")


def _proof(record: RunRecord) -> Finding:
    """The proof must name the record's kind of device, and no other."""
    proof = record.health.proof.strip("; ")
    outside = re.sub(r"\([^)]*\)", "", proof).lower()  # a device's own name says nothing
    named = {kind for kind, words in _DEVICES.items() if re.search(words, outside)}
    verdict = Verdict.PASS if named == {record.device.kind} else Verdict.INCONCLUSIVE
    rule = f"the log must prove that {record.device.name} ({record.device.kind}) ran it"
    return Finding("device", verdict, proof or "no proof", "", rule)
