"""One variant in a process of its own, which does steps when it is told to.

Each line on standard input is a number of steps; each answer a line of JSON. The name `machine`
measures the machine itself in place of a variant.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

from benchmarks.shared.tf_answers import answer_as
from benchmarks.slot_attention.cases import CASES, Case
from benchmarks.slot_attention.steps import open_trainer


def main() -> int:
    """Answers as the variant, or the machine, that --name says."""
    arguments = _arguments()
    case = Case(arguments.task, arguments.batch_size, 1)

    def find_needs() -> Any:
        from benchmarks.slot_attention.machine import needs_of

        return needs_of(case.task)

    return answer_as(
        arguments.name,
        arguments.device,
        lambda: open_trainer(arguments.name, case, arguments.device),
        find_needs,
        case.batch_size,
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--name", required=True)
    parser.add_argument("--task", required=True, choices=sorted(CASES))
    parser.add_argument("--batch_size", type=int, required=True)
    parser.add_argument("--device", required=True)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
