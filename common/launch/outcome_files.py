"""Writes what a run leaves: its record, the case file, the loss files, the last terminal lines."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import List, Optional, Tuple

from common.core.codec import plain
from common.core.errors import ZooError
from common.core.files import sha256_of, write_atomically
from common.core.terminal import Terminal
from common.launch.case_file import (
    CaseResult,
    broken_promises,
    case_result,
    case_text,
    file_names,
    final_lines,
    loss_text,
    losses_of,
)
from common.launch.plan import Plan
from common.launch.request import Target
from common.launch.supervisor import Outcome
from common.runs import events as run_log
from common.runs import record as run_record
from common.runs.event_kinds import Launch
from common.runs.provenance import without_folders
from common.runs.record import RunRecord

NO_FIGURES_EXIT_CODE = 1


def write_outcome(
    target: Target,
    plan: Plan,
    log: Path,
    contract: Optional[Path],
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
        log: rank 0's log, to which the last lines are added.
        contract: the contract's folder where it is not the run folder: it gets the files too.
        seconds: from the start of the first rank to the end of the last.
        earlier_seconds: those of the earlier lives of a resumed run.

    Returns:
        How the launch ended.
    """
    folder = Path(plan.run_folder)
    record, losses, problem = _made_by_events(folder)
    result = case_result(
        plan,
        target.task.metric,
        None if outcome.exit_code else record,
        losses,
        seconds + earlier_seconds,
    )
    _write_files([folder] + ([contract] if contract else []), result, losses)
    if not outcome.exit_code:
        _tell(final_lines(result), log, terminal)
        missing = broken_promises(target.case, result)
        if not problem and missing:
            problem = "the run gave no {} (NA in {})".format(
                " and no ".join(missing), folder / file_names(result.case_name)[0]
            )
        if problem:
            terminal.complain("error: " + problem)
            outcome = dataclasses.replace(
                outcome, exit_code=NO_FIGURES_EXIT_CODE, reason=problem.splitlines()[0]
            )
    if record is not None:
        launch = _launch_event(plan, log, seconds, outcome)
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


def _launch_event(plan: Plan, log: Path, seconds: float, outcome: Outcome) -> Launch:
    return Launch(
        time=round(time.time(), 3),
        case=plan.case,
        command=without_folders(plan.command),
        exit_code=outcome.exit_code,
        reason=outcome.reason,
        seconds=round(seconds, 3),
        log_sha256=sha256_of(log),
    )


def _write_files(folders: List[Path], result: CaseResult, losses: List[float]) -> None:
    names = file_names(result.case_name)
    for folder in folders:
        write_atomically(folder / names[0], case_text(result))
        for name in names[1:]:
            write_atomically(folder / name, loss_text(losses))


def _tell(lines: List[str], log: Path, terminal: Terminal) -> None:
    """Prints the lines, and adds them to the log for those who have only that."""
    for line in lines:
        terminal.say(line)
    with open(str(log), "a", encoding="utf-8") as stream:
        stream.write("\n".join(lines) + "\n")
