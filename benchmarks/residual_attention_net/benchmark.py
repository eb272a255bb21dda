"""Speed of a training step, each variant against the plain baseline in the same run."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Sequence

from benchmarks.residual_attention_net.report import as_json, as_text, verdict
from benchmarks.residual_attention_net.variants import VARIANTS, default_names
from benchmarks.shared.request import benchmark_device, named_variants
from benchmarks.shared.rounds import measure_rounds
from common.core.command_line import Parser, add_debug_flag, exit_code_of, number_in
from common.core.errors import UsageError
from common.core.versions import version_numbers
from common.machine.devices import REQUESTS

WORKER = "benchmarks.residual_attention_net.worker"


@dataclass
class Measurements:
    """Everything one run of the benchmark measured.

    Attributes:
        machine: the last answer of the machine's worker; `rates` are medians over all rounds.
        answers: by variant, one answer of its worker per round, in the order of the rounds.
        warm_up_seconds: by variant, from the process's start to the end of its first steps:
            compile time is in there.
    """

    batch_size: int
    steps: int
    device_kind: str
    machine: Dict[str, Any] = field(default_factory=dict)
    answers: Dict[str, List[Dict[str, Any]]] = field(default_factory=dict)
    warm_up_seconds: Dict[str, float] = field(default_factory=dict)

    def seconds(self, name: str) -> List[float]:
        """The times of a variant, one per round."""
        return [answer["seconds"] for answer in self.answers[name]]


def make_parser() -> Parser:
    """The command line."""
    parser = Parser(prog="scripts/benchmark.sh residual_attention_net", description=__doc__)
    parser.add_argument("--batch_size", type=number_in(int, 1), default=32, help="per step")
    parser.add_argument("--repeats", type=number_in(int, 1), default=10, help="rounds of pairs")
    parser.add_argument(
        "--steps", type=number_in(int, 1), default=2, help="steps of each variant in a round"
    )
    parser.add_argument("--device", choices=REQUESTS, default="auto", help="what to compute on")
    parser.add_argument(
        "--variants",
        help="names, comma-separated, of: {} (default: by device and torch)".format(
            ", ".join(VARIANTS)
        ),
    )
    parser.add_argument(
        "--images",
        type=number_in(int, 1),
        default=50000,
        help="synthetic images to train on, as many as CIFAR-10 has",
    )
    parser.add_argument("--json", action="store_true", help="print JSON in place of the table")
    add_debug_flag(parser)
    return parser


def chosen_names(text: Optional[str], device_kind: str, torch_version: str) -> Sequence[str]:
    """The variants to run; the baseline always is among them, first."""
    return named_variants(text, VARIANTS) or default_names(
        device_kind, version_numbers(torch_version)
    )


def measure(arguments: Any, device_kind: str) -> Measurements:
    """Start every worker, then go round: machine, variants, every other round backwards."""
    flags = [
        "--batch_size",
        str(arguments.batch_size),
        "--images",
        str(arguments.images),
        "--device",
        device_kind,
    ]

    def choose(machine: Mapping[str, Any]) -> Sequence[str]:
        return chosen_names(arguments.variants, device_kind, machine["torch"])

    rounds = measure_rounds(WORKER, flags, choose, arguments.repeats, arguments.steps)
    return Measurements(arguments.batch_size, arguments.steps, device_kind, **vars(rounds))


def run(argv: Optional[Sequence[str]] = None) -> int:
    """Measure and print; the exit code is the verdict of report.verdict."""
    arguments = make_parser().parse_args(argv)
    if arguments.batch_size > arguments.images:
        raise UsageError(
            f"--batch_size {arguments.batch_size} is larger than --images {arguments.images}"
        )
    device_kind = benchmark_device(arguments.device)
    found = measure(arguments, device_kind)
    print(json.dumps(as_json(found), indent=2) if arguments.json else as_text(found))
    return int(verdict(found))


def main(argv: Optional[Sequence[str]] = None) -> int:
    """The entry of the script."""
    return exit_code_of(run, argv)


if __name__ == "__main__":
    import sys

    sys.exit(main())
