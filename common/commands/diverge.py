"""`zoo diverge`: the first tensor of one training step in which two runs differ."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from common.core.command_line import file_to_write, number_in, print_verdict, without_verdict
from common.evidence.divergence.comparing import EXIT_CODES, compare_dumps
from common.evidence.divergence.presentation import as_json, as_text, picture
from common.runs.dump import find_dump

LARGEST_TOLERANCE = 1e6  # what passes everything is no comparison


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.description = (
        "Compares one training step of two runs, layer by layer in execution order: activations, "
        "loss, gradients (backward), updated weights. Run A with --dump_tensors K, run B with the "
        "same flags and --dump_from A. Exit code: 0 within tolerance, 1 diverges, 2 INCONCLUSIVE "
        "(not the same computation), 64 usage."
    )
    add = parser.add_argument
    told = "the run that is trusted: its folder, or that of a dump in it"
    add("--a", required=True, metavar="RUN_A", help=told)
    add("--b", required=True, metavar="RUN_B", help="the run in question")
    told = "relative L2 that every tensor may differ by (default: by arithmetic and depth)"
    add("--relative", type=number_in(float, 0, LARGEST_TOLERANCE), metavar="T", help=told)
    told = "which step, where a run stored several"
    add("--step", type=number_in(int, 1), metavar="K", help=told)
    add("--plot", type=file_to_write, metavar="OUT.png", help="draw the differences over depth")
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--all", action="store_true", help="print every tensor")
    output.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Prints the comparison; returns the verdict's code.

    Raises:
        ZooError: never with exit code 1, which would say DIVERGES.
    """
    try:
        a, b = (find_dump(Path(path), arguments.step) for path in (arguments.a, arguments.b))
        outcome = compare_dumps(a, b, arguments.relative)
        text = as_text(outcome, arguments.all)
        if arguments.json:
            text = json.dumps(as_json(outcome), indent=1, allow_nan=False)
        print_verdict(text)
        if arguments.plot:
            from common.evidence.figures.figure import save_png

            save_png(arguments.plot, picture(outcome))
    except Exception as error:
        raise without_verdict(error, "zoo diverge") from error
    return EXIT_CODES[outcome.verdict]
