"""What a run leaves: its record, the files and lines that the ModelZoo's own tools read."""

from __future__ import annotations

import math
import platform
import shlex
import time
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence

from common.core.codec import plain
from common.core.errors import ZooError
from common.core.files import sha256_of, write_atomically
from common.core.terminal import Terminal
from common.launch.plan import Plan
from common.launch.processes import Outcome
from common.launch.run_folder import LogPlace
from common.runs import events as run_log
from common.runs import record as run_record
from common.runs.event_kinds import Launch
from common.runs.provenance import without_folders
from common.runs.record import RunRecord, finite

MISSING = "NA"
HEADLINE = "------------------ Final result ------------------"
NO_FIGURES_EXIT_CODE = 1


def case_values(
    plan: Plan, record: Optional[RunRecord], losses: Sequence[float], seconds: float
) -> Dict[str, str]:
    """What the case file says, key by key; NA where the run did not measure it.

    BatchSize is of one device, ActualFPS of the whole job over its steady steps, TrainingTime
    milliseconds per step of all devices, TrainAccuracy on the test set with the final weights,
    ActualLoss of the last step, E2ETrainingTime seconds to the end of the last rank.
    """
    task = plan.target.task
    speed = finite(record.speed.samples_per_second if record else None)
    step = 1000 * plan.batch_size * plan.world_size / speed if speed else None
    accuracy = finite(record.metrics.final.get(task.metric.name) if record else None)
    return {
        "Network": task.case_network,
        "RankSize": str(plan.world_size),
        "BatchSize": str(plan.batch_size),
        "DeviceType": platform.machine(),
        "CaseName": plan.case_name,
        "ActualFPS": _number(speed, 2),
        "TrainingTime": _number(step, 3),
        "TrainAccuracy": _number(accuracy, task.metric.digits),
        "ActualLoss": _number(losses[-1] if losses else None, 6),
        "E2ETrainingTime": str(round(seconds)),
    }


def losses_of(events: Sequence[Mapping[str, Any]]) -> List[float]:
    """The loss of every step, in order; NaN where a step tells no number."""
    return [_loss(event.get("loss")) for event in events if event["event"] == "step"]


def _loss(value: Any) -> float:
    try:
        return float(value)  # the log writes NaN and infinities as texts
    except (TypeError, ValueError):
        return math.nan


def final_lines(values: Mapping[str, str]) -> List[str]:
    """What is printed after a run."""
    step = values["TrainingTime"]
    seconds = step if step == MISSING else f"{float(step) / 1000:.6f}"
    return [
        HEADLINE,
        "Final Performance images/sec : " + values["ActualFPS"],
        "Final Performance sec/step : " + seconds,
        "Final Train Accuracy : " + values["TrainAccuracy"],
        "E2E Training Duration sec : " + values["E2ETrainingTime"],
    ]


def _number(value: Optional[float], digits: int) -> str:
    return MISSING if value is None else f"{value:.{digits}f}"


def write_outcome(
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
    path, problem = folder / "rank_0" / run_log.FILE_NAME, ""
    events = run_log.effective_events(path) if path.exists() else []
    record, losses = None, losses_of(events)
    try:
        # Case, command and log of this record are no launch's yet: `closed` tells them.
        record = run_record.from_events(events, where=str(path))
    except ZooError as error:
        problem = str(error)
    values = case_values(plan, None if failed else record, losses, seconds + earlier_seconds)
    case_file, loss_file = plan.case_name + ".log", plan.case_name + "_loss.txt"
    loss_text = "".join(f"{_number(loss, 6)}\n" for loss in losses)
    for each in [folder] + ([place.contract.folder] if place.contract else []):
        content = "".join(f"{key} = {value}\n" for key, value in values.items())
        write_atomically(each / case_file, content)
        for name in (loss_file, "train_" + loss_file):
            write_atomically(each / name, loss_text)
    if not failed:
        for line in final_lines(values):
            terminal.say(line)
        with open(str(place.log), "a", encoding="utf-8") as stream:
            stream.write("\n".join(final_lines(values)) + "\n")
        case = plan.target.case
        promised = {"ActualFPS": case.promises_speed, "TrainAccuracy": case.promises_accuracy}
        missing = [name for name, is_it in promised.items() if is_it and values[name] == MISSING]
        if missing and not problem:
            problem = f"the run gave no {' and no '.join(missing)} (NA in {folder / case_file})"
        if problem:
            terminal.complain("error: " + problem)
            outcome = Outcome(NO_FIGURES_EXIT_CODE, problem.splitlines()[0])
        shown = shlex.quote(str(folder))
        terminal.say(f"all of it is in {folder}; to look at it: zoo report {shown}")
    if record is not None:
        launch = Launch(
            time=round(time.time(), 3),
            case=plan.names["case"],
            command=without_folders(plan.command),
            exit_code=outcome.exit_code,
            reason=outcome.reason,
            seconds=round(seconds, 3),
            log_sha256=sha256_of(place.log),
        )
        with run_log.RunLog(folder / "rank_0") as log:
            log.event("launch", **plain(launch))
        run_record.write_record(run_record.closed(record, launch), folder)
    return outcome
