"""`zoo report`: one self-contained HTML page of a run, or of several compared."""

from __future__ import annotations

import argparse
import datetime
from pathlib import Path
from typing import Dict, List, Sequence

from common.core.errors import UsageError
from common.core.files import write_atomically
from common.evidence.comparison.asked import add_settings_flags, asked_in, settings_of
from common.evidence.comparison.compared import compare
from common.evidence.comparison.runs import DEVICE_LABELS, Group, check_networks
from common.evidence.report.content import ReportedRun, read_reported
from common.evidence.report.page import report_page


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.description = (
        "Writes a page that needs nothing beside it. Several runs are compared "
        "with the first; LABEL=PATH names a run on the page."
    )
    parser.add_argument(
        "runs", nargs="+", metavar="RUN", help="a run folder, record or log, or LABEL=PATH"
    )
    parser.add_argument(
        "-o", "--output", required=True, metavar="report.html", help="the page to write"
    )
    add_settings_flags(parser)


def run(arguments: argparse.Namespace) -> int:
    """Writes the page and tells where it is."""
    runs = [read_reported(path, label) for label, path in named_runs(arguments.runs).items()]
    groups = [Group(one.label, (one.run,)) for one in runs]
    check_networks(groups)
    settings = settings_of(asked_in(arguments), groups)
    comparisons = [compare(groups[0], group, settings) for group in groups[1:]]
    date = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    path = Path(arguments.output)
    write_atomically(path, report_page(runs, comparisons, date))
    print(f"wrote {path} ({path.stat().st_size // 1024:,} KiB): {_told(runs)}")
    return 0


def named_runs(words: Sequence[str]) -> Dict[str, Path]:
    """Paths by label; a path without a label is called by its name.

    Raises:
        UsageError: two runs have one label.
    """
    found: Dict[str, Path] = {}
    for word in words:
        label, equals, path = word.partition("=")
        if not equals or Path(word).exists():
            label, path = _name_of(Path(word)), word
        if label in found:
            raise UsageError(f"two runs are called {label!r}; give LABEL=PATH")
        found[label] = Path(path)
    return found


def _name_of(path: Path) -> str:
    """A label that no device check takes for a claim."""
    name = path.resolve().name
    return name + " run" if name in DEVICE_LABELS else name


def _told(runs: List[ReportedRun]) -> str:
    return ", ".join(
        f"{one.label} ({len(one.run.series)} series, {len(one.pictures)} pictures)" for one in runs
    )
