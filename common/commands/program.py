"""The `zoo` program: finds the command, imports only that one, runs it."""

from __future__ import annotations

import importlib
import sys
from typing import Dict, Optional, Sequence, Tuple

from common import __version__
from common.core.command_line import Parser, add_debug_flag, exit_code_of
from common.core.errors import UsageError

COMMANDS: Dict[str, Tuple[str, str]] = {
    "list": ("common.commands.list", "networks, tasks, cases, published and measured figures"),
    "doctor": ("common.commands.doctor", "what this machine can run, with remedies"),
    "launch": ("common.commands.launch", "runs a case of a network: zoo launch MODEL CASE [flags]"),
    "data": ("common.commands.data", "datasets: zoo data list|prepare|verify"),
    "record": ("common.commands.record", "keeps a finished run in results/"),
    "parse": ("common.commands.parse", "any known training log to series and a summary"),
    "compare": ("common.commands.compare", "GPU against NPU, or any runs, with verdicts"),
    "diverge": ("common.commands.diverge", "the first tensor of a step in which two runs differ"),
    "report": ("common.commands.report", "one HTML page of a run, or of several compared"),
    "regress": ("common.commands.regress", "runs a tier and gates: PASS, REGRESS, INCONCLUSIVE"),
    "ranktable": ("common.commands.ranktable", "HCCL's rank tables: zoo ranktable make|check"),
    "table": ("common.commands.table", "writes or checks the result tables of the READMEs"),
}


def main(argv: Optional[Sequence[str]] = None) -> int:
    """The entry of the console script: runs one command, returns its exit code."""
    return exit_code_of(dispatch, argv)


def dispatch(argv: Optional[Sequence[str]] = None) -> int:
    """Runs one `zoo` command; raises ZooError for what a user can mend."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help"):
        print("usage: zoo COMMAND [arguments]    (zoo COMMAND --help tells more)\n")
        print("\n".join(f"  {name:<9} {summary}" for name, (_, summary) in COMMANDS.items()))
        return 0
    if arguments[0] == "--version":
        print(f"zoo {__version__}")
        return 0
    name = arguments[0]
    if name not in COMMANDS:
        raise UsageError(f"zoo: there is no command {name!r}; there are: {', '.join(COMMANDS)}")
    module = importlib.import_module(COMMANDS[name][0])
    parser = Parser(prog="zoo " + name, description=COMMANDS[name][1])
    add_debug_flag(parser)
    module.configure(parser)
    return int(module.run(parser.parse_args(arguments[1:])) or 0)
