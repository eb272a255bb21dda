"""One variant in a process of its own, which does steps when it is told to.

Each line on standard input is a number of steps; each answer a line of JSON. The name `machine`
measures the machine itself in place of a variant.
"""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import asdict
from typing import Any, Dict

from benchmarks.shared.answering import Answer, answer_until_the_end
from benchmarks.shared.tf_answers import machine_answer, peak_memory
from benchmarks.slot_attention.cases import CASES, Case
from benchmarks.slot_attention.steps import open_trainer

MACHINE = "machine"
WARM_UP_STEPS = 2


def main() -> int:
    """Prepare, say so, then answer until the input ends."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    arguments = _arguments()
    case = Case(arguments.task, arguments.batch_size, 1)
    if arguments.name == MACHINE:
        return answer_until_the_end(lambda: _machine(case, arguments.device))
    return answer_until_the_end(lambda: _variant(arguments.name, case, arguments.device))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--name", required=True)
    parser.add_argument("--task", required=True, choices=sorted(CASES))
    parser.add_argument("--batch_size", type=int, required=True)
    parser.add_argument("--device", required=True)
    return parser.parse_args()


def _variant(name: str, case: Case, device: str) -> Answer:
    run = open_trainer(name, case, device)
    run(WARM_UP_STEPS)

    def answer(steps: int) -> Dict[str, Any]:
        return dict(asdict(run(steps)), peak_memory=peak_memory(device))
    return answer


def _machine(case: Case, device: str) -> Answer:
    def find_needs() -> Any:
        from benchmarks.slot_attention.machine import needs_of

        return needs_of(case.task)
    return machine_answer(device, find_needs, case.batch_size)


if __name__ == "__main__":
    sys.exit(main())
