"""Rounds of measurements: the machine, then every variant, every other round backwards."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Mapping, Sequence, Tuple

from benchmarks.shared.figures import images_per_second
from benchmarks.shared.processes import Worker

Answers = Dict[str, List[Dict[str, Any]]]
MACHINE = "machine"


@dataclass(frozen=True)
class Rounds:
    """What workers answered: the machine (its rates as medians), and every variant by name."""

    machine: Dict[str, Any]
    warm_up_seconds: Dict[str, float]
    answers: Answers


def measure_rounds(
    flags: Sequence[str],
    choose: Callable[[Mapping[str, Any]], Sequence[str]],
    repeats: int,
    steps: int,
) -> Rounds:
    """Starts the machine's worker and one for each variant, then goes round.

    Args:
        choose: from the machine's answer to the names of the variants.
        steps: of each variant in a round.
    """
    with ExitStack() as stack:
        machine = stack.enter_context(Worker(MACHINE, flags))
        workers = [stack.enter_context(Worker(name, flags)) for name in choose(machine.ask(0))]
        asked, answers = go_round(machine, workers, repeats, steps)
    return Rounds(
        dict(asked[-1], rates=median_rates(asked)),
        {worker.name: worker.warm_up_seconds for worker in workers},
        answers,
    )


def go_round(
    machine: Worker, workers: Sequence[Worker], repeats: int, steps: int
) -> Tuple[List[Dict[str, Any]], Answers]:
    """Lets the workers compute one after the other, so that only one does at any time.

    Returns:
        The machine's answers, and the variants' by name: one answer per round.
    """
    asked: List[Dict[str, Any]] = []
    answers: Answers = {worker.name: [] for worker in workers}
    for number in range(repeats):
        asked.append(machine.ask(0))
        for worker in workers if number % 2 == 0 else reversed(workers):
            answers[worker.name].append(worker.ask(steps))
    return asked, answers


def median_rates(asked: Sequence[Mapping[str, Any]]) -> Dict[str, float]:
    """The median over all rounds of each of the machine's rates."""
    return {
        name: images_per_second(1, [1 / answer["rates"][name] for answer in asked]).median
        for name in asked[0]["rates"]
    }
