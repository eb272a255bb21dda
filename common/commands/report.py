"""`zoo report`: one self-contained HTML page of a run, or of several compared."""

from __future__ import annotations

import argparse
import datetime
from pathlib import Path
from typing import List, Optional, Tuple

from common.core.command_line import file_to_write
from common.core.files import write_atomically
from common.evidence.comparison.compared import compare
from common.evidence.comparison.runs import add_settings_flags, check_networks, settings_of
from common.evidence.report.content import groups_of, labelled, read_reported


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.description = (
        "Writes a page that needs nothing beside it. Several runs are compared with the first; "
        "LABEL=PATH names a run on the page, several runs of one label are several seeds."
    )
    parser.add_argument(
        "runs", nargs="+", metavar="RUN", help="a run folder, record or log, or LABEL=PATH"
    )
    parser.add_argument(
        "-o",
        "--output",
        required=True,
        type=file_to_write,
        metavar="report.html",
        help="the page to write",
    )
    add_settings_flags(parser)


def run(arguments: argparse.Namespace) -> int:
    """Writes the page and tells where it is."""
    from common.evidence.report.page import report_page

    given: List[Tuple[Optional[str], Path]] = []
    for word in arguments.runs:
        label, equals, path = word.partition("=")
        named = equals and not Path(word).exists()
        given.append((label, Path(path)) if named else (None, Path(word)))
    read = [read_reported(path, label or path.name) for label, path in given]
    runs = labelled(read, [label for label, _ in given])
    groups = groups_of(runs)
    check_networks(groups)
    settings = settings_of(groups, arguments)
    comparisons = [compare(groups[0], group, settings) for group in groups[1:]]
    date = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    path = arguments.output
    write_atomically(path, report_page(runs, comparisons, date))
    told = ", ".join(
        f"{one.label} ({len(one.run.series)} series, {len(one.pictures)} pictures)" for one in runs
    )
    print(f"wrote {path} ({path.stat().st_size // 1024:,} KiB): {told}")
    return 0
