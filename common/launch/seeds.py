"""Runs a case once for each seed, one run after another, and tells what they came to."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import statistics
from pathlib import Path
from typing import Dict, Optional, Tuple

from common.cards.model_card import Metric
from common.core.codec import write_json
from common.core.errors import UsageError, ZooError
from common.core.files import write_atomically
from common.core.terminal import Terminal
from common.core.text import aligned
from common.launch import run_folder
from common.launch.flags import LaunchFlags, Target, command_line
from common.launch.launcher import launch
from common.launch.plan import Plan
from common.launch.request import planned
from common.launch.run_folder import SEED_FOLDER, Moves
from common.runs import record as run_record
from common.runs.marker import COMPLETE, FAILED, INTERRUPTED, read_marker, write_marker

REPORT, REPORT_TEXT = "seeds.json", "seeds.txt"
SCHEMA_VERSION = 1
RULE = "------------------ Seeds ------------------"
NOT_RUN = "not run"


@dataclasses.dataclass(frozen=True)
class SeedLaunch:
    """A launch of several seeds, understood and checked, but not begun.

    Attributes:
        whole: the launch as if it were one run; its run folder holds those of the seeds.
        plans: what is to be run, by seed; a finished seed of a resumed launch is not there.
    """

    whole: Plan
    seeds: Tuple[int, ...]
    plans: Dict[int, Plan]
    resume: bool

    @property
    def folder(self) -> Path:
        """The folder that holds the run folders of the seeds."""
        return Path(self.whole.run_folder)


def seed_launch(target: Target, asked: LaunchFlags, command: str) -> SeedLaunch:
    """Checks and plans a launch with --seeds.

    Raises:
        UsageError, ZooError: what is wrong, in one line. Nothing has been written by then.
    """
    if asked.seed is not None:
        raise UsageError("--seed and --seeds are both given; give one of them")
    if asked.nnodes > 1:
        raise UsageError(
            f"--seeds runs on one machine; on {asked.nnodes} launch each seed with --seed"
        )
    seeds, plain = asked.seeds or (), dataclasses.replace(asked, seeds=None, resume=False)
    whole = planned(target, plain, command)
    plans = {}
    for seed in seeds:
        run = Path(whole.run_folder) / SEED_FOLDER.format(seed)
        flags = dataclasses.replace(plain, seed=seed, output_path=str(run))
        if asked.resume and run_folder.is_run(run):
            if read_marker(run).state == COMPLETE:
                continue
            weights = target.task.weights  # without any a run begins anew
            files = weights.files if weights else ("*",)
            found = any(True for pattern in files for _ in run.glob(pattern))
            flags = dataclasses.replace(flags, resume=found)
        plans[seed] = planned(target, flags, command_line(target.names, flags.words()))
    return SeedLaunch(whole, seeds, plans, asked.resume)


def run_seeds(all_seeds: SeedLaunch, terminal: Terminal) -> int:
    """Runs the seeds; one that fails keeps none of the others from running, an interrupt does.

    Returns:
        0, the exit code of the first seed whose run failed, or of the interrupt. Not to reach the
        card's threshold is no failure.

    Raises:
        ZooError: the folder can't be claimed; no seed has been started then.
    """
    folder, plan = all_seeds.folder, all_seeds.whole
    claim = (
        run_folder.claim_again(folder, plan.target.case.name, seeds=True)
        if all_seeds.resume
        else run_folder.claim_fresh(folder)
    )
    try:
        for old, new in claim.moves:
            terminal.say(f"the earlier run in {old} is now {new}")
        run_folder.follow_move(Path(plan.contract_log).parent, claim.moves)
        seeds = list(dict.fromkeys([*read_marker(folder).seeds, *all_seeds.seeds]))
        content = {"command": plan.command, "pid": os.getpid(), "seeds": seeds}
        marker = run_folder.begun(folder, {**plan.names, **content})
        code, state, not_begun = _run_all(all_seeds, claim.moves, terminal)
        _report(all_seeds, terminal)
        ended = {"state": state, "exit_code": code, "not_begun": not_begun}
        write_marker(folder, {**marker, **ended})
        return code
    finally:
        claim.release()


def _run_all(
    all_seeds: SeedLaunch, moves: Moves, terminal: Terminal
) -> Tuple[int, str, Dict[str, str]]:
    """Exit code and state of the whole; by its folder, why a seed's run could not begin."""
    code, log = 0, Path(all_seeds.whole.contract_log)
    not_begun: Dict[str, str] = {}
    for seed in all_seeds.seeds:
        if seed not in all_seeds.plans:
            terminal.say(f"--- seed {seed} is complete already")
            continue
        terminal.say(f"--- seed {seed}")
        own = SEED_FOLDER.format(seed)
        if log.parent == all_seeds.folder:  # the contract's log is that of the seed that runs
            run_folder.link(Path(own) / log.name, log)
        try:
            ended = launch(all_seeds.plans[seed], terminal, moves)
        except ZooError as error:
            terminal.complain(f"error: {error}")
            ended, not_begun[own] = error.exit_code, str(error)
        if ended > 128 and read_marker(all_seeds.folder / own).state == INTERRUPTED:
            return ended, INTERRUPTED, not_begun
        code = code or ended
    return code, FAILED if code else COMPLETE, not_begun


