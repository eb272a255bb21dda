"""Carries a plan out: claims the folders, starts the ranks, waits for them, writes the results."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import List

from common.core.terminal import Terminal
from common.launch import run_folder
from common.launch.plan import Plan, as_json, completed
from common.launch.processes import RankProcess, Signals, Supervisor
from common.launch.request import beside_other_work, kept_port
from common.launch.run_folder import LogPlace, Moves
from common.runs.events import FILE_NAME as EVENTS
from common.runs.events import earlier_lives
from common.runs.marker import COMPLETE, FAILED, INTERRUPTED, write_marker


def launch(plan: Plan, terminal: Terminal, moved: Moves = ()) -> int:
    """Runs a planned launch to its end; returns the exit code for the shell.

    Args:
        moved: folders that were renamed since the launch was planned.

    Raises:
        ZooError: a folder can't be claimed; no rank has been started then.
    """
    folder, log = Path(plan.run_folder), Path(plan.contract_log)
    with contextlib.ExitStack() as kept:
        port = kept_port(plan)
        claim = (
            run_folder.claim_again(folder, plan.target.case.name)
            if plan.flags.resume
            else run_folder.claim_fresh(folder)
        )
        kept.callback(claim.release)
        moves = claim.moves
        if plan.log_in_run_folder:
            place = LogPlace(folder / log.name)
        else:
            place = run_folder.place_log(folder, log, plan.flags.resume, moves)
        if place.contract is not None:
            kept.callback(place.contract.release)
        plan = completed(beside_other_work(plan), port.port, [*moved, *moves])
        for old, new in moves:
            terminal.say(f"the earlier run in {old} is now {new}")
        for remark in [*plan.remarks, *([place.remark] if place.remark else [])]:
            terminal.say(remark)
        return _run(plan, place, terminal)


def _run(plan: Plan, place: LogPlace, terminal: Terminal) -> int:
    folder = Path(plan.run_folder)
    content = {"command": plan.command, "pid": os.getpid(), "threads": plan.threads}
    marker = run_folder.begun(folder, {**plan.names, **content, "plan": as_json(plan)})
    earlier = earlier_lives(folder / "rank_0" / EVENTS).seconds
    with Signals() as signals:
        wall = time.monotonic()
        ranks = _start(plan, place)
        quiet = plan.framework == "tensorflow"
        limits = (plan.flags.hang_seconds, plan.flags.grace)
        outcome = Supervisor(ranks, terminal, signals, *limits, quiet=quiet).run()
        seconds = time.monotonic() - wall
        if plan.flags.node_rank == 0:
            from common.launch.outcome import write_outcome  # costs nothing at the start

            outcome = write_outcome(plan, place, seconds, earlier, outcome, terminal)
    state = FAILED if outcome.exit_code else COMPLETE
    marker["state"] = INTERRUPTED if outcome.signal_number else state
    marker.update(exit_code=outcome.exit_code, reason=outcome.reason, seconds=round(seconds, 3))
    write_marker(folder, marker)
    return outcome.exit_code


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
