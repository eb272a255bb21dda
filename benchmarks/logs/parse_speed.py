"""A million step lines through `zoo parse`, beside one grep and awk for each field."""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Callable, Dict, List, Optional, Sequence

from common.core.command_line import Parser, add_debug_flag, exit_code_of, number_in

REPOSITORY = Path(__file__).absolute().parents[2]
ALLOWED_SECONDS = 6.0
# One pass a field, as launch scripts read such a log; awk's fields are split at blanks.
GREP_AND_AWK = {
    "step": "grep 'Step: ' {log} | awk '{{print $6}}' | tr -d ','",
    "loss": "grep 'Step: ' {log} | awk '{{print $8}}' | tr -d ','",
    "elapsed time": "grep 'Step: ' {log} | awk -F 'Time: ' '{{print $2}}'",
}


@dataclasses.dataclass(frozen=True)
class Timed:
    """The fastest of some runs: seconds on the clock and of processors, bytes in use at most."""

    wall: float
    processor: float
    memory: int


def write_log(path: Path, lines: int, seed: int = 0) -> None:
    """A log as the port of Slot Attention prints it, with a step on every line."""
    chance = random.Random(seed)
    with open(str(path), "w", encoding="ascii") as stream:
        for step in range(1, lines + 1):
            stream.write(
                f"I1119 09:26:23.028696 140038154852096 train.py:125] Step: {step}, Loss: "
                f"{chance.random():.6f}, Time: {datetime.timedelta(microseconds=step * 797001)}\n"
            )


def timed(command: Sequence[str], repeats: int) -> Timed:
    """Runs a command some times, its output thrown away."""
    runs = [_timed_once(command) for _ in range(repeats)]
    return min(runs, key=lambda run: run.wall)


def _timed_once(command: Sequence[str]) -> Timed:
    began = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=str(REPOSITORY)) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = status
    if status:
        raise RuntimeError("{} failed".format(" ".join(command)))
    return Timed(time.monotonic() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


def ways(log: Path) -> Dict[str, List[str]]:
    """The commands that are timed, by name; zoo parse first."""
    zoo = [sys.executable, "-m", "common", "parse", str(log)]
    found = {"zoo parse (summary)": zoo, "zoo parse --series loss": zoo + ["--series", "loss"]}
    found["read_log (every series)"] = [
        sys.executable,
        "-c",
        "import sys; from pathlib import Path; from common.evidence.logs.reading "
        "import read_log; read_log(Path(sys.argv[1]))",
        str(log),
    ]
    found.update(
        {
            "grep | awk, " + name: ["bash", "-c", "set -o pipefail; " + text.format(log=log)]
            for name, text in GREP_AND_AWK.items()
        }
    )
    return found


def measure(lines: int, repeats: int, say: Callable[[str], None]) -> Dict[str, Timed]:
    """Writes the log and times each way of reading it."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "a.log"
        write_log(log, lines)
        say(
            f"{lines:,} lines, {log.stat().st_size / 1e6:.0f} MB; load of the machine "
            f"{os.getloadavg()[0]:.1f} on {os.cpu_count()} processors"
        )
        found = {}
        for name, command in ways(log).items():
            found[name] = timed(command, repeats)
            say(
                f"{name:<28} {found[name].wall:>6.2f} s on the clock "
                f"{found[name].processor:>6.2f} s of processor "
                f"{found[name].memory / 1e6:>6.0f} MB"
            )
        return found


def run(argv: Optional[Sequence[str]] = None) -> int:
    """Measures and prints; 0 where six seconds of processor are enough for either reading."""
    parser = Parser(prog="python -m benchmarks.logs.parse_speed", description=__doc__)
    parser.add_argument("--lines", type=number_in(int, 1), default=1000000, help="step lines")
    parser.add_argument("--repeats", type=number_in(int, 1), default=3, help="the fastest counts")
    parser.add_argument("--json", action="store_true", help="print JSON in place of the table")
    add_debug_flag(parser)
    return _told(parser.parse_args(argv))


def _told(arguments: argparse.Namespace) -> int:
    found = measure(
        arguments.lines, arguments.repeats, (lambda text: None) if arguments.json else print
    )
    if arguments.json:
        print(json.dumps({name: dataclasses.asdict(one) for name, one in found.items()}, indent=1))
    allowed = ALLOWED_SECONDS * arguments.lines / 1e6
    slow = [
        name
        for name in ("zoo parse (summary)", "read_log (every series)")
        if found[name].processor > max(allowed, ALLOWED_SECONDS)
    ]
    if not arguments.json:
        print(
            "allowed: {:.0f} s of processor; {}".format(
                max(allowed, ALLOWED_SECONDS),
                "reached" if not slow else "missed by " + ", ".join(slow),
            )
        )
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(exit_code_of(run))
