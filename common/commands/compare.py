"""`zoo compare`: GPU against NPU, or any two or more runs, with verdicts."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Dict, List

from common.core.command_line import file_to_write, number_in
from common.core.errors import UsageError, ZooError
from common.evidence.comparison import table
from common.evidence.comparison.as_json import content_of
from common.evidence.comparison.compared import Comparison, compare
from common.evidence.comparison.runs import Group, check_networks, read_run
from common.evidence.comparison.settings import add_settings_flags, asked_in, settings_of
from common.evidence.comparison.verdicts import exit_code


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.description = (
        "Compares runs from logs, run folders or records; the first label is the "
        "reference. One flag given several times is several seeds. Exit code: 0 "
        "OK or PERFECT, 1 POK or NOK, 2 INCONCLUSIVE, 64 usage."
    )
    for device in ("gpu", "npu", "cpu"):
        parser.add_argument(
            "--" + device,
            action="append",
            default=[],
            metavar="PATH",
            help="a log, run folder or record of a run on " + device.upper(),
        )
    parser.add_argument(
        "--run", action="append", default=[], metavar="LABEL=PATH", help="a run under any label"
    )
    add_settings_flags(parser)
    parser.add_argument("--target", type=float, help="tell when the curve reached this value")
    parser.add_argument(
        "--batch_size",
        type=number_in(int, 1),
        help="samples in a step of the whole job, where a log doesn't say",
    )
    parser.add_argument(
        "--n_eval",
        type=number_in(int, 1),
        default=None,
        help="samples in the test set, where a log doesn't say",
    )
    _add_output(parser)


def _add_output(parser: argparse.ArgumentParser) -> None:
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--json", action="store_true", help="print JSON")
    output.add_argument("--markdown", action="store_true", help="print Markdown")
    parser.add_argument(
        "--plot", type=file_to_write, metavar="OUT.png", help="draw the curves over each other"
    )


def run(arguments: argparse.Namespace) -> int:
    """Prints the comparison of each candidate with the reference; returns the verdicts' code."""
    groups = read_groups(given_runs(arguments))
    settings = settings_of(asked_in(arguments), groups)
    comparisons = [compare(groups[0], group, settings) for group in groups[1:]]
    print(_printed(comparisons, arguments), end="")
    if arguments.plot:
        from common.evidence.comparison.picture import comparison_picture
        from common.evidence.figures.figure import save_png

        save_png(arguments.plot, comparison_picture(groups, settings.curve))
    return exit_code(
        [
            verdict
            for comparison in comparisons
            for verdict in (comparison.precision, comparison.perf)
        ]
    )


def given_runs(arguments: argparse.Namespace) -> Dict[str, List[Path]]:
    """The paths by label, in the order gpu, npu, cpu, then --run's.

    Raises:
        UsageError: fewer than two labels, or a --run without LABEL=.
    """
    found = {
        device: [Path(path) for path in getattr(arguments, device)]
        for device in ("gpu", "npu", "cpu")
        if getattr(arguments, device)
    }
    for text in arguments.run:
        label, equals, path = text.partition("=")
        if not equals or not label or not path:
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


def read_groups(given: Dict[str, List[Path]]) -> List[Group]:
    """Reads every run.

    Raises:
        UsageError: a run can't be read, or records contradict their labels or each other; never
            an error whose exit code could be taken for a verdict.
    """
    try:
        groups = [
            Group(label, tuple(read_run(path, label) for path in paths))
            for label, paths in given.items()
        ]
    except ZooError as error:
        raise UsageError(str(error)) from error
    check_networks(groups)
    return groups


def _printed(comparisons: List[Comparison], arguments: argparse.Namespace) -> str:
    if arguments.json:
        contents = [content_of(comparison) for comparison in comparisons]
        return json.dumps(contents, indent=1, allow_nan=False) + "\n"
    tell = table.as_markdown if arguments.markdown else table.as_text
    return "\n".join(tell(comparison) for comparison in comparisons)
