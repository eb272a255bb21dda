"""What a run leaves: its record, the files and lines that the ModelZoo's own tools read."""

from __future__ import annotations

import dataclasses
import math
import platform
import shlex
import time
from pathlib import Path
from typing import Any, List, Mapping, Optional, Sequence, Tuple

from common.cards.model_card import Case, Metric
from common.core.codec import plain
from common.core.errors import ZooError
from common.core.files import sha256_of, write_atomically
from common.core.terminal import Terminal
from common.launch.flags import Target
from common.launch.plan import Plan
from common.launch.processes import Outcome
from common.launch.run_folder import LogPlace
from common.runs import events as run_log
from common.runs import record as run_record
from common.runs.event_kinds import Launch
from common.runs.provenance import without_folders
from common.runs.record import RunRecord

MISSING = "NA"
HEADLINE = "------------------ Final result ------------------"
NO_FIGURES_EXIT_CODE = 1


@dataclasses.dataclass(frozen=True)
class CaseResult:
    """What a run gives to the case file; None where the run did not measure it.

    Attributes:
        batch_size: samples per step of one device.
        samples_per_second: of the whole job, over its steady steps.
        accuracy: on the test set with the final weights, in the metric's unit.
        loss: of the last step.
        seconds: from the launch to the end of the last rank.
        accuracy_digits: decimals of it that are printed.
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
    return CaseResult(
        network=plan.case_network,
        world_size=plan.world_size,
        batch_size=plan.batch_size,
        case_name=plan.case_name,
        samples_per_second=_finite(record.speed.samples_per_second if record else None),
        accuracy=_finite(record.metrics.final.get(metric.name) if record else None),
        loss=losses[-1] if losses else None,
        seconds=seconds,
        accuracy_digits=metric.digits,
    )


def _finite(value: Any) -> Optional[float]:
    usable = isinstance(value, (int, float)) and math.isfinite(value)
    return float(value) if usable else None


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
    promised = (
        ("ActualFPS", case.promises_speed, result.samples_per_second),
        ("TrainAccuracy", case.promises_accuracy, result.accuracy),
    )
    return [name for name, wanted, value in promised if wanted and value is None]


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
        ("E2ETrainingTime", round(result.seconds)),
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
        f"E2E Training Duration sec : {round(result.seconds)}",
    ]


def file_names(case_name: str) -> List[str]:
    """The case file's name, then the two names under which loss files are looked for."""
    return [case_name + ".log", case_name + "_loss.txt", f"train_{case_name}_loss.txt"]


def _number(value: Optional[float], digits: int) -> str:
    return MISSING if value is None else f"{value:.{digits}f}"


def write_outcome(
    target: Target,
    plan: Plan,
    place: LogPlace,
    seconds: float,
    earlier_seconds: float,
    outcome: Outcome,
    terminal: Terminal,
) -> Outcome:
    """Writes the files after a run, failed ones included, and the lines after a good one.

    A run that failed has NA for speed and accuracy: nobody shall take its figures for results.
    A promised figure that lacks is a failure. The launcher's word on the end is the last event,
    and the record is made of the events.

    Args:
        place: rank 0's log, to which the last lines are added, and the contract's folder where it
            is not the run folder: it gets the files too.
        seconds: from the start of the first rank to the end of the last; earlier_seconds: those of
            the earlier lives of a resumed run.

    Returns:
        How the launch ended.
    """
    folder, failed = Path(plan.run_folder), outcome.exit_code != 0
    record, losses, problem = _made_by_events(folder)
    result = case_result(
        plan,
        target.task.metric,
        None if failed else record,
        losses,
        seconds + earlier_seconds,
    )
    names = file_names(result.case_name)
    for each in [folder] + ([place.contract.folder] if place.contract else []):
        write_atomically(each / names[0], case_text(result))
        for name in names[1:]:
            write_atomically(each / name, loss_text(losses))
    if not failed:
        for line in final_lines(result):
            terminal.say(line)
        with open(str(place.log), "a", encoding="utf-8") as stream:
            stream.write("\n".join(final_lines(result)) + "\n")
        missing = broken_promises(target.case, result)
        if missing and not problem:
            problem = f"the run gave no {' and no '.join(missing)} (NA in {folder / names[0]})"
        if problem:
            terminal.complain("error: " + problem)
            outcome = Outcome(NO_FIGURES_EXIT_CODE, problem.splitlines()[0])
        shown = shlex.quote(str(folder))
        terminal.say(f"all of it is in {folder}; to look at it: zoo report {shown}")
    if record is not None:
        launch = Launch(
            time=round(time.time(), 3),
            case=plan.case,
            command=without_folders(plan.command),
            exit_code=outcome.exit_code,
            reason=outcome.reason,
            seconds=round(seconds, 3),
            log_sha256=sha256_of(place.log),
        )
        with run_log.RunLog(folder / "rank_0") as events:
            events.event("launch", **plain(launch))
        run_record.write_record(run_record.closed(record, launch), folder)
    return outcome


def _made_by_events(folder: Path) -> Tuple[Optional[RunRecord], List[float], str]:
    """The record, the losses and ""; or None, the losses and why there is no record."""
    events = folder / "rank_0" / run_log.FILE_NAME
    losses = losses_of(run_log.effective_events(events)) if events.exists() else []
    try:
        return run_record.from_run_folder(folder), losses, ""
    except ZooError as error:
        return None, losses, str(error)
