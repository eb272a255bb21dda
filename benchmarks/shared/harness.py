"""One benchmark for every network: what a network gives, the command line, the measuring."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from benchmarks.shared.figures import STATED_RATE, Check
from benchmarks.shared.processes import Worker
from benchmarks.shared.rounds import measure_rounds
from common.core.command_line import Parser, add_debug_flag, exit_code_of, number_in
from common.core.errors import UsageError
from common.core.versions import version_numbers
from common.machine.devices import REQUESTS, choose_device, detect

BASELINE = "baseline"


@dataclass(frozen=True)
class Case:
    """A training step that is measured.

    Attributes:
        name: the task where a network has several, else "".
        text: what a step computes, "batch 32".
        images: of one step.
        steps: of each variant in a round.
        flags: what the workers are told of it.
    """

    name: str
    text: str
    images: int
    steps: int
    flags: Mapping[str, Any]


@dataclass(frozen=True)
class MemoryLimit:
    """The most bytes that `variant` may take in training at a batch size, on a CPU."""

    case: str
    variant: str
    batch_size: int
    most_bytes: float


def _nothing(*_: Any) -> None:
    return None


@dataclass(frozen=True)
class Benchmark:
    """What a network gives.

    Attributes:
        framework: "torch" or "tensorflow".
        variants: by name, the baseline first.
        cases: from the arguments to what is measured.
        chosen: from device kind, framework's version and whether it computes in bfloat16 to the
            variants that run where none are named.
        stated: from major version, variant and case to images/s where convolutions run at
            STATED_RATE on two cores; None where no figure is stated.
        targets: by major version and variant the ratio over the baseline to reach on a CPU.
        later_target: the ratio over the figure stated for major version 1 that the fastest of ours
            is to reach on later ones, in place of `targets`.
        most_wait: the share of a step that ours may wait for data.
        add_flags: adds the network's own flags to the parser.
    """

    network: str
    framework: str
    variants: Sequence[str]
    cases: Callable[[Any], List[Case]]
    chosen: Callable[[str, Tuple[int, ...], bool], Sequence[str]]
    stated: Callable[[int, str, Case], Optional[float]]
    targets: Mapping[Tuple[int, str], float]
    later_target: Optional[float] = None
    most_wait: Optional[float] = None
    memory: Optional[MemoryLimit] = None
    repeats: int = 10
    add_flags: Callable[[Parser], None] = _nothing


@dataclass
class Measurements:
    """Everything one run measured of one case.

    Attributes:
        machine: the last answer of the machine's worker; `rates` are medians over all rounds.
        answers: by variant, one answer of its worker per round, in the order of the rounds.
        warm_up_seconds: by variant, from the process's start to the end of its first steps:
            compile time is in there.
        memory: by variant, peak bytes at the memory limit's batch size, where that was measured.
    """

    benchmark: Benchmark
    case: Case
    device_kind: str
    machine: Dict[str, Any] = field(default_factory=dict)
    answers: Dict[str, List[Dict[str, Any]]] = field(default_factory=dict)
    warm_up_seconds: Dict[str, float] = field(default_factory=dict)
    memory: Dict[str, int] = field(default_factory=dict)

    @property
    def major(self) -> int:
        """The first number of the framework's version."""
        return version_numbers(self.machine[self.benchmark.framework])[0]

    def check(self, variant: str, measured: float, major: Optional[int] = None) -> Optional[Check]:
        """The stated figure of a variant, scaled to this machine, beside what was measured."""
        stated = self.benchmark.stated(major or self.major, variant, self.case)
        if stated is None or self.device_kind != "cpu":
            return None
        return Check(stated, stated * self.machine["rates"]["fp32"] / STATED_RATE, measured)

    def target(self, variant: str) -> Optional[float]:
        """The ratio over the baseline that a variant is to reach, None where none is set."""
        if self.device_kind != "cpu":
            return None
        return self.benchmark.targets.get((self.major, variant))


def named_variants(text: Optional[str], variants: Sequence[str]) -> Optional[List[str]]:
    """The variants that --variants names, the baseline always first; None where it is not given.

    Raises:
        UsageError: an unknown name.
    """
    if text is None:
        return None
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in variants:
            raise UsageError(
                f"--variants: there is no variant {name!r}; there are: {', '.join(variants)}"
            )
    return [BASELINE] + [name for name in dict.fromkeys(names) if name != BASELINE]


def make_parser(benchmark: Benchmark) -> Parser:
    """The command line; a network's own flags have the defaults of its cases."""
    parser = Parser(
        prog=f"scripts/benchmark.sh {benchmark.network}",
        description="Speed of a training step, each variant against the plain baseline in one run.",
    )
    whole = number_in(int, 1)
    parser.add_argument("--batch_size", type=whole, help="per step")
    parser.add_argument("--steps", type=whole, help="steps of each variant in a round")
    parser.add_argument("--repeats", type=whole, default=benchmark.repeats, help="rounds of pairs")
    parser.add_argument("--device", choices=REQUESTS, default="auto", help="what to compute on")
    parser.add_argument(
        "--variants",
        help=f"names, comma-separated, of: {', '.join(benchmark.variants)} (default: by device "
        f"and {benchmark.framework})",
    )
    parser.add_argument("--json", action="store_true", help="print JSON in place of the table")
    benchmark.add_flags(parser)
    add_debug_flag(parser)
    return parser


def _device_kind(asked: str) -> str:
    kind = choose_device(asked, detect())
    if kind == "npu":
        raise UsageError("--device npu: this benchmark compares on gpu and cpu only")
    return kind


def measure(benchmark: Benchmark, case: Case, arguments: Any, device_kind: str) -> Measurements:
    """Starts every worker of a case, then goes round: machine, variants."""

    def choose(machine: Mapping[str, Any]) -> Sequence[str]:
        version = version_numbers(machine[benchmark.framework])
        return named_variants(arguments.variants, benchmark.variants) or benchmark.chosen(
            device_kind, version, bool(machine.get("bfloat16"))
        )

    flags = dict(case.flags, network=benchmark.network, device=device_kind)
    rounds = measure_rounds(_words(flags), choose, arguments.repeats, case.steps)
    found = Measurements(benchmark, case, device_kind, **vars(rounds))
    limit = benchmark.memory
    if limit is not None and limit.case == case.name and not arguments.no_memory:
        for name in found.answers:
            with Worker(name, _words(dict(flags, batch_size=limit.batch_size))) as worker:
                found.memory[name] = int(worker.ask(1)["peak_memory"])
    return found


def _words(flags: Mapping[str, Any]) -> List[str]:
    return [f"--{name}={value}" for name, value in flags.items()]


def run(benchmark: Benchmark, argv: Optional[Sequence[str]] = None) -> int:
    """Measures and prints; the exit code is the verdict."""
    from benchmarks.shared.report import as_json, as_text, verdict

    arguments = make_parser(benchmark).parse_args(argv)
    cases = benchmark.cases(arguments)
    device_kind = _device_kind(arguments.device)
    found = [measure(benchmark, case, arguments, device_kind) for case in cases]
    print(json.dumps(as_json(found), indent=2) if arguments.json else as_text(found))
    return int(verdict(found))


def main(benchmark: Benchmark) -> int:
    """The entry of a network's benchmark."""
    return exit_code_of(lambda argv: run(benchmark, argv), None)