# --- what they came to ---


@dataclasses.dataclass(frozen=True)
class SeedResult:
    """One seed.

    Attributes:
        state: complete, failed, interrupted, or "not run".
        exit_code: None where it was not run.
        value: the task's metric on the test set with the final weights; None without one.
        reason: what a failed run failed of.
    """

    seed: int
    state: str
    exit_code: Optional[int]
    value: Optional[float]
    reason: str = ""

    def told(self) -> str:
        """How it ended, for people."""
        if self.state == COMPLETE:
            return f"{self.state} in {SEED_FOLDER.format(self.seed)}"
        code = "" if self.exit_code is None else f" (exit code {self.exit_code})"
        return f"{self.state}{code}{': ' + self.reason if self.reason else ''}"


def read_result(folder: Path, seed: int, metric: Metric) -> SeedResult:
    """What the run of one seed in `folder`/seed_N left, in its marker and its record."""
    run = folder / SEED_FOLDER.format(seed)
    marker = read_marker(run)
    if not marker.state:
        return SeedResult(seed, NOT_RUN, None, None, marker.fault)
    value: Optional[float] = None
    if marker.state == COMPLETE:
        with contextlib.suppress(ZooError):
            record = run_record.read_record(run / run_record.FILE_NAME)
            value = run_record.finite(record.metrics.final.get(metric.name))
    return SeedResult(seed, marker.state, marker.exit_code, value, marker.reason or "")


def _report(all_seeds: SeedLaunch, terminal: Terminal) -> None:
    plan = all_seeds.whole
    metric = plan.target.task.metric
    results = [read_result(all_seeds.folder, seed, metric) for seed in all_seeds.seeds]
    values = [result.value for result in results if result.value is not None]
    median = statistics.median(values) if values else None
    reached = [metric.succeeded(result.value) for result in results]
    succeeded = None if metric.success is None else reached.count(True)
    told_of_metric = ("name", "unit", "success", "higher_is_better")
    content = {
        "schema_version": SCHEMA_VERSION,
        **plan.names,
        "metric": {name: getattr(metric, name) for name in told_of_metric},
        "seeds": [
            dict(
                dataclasses.asdict(result),
                succeeded=success,
                run_folder=SEED_FOLDER.format(result.seed),
            )
            for result, success in zip(results, reached)
        ],
        "median": median,
        "succeeded": succeeded,
    }
    rows = [("seed", metric.name + (", " + metric.unit if metric.unit else ""), "run")]
    for result in results:
        value = "–" if result.value is None else metric.told(result.value)
        rows.append((str(result.seed), value, result.told()))
    summary = "no seed has a result"
    if median is not None:
        summary = f"median {metric.told(median)} of {len(values)}"
    if succeeded is not None:
        bound = f"{'at least' if metric.higher_is_better else 'at most'} {metric.success:g}"
        summary += f"; {succeeded} of {len(results)} succeeded ({metric.name} {bound})"
    case = "{model}/{task} {case}".format(**plan.names)
    head = f"{case}, {len(results)} seed{'s' * (len(results) > 1)}"
    text = "\n".join([head, *("  " + line for line in aligned(rows).splitlines()), summary])
    write_atomically(all_seeds.folder / REPORT_TEXT, text + "\n")
    write_json(all_seeds.folder / REPORT, content)
    terminal.say(RULE + "\n" + text)
