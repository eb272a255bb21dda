"""`zoo compare`: GPU against NPU, or any two or more runs, with verdicts."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Dict, List

from common.core.command_line import file_to_write, number_in
from common.core.errors import UsageError, ZooError
from common.evidence.comparison.compared import compare, exit_code
from common.evidence.comparison.presentation import as_json, as_text, picture
from common.evidence.comparison.runs import (
    Group,
    add_settings_flags,
    check_networks,
    read_run,
    settings_of,
)

DEVICES = ("gpu", "npu", "cpu")


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.description = (
        "Compares runs from logs, run folders or records; the first label is the "
        "reference. One flag given several times is several seeds. Exit code: 0 "
        "OK or PERFECT, 1 POK or NOK, 2 INCONCLUSIVE, 64 usage."
    )
    add = parser.add_argument
    for device in DEVICES:
        told = f"a log, run folder or record of a run on {device.upper()}"
        add("--" + device, action="append", default=[], metavar="PATH", help=told)
    add("--run", action="append", default=[], metavar="LABEL=PATH", help="a run under any label")
    add_settings_flags(parser)
    add("--target", type=float, help="tell when the curve reached this value")
    told = "samples in a step of the whole job, where a log doesn't say"
    add("--batch_size", type=number_in(int, 1), help=told)
    told = "samples in the test set, where a log doesn't say"
    add("--n_eval", type=number_in(int, 1), help=told)
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--json", action="store_true", help="print JSON")
    output.add_argument("--markdown", action="store_true", help="print Markdown")
    add("--plot", type=file_to_write, metavar="OUT.png", help="draw the curves over each other")


def run(arguments: argparse.Namespace) -> int:
    """Prints the comparison of each candidate with the reference; returns the verdicts' code.

    Raises:
        UsageError: a run can't be read, or records contradict their labels or each other; never
            an error whose exit code could be taken for a verdict.
    """
    try:
        groups = [
            Group(label, tuple(read_run(path, label) for path in paths))
            for label, paths in _given_runs(arguments).items()
        ]
    except ZooError as error:
        raise UsageError(str(error)) from error
    check_networks(groups)
    settings = settings_of(groups, arguments)
    comparisons = [compare(groups[0], group, settings) for group in groups[1:]]
    if arguments.json:
        print(json.dumps([as_json(one) for one in comparisons], indent=1, allow_nan=False))
    else:
        print("\n".join(as_text(one, arguments.markdown) for one in comparisons), end="")
    if arguments.plot:
        from common.evidence.figures.figure import save_png

        save_png(arguments.plot, picture(groups, settings.curve))
    return exit_code([one.status for found in comparisons for one in found.verdicts.values()])


def _given_runs(arguments: argparse.Namespace) -> Dict[str, List[Path]]:
    """The paths by label, in the order gpu, npu, cpu, then --run's."""
    found = {
        device: [Path(path) for path in getattr(arguments, device)]
        for device in DEVICES
        if getattr(arguments, device)
    }
    for text in arguments.run:
        label, _, path = text.partition("=")
        if not label or not path:
            raise UsageError(
                f"--run {text!r} is not LABEL=PATH; give for example --run before=old.log"
            )
        found.setdefault(label, []).append(Path(path))
    if len(found) < 2:
        raise UsageError(
            "zoo compare needs runs under two labels: --gpu X --npu Y, or --run "
            "LABEL=PATH twice; see zoo compare --help"
        )
    return found
