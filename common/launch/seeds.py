"""Runs a case once for each seed, one run after another, and reports on all of them."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

from common.cards.model_card import Metric
from common.core.errors import UsageError, ZooError
from common.core.files import write_atomically
from common.core.terminal import Terminal
from common.launch import run_folder
from common.launch.flags import LaunchFlags, parse_flags, words_without
from common.launch.launcher import launch
from common.launch.log_place import follow_move
from common.launch.plan import Plan
from common.launch.request import (
    Request,
    command_line,
    understood,
    with_moved_paths,
    with_port,
)
from common.launch.seed_report import SeedReport, as_json, as_text, read_result

REPORT = "seeds.json"
REPORT_TEXT = "seeds.txt"
RULE = "------------------ Seeds ------------------"


@dataclasses.dataclass(frozen=True)
class SeedLaunch:
    """A launch of several seeds, understood and checked, but not begun.

    Attributes:
        whole: the launch as if it were one run; its run folder holds those of the seeds.
        requests: what is to be run, by seed; a finished seed of a resumed launch is not there.
        command: what was typed.
    """

    whole: Plan
    metric: Metric
    seeds: Tuple[int, ...]
    requests: Dict[int, Request]
    resume: bool
    command: str

    @property
    def folder(self) -> Path:
        """The folder that holds the run folders of the seeds."""
        return Path(self.whole.run_folder)


def seed_launch(model: str, case: Optional[str], words: Sequence[str]) -> SeedLaunch:
    """Understands and checks a launch with --seeds.

    Raises:
        UsageError, ZooError: what is wrong, in one line. Nothing has been written by then.
    """
    asked = parse_flags(words)
    whole = understood(model, case, words_without(words, ["seeds", "resume"]))
    _check(whole.flags)
    plan, task = whole.plan(), whole.target.task
    names = ["seed", "output_path"]
    names += [task.entry_flag(plan.action, name) for name in names]
    rest = words_without(words, ["seeds", "resume"] + names)
    requests = {}
    for seed in asked.seeds or ():
        own = _own_words(whole, Path(plan.run_folder), seed, asked.resume)
        if own is not None:
            requests[seed] = understood(model, case, rest + own)
    return SeedLaunch(
        plan,
        task.metric,
        asked.seeds or (),
        requests,
        asked.resume,
        command_line(model, case, words),
    )


def _own_words(whole: Request, folder: Path, seed: int, resume: bool) -> Optional[List[str]]:
    """The flags of one seed's run; None where it is complete already."""
    run = folder / run_folder.SEED_FOLDER.format(seed)
    own = [f"--seed={seed}", f"--output_path={run}"]
    if not resume or not run_folder.is_run(run):
        return own
    if run_folder.read_marker(run).state == run_folder.COMPLETE:
        return None
    return own + ["--resume"] if _has_checkpoint(whole, run) else own


def _check(flags: LaunchFlags) -> None:
    if flags.seed is not None:
        raise UsageError("--seed and --seeds are both given; give one of them")
    if flags.nnodes > 1:
        raise UsageError(
            f"--seeds runs on one machine; on {flags.nnodes} launch each seed with --seed"
        )


def _has_checkpoint(request: Request, folder: Path) -> bool:
    """Whether a run has something to go on from; one that was ended before that begins anew."""
    weights = request.target.task.weights
    return weights is None or any(True for pattern in weights.files for _ in folder.glob(pattern))


def plans(all_seeds: SeedLaunch) -> List[Plan]:
    """The plan of every seed that is to be run, for --dry_run."""
    return [with_port(request).plan() for request in all_seeds.requests.values()]


