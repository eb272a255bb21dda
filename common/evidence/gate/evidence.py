"""Finished runs: records made anew from events, how they ended, what speaks against them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Iterator, List, Mapping, Optional, Sequence, Tuple

import attrs

from common.cards.model_folders import checkout_root, find_card
from common.core.errors import USAGE_EXIT_CODE, InfrastructureError, UsageError, ZooError
from common.evidence.gate.findings import Finding, Verdict
from common.launch.outcome import MISSING
from common.launch.processes import HANG_EXIT_CODE
from common.launch.run_folder import SEED_FOLDER
from common.runs import record as run_record
from common.runs.marker import INTERRUPTED, MARKER, Marker, read_marker
from common.runs.provenance import SEED_NAMES, config_sha256
from common.runs.record import ABORTED, COMPLETE, NO_END, RunRecord
from common.runs.store import Verified, verified_record

_FINAL_LINE = re.compile(r"^(Final (?:Train Accuracy|Performance images/sec)) : (\S+)$", re.M)
_FROM_SIGNALS = 128
_MOST_DOUBTS = 6
_OF_THE_MACHINE = (InfrastructureError.exit_code, USAGE_EXIT_CODE, HANG_EXIT_CODE)
# What a proof calls each kind of device; torch_npu maps npu on xla inside torch 1.8.1.
_DEVICES = {"cpu": r"\bcpu\b", "gpu": r"\b(gpu|cuda)", "npu": r"\b(npu|xla)"}


@attrs.frozen
class GivenRun:
    """A run to judge.

    Attributes:
        source: its folder or record.
        record: made anew from the events; None where they make none.
        marker: what the launcher says of the end; empty where nobody launched it.
        doubts: why what is kept of the run can't be taken for whole.
    """

    source: str
    record: Optional[RunRecord]
    marker: Marker = Marker()
    doubts: Tuple[str, ...] = ()


def read_runs(path: Path) -> List[GivenRun]:
    """The runs under a path: a record file, a run folder, or the folder of several seeds.

    Raises:
        UsageError: there is nothing at the path.
    """
    path = Path(path)
    if not path.exists():
        raise UsageError(f"{path} does not exist; give run folders or records")
    if path.is_file() and path.name != run_record.FILE_NAME:
        return [read_run(path)]
    folder = path if path.is_dir() else path.parent
    whole = read_marker(folder)
    if not whole.seeds:
        return [read_run(folder)]
    # A seed that the marker leaves out, or whose folder is gone, is one that was not liked.
    names = {path.name for path in folder.glob(SEED_FOLDER.format("*"))}
    names.update(SEED_FOLDER.format(seed) for seed in whole.seeds)
    found = []
    for name in sorted(names):
        run, why = read_run(folder / name), whole.not_begun.get(name)
        if why and run.record is None and not run.marker.state:
            code = InfrastructureError.exit_code
            run = attrs.evolve(run, marker=Marker(exit_code=code, reason=why))
        found.append(run)
    return found


def read_run(place: Path) -> GivenRun:
    """The run of a folder, with what its launcher says of it, or of a record in results/."""
    try:
        found = verified_record(place)
    except ZooError as error:
        found = Verified(None, (str(error),))
    doubts = list(found.contradictions)
    if found.record is not None:
        doubts += [*_of_events(found.record, found.events), *_of_log(found.record, found.log)]
    marker = Marker()
    if not place.is_file():
        marker = read_marker(place)
        if not marker.state and not marker.fault:
            doubts.insert(0, f"{place / MARKER}: nobody saw the end")
    return GivenRun(str(place), found.record, marker, tuple(doubts))


# --- what the files contradict by themselves, although they agree ---


def _of_events(record: RunRecord, events: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if config_sha256(record.config) != record.config_sha256:
        yield "the configuration is not the one of its checksum"
    for name in SEED_NAMES:
        if record.config.get(name, record.seed) != record.seed:
            yield f"the seed is {record.seed}, in the configuration {record.config[name]}"
    steps = [event for event in events if event["event"] == "step"]
    if any(not 0 < event["samples"] <= record.batch.total for event in steps):
        yield f"steps of more or fewer samples than a batch of {record.batch.total}"
    starts = [number for number, event in enumerate(events) if event["event"] == "start"]
    life = events[starts[-1] :]
    for told, key, value in (("end", "event", "end"), ("final evaluation", "role", "final")):
        count = sum(event.get(key) == value for event in life)
        if count > 1:
            yield f"the events have {count} of one {told}"
    if record.status != COMPLETE:
        return
    progress = record.progress
    if progress.steps != progress.target_steps:
        yield f"{progress.steps} of {progress.target_steps} steps"
    if 0 < progress.epochs != progress.target_epochs:
        yield f"{progress.epochs} of {progress.target_epochs} epochs"
    # A step that the loss scale skips has the number of the one before.
    taken = [event["step"] for event in steps if not event.get("skipped")]
    logged = {event["step"] for event in steps if 1 <= event["step"] <= progress.steps}
    if len(logged) < progress.steps:
        yield f"the log holds {len(logged)} of {progress.steps} steps"
    if len(set(taken)) < len(taken):
        yield f"{len(taken) - len(set(taken))} steps are in the log twice"
    found, most = record.metrics, record.dataset.counts.get(str(record.metrics.split), 0)
    if found.final and not 1 <= found.n_eval <= most:
        yield f"the final evaluation is of {found.n_eval} samples of {found.split}, of {most}"
    if found.final and progress.target_steps and found.step != progress.steps:
        yield f"the final evaluation is of step {found.step}, the last is {progress.steps}"


def _of_log(record: RunRecord, log: str) -> Iterator[str]:
    """Where the launcher's last lines in the log of a good run tell other figures."""
    if record.status != COMPLETE:
        return
    try:
        metric = find_card(checkout_root(), record.model).task(record.task).metric
    except ZooError as error:
        yield str(error)
        return
    accuracy, speed = record.metrics.final.get(metric.name), record.speed.samples_per_second
    said = dict(_FINAL_LINE.findall(log))
    for name, value in (
        ("Final Train Accuracy", MISSING if accuracy is None else metric.told(accuracy)),
        ("Final Performance images/sec", MISSING if speed is None else f"{speed:.2f}"),
    ):
        if said.get(name) != value:
            yield f"the log says {name} {said.get(name, 'nowhere')}, the events {value}"


