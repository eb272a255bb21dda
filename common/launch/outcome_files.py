"""Writes what a run leaves: its record, the case file, the loss files, the last terminal lines."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Dict, List, Optional

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
from common.runs.record import RunRecord


def write_outcome(
    target: Target,
    plan: Plan,
    log: Path,
    contract: Optional[Path],
    seconds: float,
    outcome: Outcome,
    terminal: Terminal,
) -> str:
    """Writes the files after a run, failed ones included, and the lines after a good one.

    A run that failed has NA for speed and accuracy: nobody shall take its figures for results.

    Args:
        log: rank 0's log, to which the last lines are added.
        contract: the contract's folder where it is not the run folder: it gets the files too.
        seconds: from the start of the first rank to the end of the last.

    Returns:
        What is wrong with the results of a run whose ranks ended well, "" where nothing is.
    """
    folder = Path(plan.run_folder)
    record, problem = _record(folder)
    losses = losses_of(_events(folder))
    result = case_result(
        plan, target.task.metric, None if outcome.exit_code else record, losses, seconds
    )
    _write_files([folder] + ([contract] if contract else []), result, losses)
    if not outcome.exit_code:
        _tell(final_lines(result), log, terminal)
    if record is not None:
        run_record.write_record(_closed(record, log, outcome), folder)
    missing = broken_promises(target.case, result)
    if not problem and missing:
        problem = "the run gave no {} (NA in {})".format(
            " and no ".join(missing), folder / file_names(result.case_name)[0]
        )
    return problem


def _record(folder: Path) -> tuple[Optional[RunRecord], str]:
    """The record and "", or None and why there is none."""
    try:
        return run_record.from_run_folder(folder), ""
    except ZooError as error:
        return None, str(error)
    except (KeyError, TypeError, ValueError) as error:  # events of an entry point that differ
        return None, f"the events of rank 0 make no record: {error!r}"


def _events(folder: Path) -> List[Dict[str, Any]]:
    path = folder / "rank_0" / run_log.FILE_NAME
    return run_log.effective_events(path) if path.exists() else []


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


def _closed(record: RunRecord, log: Path, outcome: Outcome) -> RunRecord:
    """The record with the log as it is now; a failed launch makes it an aborted run."""
    changes: Dict[str, Any] = {"log_sha256": sha256_of(log)}
    if outcome.exit_code:
        changes.update(status=run_record.ABORTED, reason=record.reason or outcome.reason)
    return dataclasses.replace(record, **changes)
