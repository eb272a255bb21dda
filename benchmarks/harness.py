"""One benchmark for every network: what a network gives, workers that compute in turn, verdicts."""

from __future__ import annotations

import enum
import json
import os
import statistics
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from common.core.command_line import Parser, add_debug_flag, exit_code_of, number_in
from common.core.errors import UsageError, ZooError
from common.core.text import version_numbers
from common.machine.devices import REQUESTS, choose_device, detect

CHECKOUT = Path(__file__).resolve().parents[1]
BASELINE, MACHINE = "baseline", "machine"
END_SECONDS = 30
# The variants beside the baseline of networks that are in TensorFlow, and their precision modes.
OWN_MODES = {"ours_fp32": "must_keep_origin_dtype", "ours_bf16": "allow_mix_precision_bf16"}
# What a twin in torch is measured beside: the variants of its network in TensorFlow.
OF_TENSORFLOW = {"tensorflow_fp32": "ours_fp32", "tensorflow_bf16": "ours_bf16"}
OF_TWIN = (BASELINE, *OF_TENSORFLOW, *OWN_MODES)


@dataclass(frozen=True)
class Case:
    """A training step that is measured.

    name: the task where a network has several, else "". text: what a step computes. images: of one
    step. steps: of each variant in a round. sizes: what the workers are told of it.
    """

    name: str
    text: str
    images: int
    steps: int
    sizes: Mapping[str, Any]


@dataclass(frozen=True)
class Benchmark:
    """What a network gives.

    Attributes:
        framework: "torch" or "tensorflow".
        variants: by name, the baseline first.
        cases: from the arguments to what is measured.
        chosen: from device kind, framework's version and whether it computes in bfloat16 to the
            variants that run where none are named.
        targets: by major version and variant the ratio over the baseline to reach on a CPU.
        open_trainer: in a worker, from variant, device kind and sizes to what does n steps and
            returns their seconds and those of waiting for batches.
        most_wait: the share of a step that ours may wait for data.
        add_flags: adds the network's own flags to the parser.
    """

    network: str
    framework: str
    variants: Sequence[str]
    cases: Callable[[Any], List[Case]]
    chosen: Callable[[str, Tuple[int, ...], bool], Sequence[str]]
    targets: Mapping[Tuple[int, str], float]
    open_trainer: Callable[[str, str, Mapping[str, Any]], Callable[[int], Tuple[float, float]]]
    most_wait: Optional[float] = None
    repeats: int = 10
    add_flags: Callable[[Parser], Any] = lambda parser: None


def chosen_on_tensorflow(
    device_kind: str, version: Tuple[int, ...], bfloat16: bool
) -> Sequence[str]:
    """bfloat16 only where it is computed."""
    own = tuple(OWN_MODES) if version >= (2,) and bfloat16 else ("ours_fp32",)
    return (BASELINE, *own)


def chosen_of_twin(device_kind: str, version: Tuple[int, ...], bfloat16: bool) -> Sequence[str]:
    """The same of OF_TWIN: both frameworks in one round."""
    narrow = version >= (2,) and bfloat16
    return [name for name in OF_TWIN if narrow or not name.endswith("bf16")]


class Spread:
    """A quantity measured several times: its median, smallest and largest value."""

    def __init__(self, values: Sequence[float]) -> None:
        self.median, self.low, self.high = statistics.median(values), min(values), max(values)

    def text(self, digits: int = 1) -> str:
        """Median (low..high)."""
        return "{1:.{0}f} ({2:.{0}f}..{3:.{0}f})".format(digits, self.median, self.low, self.high)


class Verdict(enum.IntEnum):
    """A benchmark's exit codes."""

    REACHED = 0
    MISSED = 1
    INCONCLUSIVE = 2


