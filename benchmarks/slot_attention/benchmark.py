"""Speed of a training step of both tasks, ours against the plain baseline in the same run."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, Dict, List, Mapping, Optional, Sequence

from benchmarks.shared.processes import Worker
from benchmarks.shared.request import benchmark_device, named_variants
from benchmarks.shared.rounds import measure_rounds
from benchmarks.slot_attention.cases import (
    CASES,
    MEMORY_BATCH_SIZE,
    OBJECT_DISCOVERY,
    VARIANTS,
    Case,
    default_variants,
)
from benchmarks.slot_attention.report import Measurements, as_json, as_text, verdict
from common.core.command_line import Parser, add_debug_flag, exit_code_of, number_in
from common.core.versions import version_numbers
from common.machine.devices import REQUESTS

WORKER = "benchmarks.slot_attention.worker"


def make_parser() -> Parser:
    """The command line."""
    parser = Parser(prog="scripts/benchmark.sh slot_attention", description=__doc__)
    parser.add_argument("--task", choices=sorted(CASES), help="one task only")
    parser.add_argument(
        "--batch_size",
        type=number_in(int, 1),
        help="per step (default: {})".format(
            ", ".join(f"{case.batch_size} {name}" for name, case in CASES.items())
        ),
    )
    parser.add_argument("--repeats", type=number_in(int, 1), default=8, help="rounds of pairs")
    parser.add_argument(
        "--steps",
        type=number_in(int, 1),
        help="steps of each variant in a round (default: by task)",
    )
    parser.add_argument("--device", choices=REQUESTS, default="auto", help="what to compute on")
    parser.add_argument(
        "--variants",
        help="names, comma-separated, of: {} (default: by device and TensorFlow)".format(
            ", ".join(VARIANTS)
        ),
    )
    parser.add_argument(
        "--no_memory",
        action="store_true",
        help=f"leave out peak memory at batch {MEMORY_BATCH_SIZE}",
    )
    parser.add_argument("--json", action="store_true", help="print JSON in place of the table")
    add_debug_flag(parser)
    return parser


def chosen_variants(text: Optional[str], tensorflow: str, bfloat16: bool) -> Sequence[str]:
    """The variants to run; the baseline always is among them, first."""
    return named_variants(text, VARIANTS) or default_variants(
        version_numbers(tensorflow)[0], bfloat16
    )


def chosen_cases(arguments: Any) -> List[Case]:
    """The tasks to measure, with the batch size and steps that were asked for."""
    asked = {
        name: value
        for name, value in (("batch_size", arguments.batch_size), ("steps", arguments.steps))
        if value is not None
    }
    return [
        replace(case, **asked) for name, case in CASES.items() if arguments.task in (None, name)
    ]


def measure(case: Case, arguments: Any, device_kind: str) -> Measurements:
    """Starts every worker of a case, then goes round: machine, variants."""

    def choose(machine: Mapping[str, Any]) -> Sequence[str]:
        return chosen_variants(arguments.variants, machine["tensorflow"], machine["bfloat16"])

    rounds = measure_rounds(
        WORKER, _flags(case, device_kind), choose, arguments.repeats, case.steps
    )
    found = Measurements(case, device_kind, **vars(rounds))
    if case.task == OBJECT_DISCOVERY and not arguments.no_memory:
        found.memory = measure_memory(
            replace(case, batch_size=MEMORY_BATCH_SIZE), list(found.answers), device_kind
        )
    return found


def measure_memory(case: Case, names: Sequence[str], device_kind: str) -> Dict[str, int]:
    """Peak bytes of each variant's first steps, each alone."""
    found = {}
    for name in names:
        with Worker(WORKER, name, _flags(case, device_kind)) as worker:
            found[name] = int(worker.ask(1)["peak_memory"])
    return found


def _flags(case: Case, device_kind: str) -> List[str]:
    return ["--task", case.task, "--batch_size", str(case.batch_size), "--device", device_kind]


def run(argv: Optional[Sequence[str]] = None) -> int:
    """Measures and prints; the exit code is the verdict of report.verdict."""
    arguments = make_parser().parse_args(argv)
    device_kind = benchmark_device(arguments.device)
    found = [measure(case, arguments, device_kind) for case in chosen_cases(arguments)]
    print(json.dumps(as_json(found), indent=2) if arguments.json else as_text(found))
    return int(verdict(found))


def main(argv: Optional[Sequence[str]] = None) -> int:
    """The entry of the script."""
    return exit_code_of(run, argv)


if __name__ == "__main__":
    import sys

    sys.exit(main())
