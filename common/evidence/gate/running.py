"""Runs the cases of a tier as `zoo launch` does, each in a folder of its own."""

from __future__ import annotations

import dataclasses
import sys
import time
from pathlib import Path
from typing import List, Optional, Tuple

from common.cards.model_card import Case, ModelCard, Task
from common.cards.tiers import SMOKE, TierRules
from common.core.errors import ZooError
from common.core.files import utc_stamp
from common.core.terminal import Terminal
from common.evidence.gate.reading import read_run_folder
from common.evidence.gate.soundness import GivenRun
from common.launch import run_folder
from common.launch.flags import parse_flags
from common.launch.launcher import launch
from common.launch.plan import missing_flag
from common.launch.request import make_request

FOLDER = Path("output") / "regress"
INTERRUPTS = (130, 143, 129)  # SIGINT, SIGTERM, SIGHUP


@dataclasses.dataclass(frozen=True)
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


@dataclasses.dataclass(frozen=True)
class CaseRuns:
    """The runs of a case, and the seconds they took; left_out says why there are none."""

    runs: Tuple[GivenRun, ...]
    seconds: float
    left_out: str = ""


@dataclasses.dataclass(frozen=True)
class HowToRun:
    """What the user decided: seeds in place of 0, 1, …; device and data in place of the case's."""

    seeds: Optional[Tuple[int, ...]]
    device: Optional[str]
    data_path: Optional[str]

    def words(self, gate_case: GateCase) -> List[str]:
        """The flags for `zoo launch` beside seed and folder."""
        device = self.device or ("cpu" if gate_case.rules.tier == SMOKE else None)
        found = [f"--device={device}"] if device else []
        return found + ([f"--data_path={self.data_path}"] if self.data_path else [])

    def seeds_of(self, count: int) -> Tuple[int, ...]:
        """The seeds to run."""
        return self.seeds if self.seeds is not None else tuple(range(count))


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
    path = root / FOLDER / utc_stamp()
    number = 1
    while True:
        try:
            path.mkdir(parents=True)
            return path
        except FileExistsError:
            number += 1
            path = path.with_name(f"{utc_stamp()}-{number}")


def run_case(gate_case: GateCase, how: HowToRun, count: int, folder: Path) -> CaseRuns:
    """Runs a case once a seed.

    Args:
        count: how many seeds, where the user named none.
        folder: what new_folder gave; the runs go into folders in it.

    Raises:
        KeyboardInterrupt: a signal ended a run; nothing is judged then.
    """
    began = time.monotonic()
    missing = missing_flag(gate_case.task, gate_case.case, parse_flags(how.words(gate_case)))
    if missing is not None:
        return CaseRuns((), 0.0, str(missing))
    place = folder / f"{gate_case.card.name}-{gate_case.task.name}-{gate_case.case.name}"
    runs = [
        _run(gate_case, how, seed, place / run_folder.SEED_FOLDER.format(seed))
        for seed in how.seeds_of(count)
    ]
    return CaseRuns(tuple(runs), time.monotonic() - began)


def _run(gate_case: GateCase, how: HowToRun, seed: int, folder: Path) -> GivenRun:
    words = how.words(gate_case) + [f"--seed={seed}", f"--output_path={folder}"]
    # What the ranks print belongs beside the verdict, not into it: standard output may be JSON.
    terminal = Terminal(stream=sys.stderr)
    terminal.say(f"--- {gate_case.name}, seed {seed}")
    try:
        request = make_request(
            f"{gate_case.card.name}/{gate_case.task.name}", gate_case.case.name, words
        )
        code = launch(dataclasses.replace(request, log_in_run_folder=True), terminal)
    except ZooError as error:
        terminal.complain(f"error: {error}")
        return GivenRun(str(folder), None, exit_code=error.exit_code, reason=str(error))
    if code in INTERRUPTS and run_folder.read_marker(folder).state == run_folder.INTERRUPTED:
        raise KeyboardInterrupt
    return read_run_folder(folder)
