"""One variant in a process of its own, which does steps when it is told to.

Each line on standard input is a number of steps; each answer a line of JSON. The name `machine`
measures the machine itself in place of a variant.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

from benchmarks.protoattend.cases import Case
from benchmarks.protoattend.steps import open_trainer
from benchmarks.shared.tf_answers import answer_as


def main() -> int:
    """Answers as the variant, or the machine, that --name says."""
    arguments = _arguments()
    case = Case(arguments.batch_size, arguments.candidates, 1)

    def find_needs() -> Any:
        from benchmarks.protoattend.machine import needs_of

        return needs_of()

    return answer_as(
        arguments.name,
        arguments.device,
        lambda: open_trainer(arguments.name, case, arguments.device),
        find_needs,
        case.step_images,
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--name", required=True)
    parser.add_argument("--batch_size", type=int, required=True)
    parser.add_argument("--candidates", type=int, required=True)
    parser.add_argument("--device", required=True)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
