"""Carries a plan out: claims the folders, starts the ranks, waits for them, writes the results."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import Any, Dict, List, Optional

from common.core.terminal import Terminal
from common.launch import run_folder
from common.launch.plan import Plan, as_json, completed
from common.launch.processes import Outcome, RankProcess, Signals, Supervisor
from common.launch.request import Request, kept_port
from common.launch.run_folder import LogPlace, Moves
from common.runs.events import FILE_NAME as EVENTS
from common.runs.events import earlier_lives


def launch(request: Request, terminal: Terminal, moved: Moves = ()) -> int:
    """Runs a request to its end; returns the exit code for the shell.

    Args:
        moved: folders that were renamed since the request was planned.

    Raises:
        ZooError: a folder can't be claimed; no rank has been started then.
    """
    plan, folder = request.plan, Path(request.plan.run_folder)
    with contextlib.ExitStack() as kept:
        port = kept_port(request)
        kept.callback(port.release)
        claim = (
            run_folder.claim_again(folder, plan.case)
            if plan.resume
            else run_folder.claim_fresh(folder)
        )
        kept.callback(claim.release)
        moves = claim.moves
        if request.log_in_run_folder:
            place = LogPlace(folder / Path(plan.contract_log).name)
        else:
            place = run_folder.place_log(folder, Path(plan.contract_log), plan.resume, moves)
        if place.contract is not None:
            kept.callback(place.contract.release)
        plan, led = completed(plan, port.port, [*moved, *moves])
        for old, new in moves:
            terminal.say(f"the earlier run in {old} is now {new}")
        for remark in [*request.remarks, *led, *([place.remark] if place.remark else [])]:
            terminal.say(remark)
        return _run(request, plan, place, terminal)


def _run(request: Request, plan: Plan, place: LogPlace, terminal: Terminal) -> int:
    folder = Path(plan.run_folder)
    marker = run_folder.new_session(
        run_folder.read_marker(folder),
        {
            "model": plan.model,
            "task": plan.task,
            "case": plan.case,
            "command": plan.command,
            "pid": os.getpid(),
            "plan": as_json(plan),
        },
    )
    run_folder.write_marker(folder, marker)
    earlier = earlier_lives(folder / "rank_0" / EVENTS).seconds
    with Signals() as signals:
        wall = time.monotonic()
        ranks = _start(plan, place)
        marker["launcher_seconds"] = age_of_this_process()
        outcome = Supervisor(
            ranks,
            terminal,
            signals,
            request.flags.hang_seconds,
            request.flags.grace,
            quiet=plan.framework == "tensorflow",
        ).run()
        seconds = time.monotonic() - wall
        if plan.node_rank == 0:
            from common.launch.outcome import write_outcome  # costs nothing at the start

            outcome = write_outcome(
                request.target, plan, place, seconds, earlier, outcome, terminal
            )
    marker.update(_end(outcome), seconds=round(seconds, 3))
    run_folder.write_marker(folder, marker)
    return outcome.exit_code


def _end(outcome: Outcome) -> Dict[str, Any]:
    state = run_folder.FAILED if outcome.exit_code else run_folder.COMPLETE
    return {
        "state": run_folder.INTERRUPTED if outcome.signal_number else state,
        "exit_code": outcome.exit_code,
        "reason": outcome.reason,
    }


def _start(plan: Plan, place: LogPlace) -> List[RankProcess]:
    """Starts every rank of this machine; where one can't be started, ends those that were."""
    started: List[RankProcess] = []
    try:
        for rank in plan.ranks:
            Path(rank.cwd).mkdir(exist_ok=True)
            log = Path(rank.log)
            if rank.local_rank == 0:
                run_folder.link(Path(os.path.relpath(str(plan.log), rank.cwd)), log)
                log = place.log
            started.append(RankProcess(rank, plan.environment_of(rank), log))
    except BaseException:
        for process in started:
            process.kill()
        raise
    return started


def age_of_this_process() -> Optional[float]:
    """Seconds since this process began, a shell script that became it included; None if unknown."""
    try:
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        uptime = float(Path("/proc/uptime").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return None
    return round(uptime - ticks / os.sysconf("SC_CLK_TCK"), 2)
