"""Runs the cases of a tier as `zoo launch` does, each in a folder of its own."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import List, Optional, Sequence

import attrs

from common.cards.model_card import SMOKE, Case, ModelCard, Task, TierRules
from common.core.errors import ZooError
from common.core.files import utc_stamp
from common.core.terminal import Terminal
from common.evidence.gate.evidence import GivenRun, read_run
from common.launch import run_folder
from common.launch.flags import Target, check_required, command_line, parse_flags
from common.launch.launcher import launch
from common.launch.request import planned

FOLDER = Path("output") / "regress"
INTERRUPTS = (130, 143, 129)  # SIGINT, SIGTERM, SIGHUP


@attrs.frozen
class GateCase:
    """A case that a tier runs, by which rules."""

    card: ModelCard
    task: Task
    case: Case
    rules: TierRules

    @property
    def name(self) -> str:
        """model/task case."""
        return f"{self.card.name}/{self.task.name} {self.case.name}"


def cases_of(card: ModelCard, task_name: Optional[str], tier: str) -> List[GateCase]:
    """What a tier runs of a network, or of one of its tasks."""
    tasks = [card.task(task_name)] if task_name else list(card.tasks.values())
    return [
        GateCase(card, task, task.cases[name], task.gate[tier])
        for task in tasks
        if tier in task.gate
        for name in task.gate[tier].cases
    ]


def new_folder(root: Path) -> Path:
    """The folder of this gate's runs, `output/regress/<UTC>`, which no other gate has."""
    number, stamp = 1, utc_stamp()
    while True:
        path = root / FOLDER / (stamp if number == 1 else f"{stamp}-{number}")
        try:
            path.mkdir(parents=True)
            return path
        except FileExistsError:
            number += 1


def run_case(
    gate_case: GateCase,
    seeds: Sequence[int],
    folder: Path,
    device: Optional[str] = None,
    data_path: Optional[str] = None,
) -> List[GivenRun]:
    """Runs a case once a seed.

    Args:
        folder: what new_folder gave; the runs go into folders in it.
        device, data_path: what the user decided in place of the tier's and the case's.

    Raises:
        ZooError: something is missing that the case needs; nothing has been run.
        KeyboardInterrupt: a signal ended a run; nothing is judged then.
    """
    device = device or ("cpu" if gate_case.rules.tier == SMOKE else None)
    flags = {"device": device, "data_path": str(Path(data_path).absolute()) if data_path else None}
    words = [f"--{name}={value}" for name, value in flags.items() if value]
    target = Target(gate_case.card, gate_case.task, gate_case.case)
    check_required(target, parse_flags(target, words))
    place = folder / f"{target.card.name}-{target.task.name}-{target.case.name}"
    runs = []
    for seed in seeds:
        # What the ranks print belongs beside the verdict: standard output may be JSON.
        terminal = Terminal(stream=sys.stderr)
        terminal.say(f"--- {gate_case.name}, seed {seed}")
        own = place / run_folder.SEED_FOLDER.format(seed)
        runs.append(_run(target, [*words, f"--seed={seed}", f"--output_path={own}"], own, terminal))
    return runs


def _run(target: Target, words: Sequence[str], folder: Path, terminal: Terminal) -> GivenRun:
    try:
        plan = planned(target, parse_flags(target, words), command_line(target.names, words))
        code = launch(dataclasses.replace(plan, log_in_run_folder=True), terminal)
    except ZooError as error:
        terminal.complain(f"error: {error}")
        return GivenRun(str(folder), None, exit_code=error.exit_code, reason=str(error))
    run = read_run(folder)
    if code in INTERRUPTS and run.state == run_folder.INTERRUPTED:
        raise KeyboardInterrupt
    return run
