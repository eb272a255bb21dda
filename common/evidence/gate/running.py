"""Runs the cases of a tier as `zoo launch --seeds` does, each in a folder of its own."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import List, Optional, Sequence

from common.cards.model_card import ModelCard
from common.core.errors import ZooError
from common.core.terminal import Terminal
from common.evidence.gate.evidence import GivenRun, read_runs
from common.launch.flags import Target, check_required, command_line, parse_flags
from common.launch.seeds import run_seeds, seed_launch
from common.runs.marker import INTERRUPTED, Marker, read_marker

FOLDER = Path("output") / "regress"  # below it a folder of each gate's own


def cases_of(card: ModelCard, task_name: Optional[str], tier: str) -> List[Target]:
    """What a tier runs of a network, or of one of its tasks."""
    tasks = [card.task(task_name)] if task_name else list(card.tasks.values())
    return [
        Target(card, task, task.cases[name])
        for task in tasks
        if tier in task.gate
        for name in task.gate[tier].cases
    ]


def run_case(
    target: Target,
    seeds: Sequence[int],
    folder: Path,
    device: Optional[str] = None,
    data_path: Optional[str] = None,
) -> List[GivenRun]:
    """Runs a case once a seed.

    Args:
        folder: the runs go into folders in it.
        device, data_path: what was decided in place of the case's.

    Raises:
        ZooError: something is missing that the case needs; nothing has been run.
        KeyboardInterrupt: a signal ended a run; nothing is judged then.
    """
    place = folder / f"{target.card.name}-{target.task.name}-{target.case.name}"
    words = [f"--seeds={','.join(map(str, seeds))}", f"--output_path={place}"]
    words += [f"--device={device}"] if device else []
    words += [f"--data_path={Path(data_path).absolute()}"] if data_path else []
    flags = parse_flags(target, words)
    check_required(target, flags)
    # What the ranks print belongs beside the verdict: standard output may be JSON.
    terminal = Terminal(stream=sys.stderr)
    terminal.say(f"--- {' '.join(target.names)}")
    try:
        whole = seed_launch(target, flags, command_line(target.names, words))
        plans = {
            seed: dataclasses.replace(plan, log_in_run_folder=True)
            for seed, plan in whole.plans.items()
        }
        run_seeds(dataclasses.replace(whole, plans=plans), terminal)
    except ZooError as error:
        terminal.complain(f"error: {error}")
        return [GivenRun(str(place), None, Marker(exit_code=error.exit_code, reason=str(error)))]
    if read_marker(place).state == INTERRUPTED:
        raise KeyboardInterrupt
    return read_runs(place)
