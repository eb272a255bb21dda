"""Prints what quickstart runs, read from the model cards: one `MODEL/TASK CASE` a line.

A network's smoke case comes first, then the cases named after it, such as smoke_eval, which go on
from the run before. A task without the smoke case has none.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import List

CHECKOUT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(CHECKOUT))

from common.cards.model_card import ModelCard  # noqa: E402
from common.cards.model_folders import all_cards  # noqa: E402
from common.core.command_line import run_program  # noqa: E402


def smoke_cases(card: ModelCard) -> List[str]:
    """The lines of one network, in the order in which its cases are to be run."""
    lines = []
    for task in card.tasks.values():
        if card.smoke_case in task.cases:
            cases = [card.smoke_case] + sorted(
                name for name in task.cases if name.startswith(card.smoke_case + "_")
            )
            lines += [f"{card.name}/{task.name} {case}" for case in cases]
    return lines


def main(_arguments: object) -> int:
    """Prints the lines of every network in the checkout."""
    for card in all_cards(CHECKOUT):
        for line in smoke_cases(card):
            print(line)
    return 0


if __name__ == "__main__":
    run_program(main)
