"""Rounds of measurements: the machine, then every variant, every other round backwards."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Sequence, Tuple

from benchmarks.shared.figures import images_per_second
from benchmarks.shared.processes import Worker

Answers = Dict[str, List[Dict[str, Any]]]


def go_round(machine: Worker, workers: Sequence[Worker], repeats: int,
             steps: int) -> Tuple[List[Dict[str, Any]], Answers]:
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
    return {name: images_per_second(1, [1 / answer["rates"][name] for answer in asked]).median
            for name in asked[0]["rates"]}
