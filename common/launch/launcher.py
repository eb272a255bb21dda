"""Carries a plan out: claims the folders, starts the ranks, waits for them, writes the results."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

from common.core.terminal import Terminal
from common.launch import run_folder
from common.launch.log_place import LogPlace, place_log
from common.launch.plan import Plan, as_json
from common.launch.rank_process import RankProcess, environment_of
from common.launch.request import Request, with_moved_paths
from common.launch.supervisor import Outcome, Signals, Supervisor
from common.runs.events import FILE_NAME as EVENTS
from common.runs.events import earlier_lives


def launch(request: Request, terminal: Terminal) -> int:
    """Runs a request to its end; returns the exit code for the shell.

    Raises:
        ZooError: a folder can't be claimed; no rank has been started then.
    """
    plan = request.plan()
    claim = _claim(plan)
    moves = [(claim.folder, claim.moved_to)] if claim.moved_to is not None else []
    place = _place(request, claim, plan, moves)
    request = with_moved_paths(request, moves)
    for remark in _remarks(request, moves, place):
        terminal.say(remark)
    plan = request.plan()
    try:
        return _run(request, plan, place, terminal)
    finally:
        claim.release()
        if place.contract is not None:
            place.contract.release()
        if request.port is not None:
            request.port.release()


def _place(
    request: Request, claim: run_folder.Claim, plan: Plan, moves: List[Tuple[Path, Path]]
) -> LogPlace:
    if request.log_in_run_folder:
        return LogPlace(claim.folder / Path(plan.contract_log).name, None, "")
    return place_log(claim.folder, Path(plan.contract_log), plan.resume, moves)


def _claim(plan: Plan) -> run_folder.Claim:
    folder = Path(plan.run_folder)
    if plan.resume:
        return run_folder.claim_again(folder, "--output_path", plan.case)
    return run_folder.claim_fresh(folder, "--output_path")


def _remarks(request: Request, moves: List[Tuple[Path, Path]], place: LogPlace) -> List[str]:
    told = ["the earlier run in {} is now {}".format(*pair) for pair in moves]
    return told + list(request.remarks) + ([place.remark] if place.remark else [])


def _run(request: Request, plan: Plan, place: LogPlace, terminal: Terminal) -> int:
    marker = _marker(plan)
    folder = Path(plan.run_folder)
    run_folder.write_marker(folder, marker)
    earlier = earlier_lives(folder / "rank_0" / EVENTS).seconds
    with Signals() as signals:
        wall = time.monotonic()
        ranks = _start(plan, request, place)
        marker["launcher_seconds"] = age_of_this_process()
        supervisor = Supervisor(
            ranks, terminal, signals, request.flags.hang_seconds, request.flags.grace
        )
        outcome = supervisor.run()
        seconds = time.monotonic() - wall
        outcome = _finish(request, plan, place, outcome, (seconds, earlier), terminal)
    marker.update(
        state=_state(outcome),
        exit_code=outcome.exit_code,
        reason=outcome.reason,
        seconds=round(seconds, 3),
    )
    run_folder.write_marker(folder, marker)
    return outcome.exit_code


def age_of_this_process() -> Optional[float]:
    """Seconds since this process began, a shell script that became it included; None if unknown."""
    try:
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        uptime = float(Path("/proc/uptime").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return None
    return round(uptime - ticks / os.sysconf("SC_CLK_TCK"), 2)


def _marker(plan: Plan) -> Dict[str, Any]:
    """What run.json says: at its top what readers look for, below it the plan."""
    sessions = run_folder.read_marker(Path(plan.run_folder)).sessions
    return run_folder.new_session(
        {
            "schema_version": 1,
            "model": plan.model,
            "task": plan.task,
            "case": plan.case,
            "command": plan.command,
            "pid": os.getpid(),
            "sessions": sessions + 1,
            "plan": as_json(plan),
        }
    )


def _state(outcome: Outcome) -> str:
    if outcome.signal_number:
        return run_folder.INTERRUPTED
    return run_folder.FAILED if outcome.exit_code else run_folder.COMPLETE


def _start(plan: Plan, request: Request, place: LogPlace) -> List[RankProcess]:
    """Starts every rank of this machine; where one can't be started, ends those that were."""
    started: List[RankProcess] = []
    try:
        for rank in plan.ranks:
            Path(rank.cwd).mkdir(exist_ok=True)
            log = Path(rank.log)
            if rank.local_rank == 0:
                run_folder.link(Path(os.path.relpath(plan_log(plan), rank.cwd)), log)
                log = place.log
            environment = environment_of(rank, request.around.user, plan.cann.changes)
            started.append(RankProcess(rank, environment, log))
    except BaseException:
        for process in started:
            process.kill()
        raise
    return started


def plan_log(plan: Plan) -> str:
    """Rank 0's log by its name in the run folder: the file itself, or the link to it."""
    return os.path.join(plan.run_folder, os.path.basename(plan.contract_log))


def _finish(
    request: Request,
    plan: Plan,
    place: LogPlace,
    outcome: Outcome,
    seconds: Tuple[float, float],
    terminal: Terminal,
) -> Outcome:
    """Writes record and results (machine 0 only); `seconds` of this life and of earlier ones."""
    if plan.node_rank > 0:
        return outcome
    from common.launch.outcome_files import (
        write_outcome,  # after the run: costs nothing at the start
    )

    contract = place.contract.folder if place.contract is not None else None
    return write_outcome(request.target, plan, place.log, contract, *seconds, outcome, terminal)
