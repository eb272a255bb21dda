"""Speed of ProtoAttend's training step, ours against the plain baseline in the same run."""

from __future__ import annotations

import json
from typing import Any, Mapping, Optional, Sequence

from benchmarks.protoattend.cases import STATED_CASE, VARIANTS, Case, default_variants
from benchmarks.protoattend.report import Measurements, as_json, as_text, verdict
from benchmarks.shared.request import benchmark_device, named_variants
from benchmarks.shared.rounds import measure_rounds
from common.core.command_line import Parser, add_debug_flag, exit_code_of, number_in
from common.core.versions import version_numbers
from common.machine.devices import REQUESTS

WORKER = "benchmarks.protoattend.worker"


def make_parser() -> Parser:
    """The command line."""
    parser = Parser(prog="scripts/benchmark.sh protoattend", description=__doc__)
    parser.add_argument(
        "--batch_size",
        type=number_in(int, 1),
        default=STATED_CASE.batch_size,
        help="queries per step",
    )
    parser.add_argument(
        "--candidates",
        type=number_in(int, 1),
        default=STATED_CASE.candidates,
        help="candidates per step",
    )
    parser.add_argument("--repeats", type=number_in(int, 1), default=8, help="rounds of pairs")
    parser.add_argument(
        "--steps",
        type=number_in(int, 1),
        default=STATED_CASE.steps,
        help="steps of each variant in a round",
    )
    parser.add_argument("--device", choices=REQUESTS, default="auto", help="what to compute on")
    parser.add_argument(
        "--variants",
        help="names, comma-separated, of: {} (default: by device and TensorFlow)".format(
            ", ".join(VARIANTS)
        ),
    )
    parser.add_argument("--json", action="store_true", help="print JSON in place of the table")
    add_debug_flag(parser)
    return parser


def chosen_variants(text: Optional[str], tensorflow: str, bfloat16: bool) -> Sequence[str]:
    """The variants to run; the baseline always is among them, first."""
    return named_variants(text, VARIANTS) or default_variants(
        version_numbers(tensorflow)[0], bfloat16
    )


def measure(case: Case, arguments: Any, device_kind: str) -> Measurements:
    """Starts every worker, then goes round: machine, variants."""

    def choose(machine: Mapping[str, Any]) -> Sequence[str]:
        return chosen_variants(arguments.variants, machine["tensorflow"], machine["bfloat16"])

    flags = [
        "--batch_size",
        str(case.batch_size),
        "--candidates",
        str(case.candidates),
        "--device",
        device_kind,
    ]
    rounds = measure_rounds(WORKER, flags, choose, arguments.repeats, case.steps)
    return Measurements(case, device_kind, **vars(rounds))


def run(argv: Optional[Sequence[str]] = None) -> int:
    """Measures and prints; the exit code is the verdict of report.verdict."""
    arguments = make_parser().parse_args(argv)
    device_kind = benchmark_device(arguments.device)
    case = Case(arguments.batch_size, arguments.candidates, arguments.steps)
    found = measure(case, arguments, device_kind)
    print(json.dumps(as_json(found), indent=2) if arguments.json else as_text(found))
    return int(verdict(found))


def main(argv: Optional[Sequence[str]] = None) -> int:
    """The entry of the script."""
    return exit_code_of(run, argv)


if __name__ == "__main__":
    import sys

    sys.exit(main())