@dataclass
class Measured:
    """Everything one run measured of one case.

    machine: its worker's answer. answers: by variant one answer per round: seconds, wait_seconds,
    peak_memory. warm_up_seconds: by variant, from the process's start to the end of its first
    steps.
    """

    benchmark: Benchmark
    case: Case
    device_kind: str
    machine: Dict[str, Any]
    answers: Dict[str, List[Dict[str, float]]]
    warm_up_seconds: Dict[str, float]

    def seconds(self, variant: str) -> List[float]:
        """The time of each round."""
        return [answer["seconds"] for answer in self.answers[variant]]

    def speed(self, variant: str) -> Spread:
        """Images a second."""
        images = self.case.images * self.case.steps
        return Spread([images / seconds for seconds in self.seconds(variant)])

    def ratio(self, variant: str) -> Spread:
        """How many times as fast as the baseline, from times measured next to each other."""
        return Spread(
            [slow / fast for slow, fast in zip(self.seconds(BASELINE), self.seconds(variant))]
        )

    def wait(self, variant: str) -> Spread:
        """The share of each round spent waiting for batches."""
        return Spread([one["wait_seconds"] / one["seconds"] for one in self.answers[variant]])

    def target(self, variant: str) -> Optional[float]:
        """The ratio over the baseline that a variant is to reach, None where none is set."""
        major = version_numbers(self.machine["version"])[0]
        on_cpu = self.device_kind == "cpu"
        return self.benchmark.targets.get((major, variant)) if on_cpu else None

    def long_waits(self) -> List[str]:
        """Which of our variants wait too long for data, a line each."""
        most = self.benchmark.most_wait
        waits = {name: self.wait(name).median for name in self.answers if name != BASELINE}
        return [
            f"{name}: {wait:.1%} of a step waits for data, the limit is {most:.0%}"
            for name, wait in waits.items()
            if most is not None and wait >= most
        ]

    def verdict(self) -> Verdict:
        """Whether the set ratios are reached; INCONCLUSIVE where none is set."""
        wanted = {name: target for name in self.answers for target in [self.target(name)] if target}
        missed = any(self.ratio(name).median < target for name, target in wanted.items())
        if missed or self.long_waits():
            return Verdict.MISSED
        return Verdict.REACHED if wanted else Verdict.INCONCLUSIVE


def verdict_of(cases: Sequence[Measured]) -> Verdict:
    """A missed case decides, then one that can't be told."""
    found = {measured.verdict() for measured in cases}
    worst = [one for one in (Verdict.MISSED, Verdict.INCONCLUSIVE) if one in found]
    return worst[0] if worst else Verdict.REACHED


class Worker:
    """One process of benchmarks.worker, asked one at a time; leaving its context ends it.

    Raises:
        ZooError: the worker can't do what its name asks for; says why.
    """

    def __init__(self, network: str, name: str, device_kind: str, sizes: Mapping[str, Any]) -> None:
        self.name = name
        # The user's own entries stay in front: they may replace a framework's build.
        own = [str(CHECKOUT / part) for part in ("", "PyTorch", "TensorFlow")]
        path = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH", "")] + own))
        words = [network, name, device_kind, json.dumps(sizes)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", *words],
            env={"TF_CPP_MIN_LOG_LEVEL": "3", **os.environ, "PYTHONPATH": path},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            universal_newlines=True,
        )
        try:
            self.warm_up_seconds = float(self._read()["ready"])
        except BaseException:
            self.__exit__()
            raise

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: Any) -> None:
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def ask(self, steps: int) -> Dict[str, Any]:
        """Lets the worker do `steps` steps; returns its answer."""
        try:
            print(steps, file=self._process.stdin, flush=True)
        except BrokenPipeError:
            raise self._ended() from None
        return self._read()

    def _read(self) -> Dict[str, Any]:
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            raise self._ended()
        answer: Dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise ZooError("{}: {}".format(self.name, answer["error"]))
        return answer

    def _ended(self) -> ZooError:
        code = self._process.wait()
        return ZooError(
            f"{self.name}: its process ended with exit code {code}; what it printed is above"
        )


def measure(benchmark: Benchmark, case: Case, arguments: Any, device_kind: str) -> Measured:
    """Starts every worker of a case, then goes round: each variant, then backwards."""

    def worker(name: str) -> Worker:
        return Worker(benchmark.network, name, device_kind, case.sizes)

    with worker(MACHINE) as machine:
        told = machine.ask(0)
    with ExitStack() as stack:
        names = named_variants(arguments.variants, benchmark.variants) or benchmark.chosen(
            device_kind, version_numbers(told["version"]), bool(told["bfloat16"])
        )
        workers = [stack.enter_context(worker(name)) for name in names]
        answers: Dict[str, List[Dict[str, float]]] = {name: [] for name in names}
        for number in range(arguments.repeats):
            for one in workers if number % 2 == 0 else reversed(workers):
                answers[one.name].append(one.ask(case.steps))
    warm_up = {one.name: one.warm_up_seconds for one in workers}
    return Measured(benchmark, case, device_kind, told, answers, warm_up)


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


def run(benchmark: Benchmark, argv: Optional[Sequence[str]] = None) -> int:
    """Measures and prints; the exit code is the verdict."""
    from benchmarks.report import as_json, as_text

    arguments = make_parser(benchmark).parse_args(argv)
    cases = benchmark.cases(arguments)
    device_kind = choose_device(arguments.device, detect())
    if device_kind == "npu":
        raise UsageError("--device npu: this benchmark compares on gpu and cpu only")
    found = [measure(benchmark, case, arguments, device_kind) for case in cases]
    print(json.dumps(as_json(found), indent=2) if arguments.json else as_text(found))
    return int(verdict_of(found))


def main(benchmark: Benchmark) -> int:
    """The entry of a network's benchmark."""
    return exit_code_of(lambda argv: run(benchmark, argv), None)