def run_seeds(all_seeds: SeedLaunch, terminal: Terminal) -> int:
    """Runs the seeds; one that fails keeps none of the others from running, an interrupt does.

    Returns:
        0, the exit code of the first seed whose run failed, or of the interrupt. Not to reach the
        card's threshold is no failure.

    Raises:
        ZooError: the folder can't be claimed; no seed has been started then.
    """
    claim = _claim(all_seeds)
    moves = [(claim.folder, claim.moved_to)] if claim.moved_to is not None else []
    if moves:
        terminal.say("the earlier run in {} is now {}".format(*moves[0]))
        follow_move(Path(all_seeds.whole.contract_log).parent, *moves[0])
    marker = _marker(all_seeds)
    try:
        run_folder.write_marker(all_seeds.folder, marker)
        code, state = _run_all(all_seeds, moves, terminal)
        _report(all_seeds, terminal)
        marker.update(state=state, exit_code=code)
        run_folder.write_marker(all_seeds.folder, marker)
        return code
    finally:
        claim.release()


def _run_all(
    all_seeds: SeedLaunch, moves: Sequence[Tuple[Path, Path]], terminal: Terminal
) -> Tuple[int, str]:
    """Exit code and state of the whole."""
    code = 0
    for seed in all_seeds.seeds:
        if seed not in all_seeds.requests:
            terminal.say(f"--- seed {seed} is complete already")
            continue
        terminal.say(f"--- seed {seed}")
        _link_log(all_seeds, seed)
        ended = _launch_one(with_moved_paths(all_seeds.requests[seed], moves), terminal)
        if _interrupted(all_seeds, seed, ended):
            return ended, run_folder.INTERRUPTED
        code = code or ended
    return code, run_folder.FAILED if code else run_folder.COMPLETE


def _claim(all_seeds: SeedLaunch) -> run_folder.Claim:
    folder = all_seeds.folder
    if not all_seeds.resume:
        return run_folder.claim_fresh(folder, "--output_path")
    return run_folder.claim_seeds_again(folder, "--output_path", all_seeds.whole.case)


def _marker(all_seeds: SeedLaunch) -> Dict[str, Any]:
    """What run.json says beside the seeds' own: enough to resume, and to find their weights."""
    plan = all_seeds.whole
    before = list(run_folder.read_marker(all_seeds.folder).seeds)
    return run_folder.new_session(
        {
            "schema_version": 1,
            "model": plan.model,
            "task": plan.task,
            "case": plan.case,
            "command": all_seeds.command,
            "pid": os.getpid(),
            "seeds": before + [seed for seed in all_seeds.seeds if seed not in before],
        }
    )


def _link_log(all_seeds: SeedLaunch, seed: int) -> None:
    """Where the runs lie below the contract's folder, its log is that of the seed that runs."""
    log = Path(all_seeds.whole.contract_log)
    if log.parent == all_seeds.folder:
        run_folder.link(Path(run_folder.SEED_FOLDER.format(seed)) / log.name, log)


def _launch_one(request: Request, terminal: Terminal) -> int:
    try:
        return launch(with_port(request), terminal)
    except ZooError as error:
        terminal.complain(f"error: {error}")
        return error.exit_code


def _interrupted(all_seeds: SeedLaunch, seed: int, exit_code: int) -> bool:
    if exit_code <= 128:
        return False
    marker = run_folder.read_marker(all_seeds.folder / run_folder.SEED_FOLDER.format(seed))
    return marker.state == run_folder.INTERRUPTED


def _report(all_seeds: SeedLaunch, terminal: Terminal) -> None:
    plan, metric = all_seeds.whole, all_seeds.metric
    report = SeedReport(
        plan.model,
        plan.task,
        plan.case,
        metric,
        [read_result(all_seeds.folder, seed, metric) for seed in all_seeds.seeds],
    )
    text = as_text(report)
    write_atomically(all_seeds.folder / REPORT_TEXT, text + "\n")
    write_atomically(
        all_seeds.folder / REPORT, json.dumps(as_json(report), indent=1, ensure_ascii=False) + "\n"
    )
    terminal.say(RULE + "\n" + text)
