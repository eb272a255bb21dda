"""What the benchmark prints: a table, checks and floors for each case, and the verdict."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, List, Sequence, Tuple

from benchmarks.shared import report
from benchmarks.shared.figures import floors, images_per_second
from benchmarks.shared.report import Row, Verdict
from benchmarks.slot_attention.cases import (
    BASELINE,
    MEMORY_BATCH_SIZE,
    MEMORY_TARGET,
    WAIT_TARGET,
    Case,
    check_stated,
    target_of,
)


@dataclass
class Measurements:
    """Everything one run measured of one case.

    Attributes:
        machine: the last answer of the machine's worker; `rates` are medians over all rounds.
        answers: by variant, one answer of its worker per round, in the order of the rounds.
        warm_up_seconds: by variant, from the process's start to the end of its first steps.
        memory: by variant, peak bytes at MEMORY_BATCH_SIZE, where that was measured.
    """

    case: Case
    device_kind: str
    machine: Dict[str, Any] = field(default_factory=dict)
    answers: Dict[str, List[Dict[str, Any]]] = field(default_factory=dict)
    warm_up_seconds: Dict[str, float] = field(default_factory=dict)
    memory: Dict[str, int] = field(default_factory=dict)

    @property
    def major(self) -> int:
        """The first number of TensorFlow's version."""
        return int(self.machine["tensorflow"].split(".")[0])


def rows_of(found: Measurements) -> List[Row]:
    """Every variant with its baseline, target and check, in the order they ran."""
    return [_row(found, name) for name in found.answers]


def _row(found: Measurements, name: str) -> Row:
    seconds = {
        key: [answer["seconds"] for answer in answers] for key, answers in found.answers.items()
    }
    check = check_stated(
        found.major,
        name,
        found.case,
        found.device_kind,
        found.machine["rates"]["fp32"],
        images_per_second(found.case.images, seconds[name]).median,
    )
    return Row(
        name,
        found.case.images,
        found.answers[name],
        seconds[BASELINE],
        found.warm_up_seconds[name],
        target_of(found.major, name, found.device_kind),
        check,
    )


def missed_limits(found: Measurements) -> List[str]:
    """What our variants use too much of: waiting time, memory."""
    lines = [
        f"{row.name}: {row.wait.median:.1%} of a step waits for data, the limit is "
        f"{WAIT_TARGET:.0%}"
        for row in rows_of(found)
        if row.name != BASELINE and row.wait.median >= WAIT_TARGET
    ]
    used = found.memory.get("ours_fp32", 0) if found.device_kind == "cpu" else 0
    if used > MEMORY_TARGET:
        lines.append(
            f"ours_fp32: {used / 1e9:.2f} GB at batch {MEMORY_BATCH_SIZE}, the limit is "
            f"{MEMORY_TARGET / 1e9:.1f} GB"
        )
    return lines


def verdict_of(found: Measurements) -> Verdict:
    """One case's verdict: that of its ratios, MISSED where a limit is exceeded."""
    return Verdict.MISSED if missed_limits(found) else report.verdict(rows_of(found))


def verdict(cases: Sequence[Measurements]) -> Verdict:
    """A missed case decides, then one that can't be told."""
    verdicts = {verdict_of(found) for found in cases}
    for worse in (Verdict.MISSED, Verdict.INCONCLUSIVE):
        if worse in verdicts:
            return worse
    return Verdict.REACHED


def floors_of(found: Measurements) -> Dict[str, Tuple[float, float]]:
    """Images a second that arithmetic alone, and memory traffic alone, would allow."""
    machine = found.machine
    return floors(
        machine["rates"],
        machine["bandwidth"],
        machine["operations_per_image"],
        machine["bytes_per_image"],
    )


def as_json(cases: Sequence[Measurements]) -> Dict[str, Any]:
    """All figures, for programs."""
    return {
        "verdict": verdict(cases).name,
        "cases": {found.case.task: _case_json(found) for found in cases},
    }


def _case_json(found: Measurements) -> Dict[str, Any]:
    return {
        "batch_size": found.case.batch_size,
        "steps": found.case.steps,
        "device": found.device_kind,
        "machine": found.machine,
        "verdict": verdict_of(found).name,
        "missed_limits": missed_limits(found),
        f"peak_memory_bytes_at_batch_{MEMORY_BATCH_SIZE}": found.memory,
        "variants": {row.name: report.row_json(row) for row in rows_of(found)},
        "floors": {
            name: {"operations": both[0], "bytes": both[1]}
            for name, both in floors_of(found).items()
        },
    }


def as_text(cases: Sequence[Measurements]) -> str:
    """The whole report, for people."""
    lines = [line for found in cases for line in _case_lines(found) + [""]]
    return "\n".join(lines + ["verdict: " + verdict(cases).name])


def _case_lines(found: Measurements) -> List[str]:
    rows, machine = rows_of(found), found.machine
    return (
        _heading(found, len(rows[0].answers))
        + report.table(rows)
        + report.check_lines(rows, machine["rates"]["fp32"])
        + report.floor_lines(
            floors_of(found), machine["operations_per_image"], machine["bytes_per_image"]
        )
        + _memory_lines(found)
        + missed_limits(found)
        + [f"{found.case.task}: {verdict_of(found).name}"]
    )


def _heading(found: Measurements, rounds: int) -> List[str]:
    machine, case = found.machine, found.case
    rates = ", ".join(f"{name} {rate / 1e9:.0f} GFLOP/s" for name, rate in machine["rates"].items())
    return [
        "{}: TensorFlow {}, {} ({} threads), batch {}, {} rounds of {} step{} each, median "
        "(lowest..highest)".format(
            case.task,
            machine["tensorflow"],
            machine["device"],
            machine["threads"],
            case.batch_size,
            rounds,
            case.steps,
            "s" * (case.steps != 1),
        ),
        "convolutions: {}; copying: {:.1f} GB/s".format(rates, machine["bandwidth"] / 1e9),
    ]


def _memory_lines(found: Measurements) -> List[str]:
    if not found.memory:
        return []
    return [
        "peak memory at batch {}: {}".format(
            MEMORY_BATCH_SIZE,
            ", ".join(f"{name} {used / 1e9:.2f} GB" for name, used in found.memory.items()),
        )
    ]