# --- whether it can be judged ---


def judge_soundness(run: GivenRun) -> List[Finding]:
    """What keeps a run from being judged further; all PASS where nothing does."""
    verdict, told, rule = _ending(run)
    reason = run.marker.reason or ""
    told += "" if not reason or reason in told else f" ({reason})"
    ending = Finding("run", verdict, told, "", rule)
    if run.record is None or verdict is not Verdict.PASS:
        return [ending]
    health, device = run.record.health, run.record.device
    count, skips = health.nonfinite_steps, health.loss_scale_skips
    told = f"{count or 'no'} steps with a loss that is not finite"
    told += f", {skips} skipped by the loss scale" if skips else ""
    verdict = Verdict.REGRESS if count else Verdict.PASS
    numbers = Finding("numbers", verdict, told, "", "none may have one")
    proof = health.proof.strip("; ")
    outside = re.sub(r"\([^)]*\)", "", proof).lower()  # a device's own name says nothing
    named = {kind for kind, words in _DEVICES.items() if re.search(words, outside)}
    verdict = Verdict.PASS if named == {device.kind} else Verdict.INCONCLUSIVE
    rule = f"the log must prove that {device.name} ({device.kind}) ran it"
    return [ending, numbers, Finding("device", verdict, proof or "no proof", "", rule)]


def _ending(run: GivenRun) -> Tuple[Verdict, str, str]:
    """How a run ended: the verdict, what was found, and the rule."""
    code, record, told = run.marker.exit_code or 0, run.record, list(run.doubts)
    if record is None and code:
        return Verdict.INFRA, "no record", "the run could not start"
    if record is None:
        return Verdict.INCONCLUSIVE, f"no record: {'; '.join(told)}", "there is nothing to judge"
    if run.marker.state == INTERRUPTED or code > _FROM_SIGNALS or code in _OF_THE_MACHINE:
        why = "killed, interrupted, or kept from running by the machine"
        return Verdict.INFRA, f"exit code {code}", why
    if (record.status, record.reason, code) == (ABORTED, NO_END, 0):
        told.append("the log has no end")
    if told:
        told[_MOST_DOUBTS:] = ["…"] * (len(told) > _MOST_DOUBTS)
        rule = "log, events, record and run.json must be whole, and say the same"
        return Verdict.INCONCLUSIVE, f"incomplete: {'; '.join(told)}", rule
    if record.status != COMPLETE or code:
        return Verdict.REGRESS, f"failed: {record.reason or run.marker.reason}", "must end well"
    return Verdict.PASS, f"complete, {record.progress.steps} steps", "must end well"
