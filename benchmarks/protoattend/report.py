"""What the benchmark prints: a table, checks and floors, and the verdict."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, Tuple

from benchmarks.protoattend.cases import (
    BASELINE,
    TENSORFLOW_2_RATIO,
    WAIT_TARGET,
    Case,
    check_stated,
    scaled_figure,
    target_of,
)
from benchmarks.shared import report
from benchmarks.shared.figures import floors, images_per_second
from benchmarks.shared.report import Row, Verdict


@dataclass
class Measurements:
    """Everything one run measured.

    Attributes:
        machine: the last answer of the machine's worker; `rates` are medians over all rounds.
        answers: by variant, one answer of its worker per round, in the order of the rounds.
        warm_up_seconds: by variant, from the process's start to the end of its first steps.
    """

    case: Case
    device_kind: str
    machine: Dict[str, Any] = field(default_factory=dict)
    answers: Dict[str, List[Dict[str, Any]]] = field(default_factory=dict)
    warm_up_seconds: Dict[str, float] = field(default_factory=dict)

    @property
    def major(self) -> int:
        """The first number of TensorFlow's version."""
        return int(self.machine["tensorflow"].split(".")[0])

    @property
    def figure(self) -> Optional[float]:
        """TensorFlow 1.15's stated images a second scaled to this machine, where there is one."""
        return scaled_figure(self.case, self.device_kind, self.machine["rates"]["fp32"])


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


def over_stated(found: Measurements) -> Dict[str, float]:
    """Our variants' speed over TensorFlow 1.15's stated one, on later versions."""
    if found.major == 1 or found.figure is None:
        return {}
    return {
        row.name: row.speed.median / found.figure for row in rows_of(found) if row.name != BASELINE
    }


def missed_limits(found: Measurements) -> List[str]:
    """Which of our variants wait for data longer than they may."""
    return [
        f"{row.name}: {row.wait.median:.1%} of a step waits for data, the limit is "
        f"{WAIT_TARGET:.0%}"
        for row in rows_of(found)
        if row.name != BASELINE and row.wait.median >= WAIT_TARGET
    ]


def verdict(found: Measurements) -> Verdict:
    """On 1.15 the ratio to the baseline decides, later the best ratio to 1.15's stated figure."""
    if missed_limits(found):
        return Verdict.MISSED
    if found.major == 1:
        return report.verdict(rows_of(found))
    ratios = over_stated(found)
    if not ratios:
        return Verdict.INCONCLUSIVE
    return Verdict.REACHED if max(ratios.values()) >= TENSORFLOW_2_RATIO else Verdict.MISSED


def floors_of(found: Measurements) -> Dict[str, Tuple[float, float]]:
    """Images a second that arithmetic alone, and memory traffic alone, would allow."""
    machine = found.machine
    return floors(
        machine["rates"],
        machine["bandwidth"],
        machine["operations_per_image"],
        machine["bytes_per_image"],
    )


def as_json(found: Measurements) -> Dict[str, Any]:
    """All figures, for programs."""
    case = found.case
    return {
        "verdict": verdict(found).name,
        "missed_limits": missed_limits(found),
        "batch_size": case.batch_size,
        "candidates": case.candidates,
        "steps": case.steps,
        "device": found.device_kind,
        "machine": found.machine,
        "stated_of_tensorflow_1_scaled": found.figure,
        "over_stated_of_tensorflow_1": over_stated(found),
        "variants": {row.name: report.row_json(row) for row in rows_of(found)},
        "floors": {
            name: {"operations": both[0], "bytes": both[1]}
            for name, both in floors_of(found).items()
        },
    }


def as_text(found: Measurements) -> str:
    """The whole report, for people."""
    rows, machine = rows_of(found), found.machine
    lines = (
        _heading(found, len(rows[0].answers))
        + report.table(rows)
        + _step_lines(found, rows)
        + _figure_lines(found, rows)
        + report.floor_lines(
            floors_of(found), machine["operations_per_image"], machine["bytes_per_image"]
        )
        + missed_limits(found)
    )
    return "\n".join(lines + ["verdict: " + verdict(found).name])


def _heading(found: Measurements, rounds: int) -> List[str]:
    machine, case = found.machine, found.case
    rates = ", ".join(f"{name} {rate / 1e9:.0f} GFLOP/s" for name, rate in machine["rates"].items())
    return [
        "TensorFlow {}, {} ({} threads), {} queries and {} candidates a step, {} rounds of {} "
        "step{} each, median (lowest..highest)".format(
            machine["tensorflow"],
            machine["device"],
            machine["threads"],
            case.batch_size,
            case.candidates,
            rounds,
            case.steps,
            "s" * (case.steps != 1),
        ),
        "convolutions: {}; copying: {:.1f} GB/s".format(rates, machine["bandwidth"] / 1e9),
    ]


def _step_lines(found: Measurements, rows: List[Row]) -> List[str]:
    return [
        "seconds a step: "
        + ", ".join(f"{row.name} {found.case.step_images / row.speed.median:.3f}" for row in rows)
    ]


def _figure_lines(found: Measurements, rows: List[Row]) -> List[str]:
    if found.major == 1 or found.figure is None:
        return report.check_lines(rows, found.machine["rates"]["fp32"])
    return [
        f"{name}: {ratio:.2f} of TensorFlow 1.15's stated figure scaled to this machine, "
        f"{found.figure:.1f} "
        f"images/s; target {TENSORFLOW_2_RATIO:.2f}"
        for name, ratio in over_stated(found).items()
    ]
