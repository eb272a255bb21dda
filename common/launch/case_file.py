"""The result files and terminal lines that the ModelZoo's own tools read after a run."""

from __future__ import annotations

import dataclasses
import math
import platform
from typing import Any, List, Mapping, Optional, Sequence

from common.cards.model_card import Case, Metric
from common.launch.plan import Plan
from common.runs.record import RunRecord

MISSING = "NA"
HEADLINE = "------------------ Final result ------------------"


@dataclasses.dataclass(frozen=True)
class CaseResult:
    """What a run gives to the case file; None where the run did not measure it.

    Attributes:
        batch_size: samples per step of one device.
        samples_per_second: of the whole job, over its steady steps.
        accuracy: on the test set with the final weights, in the metric's unit.
        accuracy_digits: decimals of it that are printed.
        loss: of the last step.
        seconds: from the launch to the end of the last rank.
    """

    network: str
    world_size: int
    batch_size: int
    case_name: str
    samples_per_second: Optional[float]
    accuracy: Optional[float]
    loss: Optional[float]
    seconds: float
    accuracy_digits: int = 2

    @property
    def step_seconds(self) -> Optional[float]:
        """The time of a step of all devices: global batch / whole-job rate."""
        if not self.samples_per_second:
            return None
        return self.batch_size * self.world_size / self.samples_per_second


def case_result(
    plan: Plan, metric: Metric, record: Optional[RunRecord], losses: Sequence[float], seconds: float
) -> CaseResult:
    """Takes the figures of a case out of the run's record."""
    accuracy = record.metrics.final.get(metric.name) if record else None
    speed = record.speed.samples_per_second if record else None
    return CaseResult(
        network=plan.case_network,
        world_size=plan.world_size,
        batch_size=plan.batch_size,
        case_name=plan.case_name,
        samples_per_second=_finite(speed),
        accuracy=_finite(accuracy),
        loss=losses[-1] if losses else None,
        seconds=seconds,
        accuracy_digits=metric.digits,
    )


def losses_of(events: Sequence[Mapping[str, Any]]) -> List[float]:
    """The loss of every step, in order; NaN where a step tells no number."""
    return [_loss(event.get("loss")) for event in events if event["event"] == "step"]


def _loss(value: Any) -> float:
    try:
        return float(value)  # the log writes NaN and infinities as texts
    except (TypeError, ValueError):
        return math.nan


def broken_promises(case: Case, result: CaseResult) -> List[str]:
    """The figures that this case promises and the run did not give."""
    missing = []
    if case.promises_speed and result.samples_per_second is None:
        missing.append("ActualFPS")
    if case.promises_accuracy and result.accuracy is None:
        missing.append("TrainAccuracy")
    return missing


def case_text(result: CaseResult) -> str:
    """The case file: `Key = value` lines, each key always there.

    BatchSize is of one device, ActualFPS of the whole job, TrainingTime milliseconds per step,
    E2ETrainingTime seconds, DeviceType the machine's architecture.
    """
    step = result.step_seconds
    pairs = (
        ("Network", result.network),
        ("RankSize", result.world_size),
        ("BatchSize", result.batch_size),
        ("DeviceType", platform.machine()),
        ("CaseName", result.case_name),
        ("ActualFPS", _number(result.samples_per_second, 2)),
        ("TrainingTime", _number(None if step is None else 1000 * step, 3)),
        ("TrainAccuracy", _number(result.accuracy, result.accuracy_digits)),
        ("ActualLoss", _number(result.loss, 6)),
        ("E2ETrainingTime", int(round(result.seconds))),
    )
    return "".join("{} = {}\n".format(*pair) for pair in pairs)


def loss_text(losses: Sequence[float]) -> str:
    """The loss file: one loss a line."""
    return "".join(f"{_number(loss, 6)}\n" for loss in losses)


def final_lines(result: CaseResult) -> List[str]:
    """What is printed after a run."""
    return [
        HEADLINE,
        "Final Performance images/sec : " + _number(result.samples_per_second, 2),
        "Final Performance sec/step : " + _number(result.step_seconds, 6),
        "Final Train Accuracy : " + _number(result.accuracy, result.accuracy_digits),
        f"E2E Training Duration sec : {int(round(result.seconds))}",
    ]


def file_names(case_name: str) -> List[str]:
    """The case file's name, then the two names under which loss files are looked for."""
    return [case_name + ".log", case_name + "_loss.txt", f"train_{case_name}_loss.txt"]


def _number(value: Optional[float], digits: int) -> str:
    return MISSING if value is None else "{:.{}f}".format(value, digits)


def _finite(value: Any) -> Optional[float]:
    usable = isinstance(value, (int, float)) and math.isfinite(value)
    return float(value) if usable else None
