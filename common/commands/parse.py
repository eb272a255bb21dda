"""`zoo parse`: any known training log as a summary, as JSON or as CSV."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import List, Tuple

from common.core.errors import UsageError
from common.evidence.logs import summary
from common.evidence.logs.reading import (
    EVENTS_DESCRIPTION,
    EVENTS_FORMAT,
    UnknownFormatError,
    is_record,
    known_formats,
    read_log,
    series_of_record,
)

EVERY = "all"


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    add = parser.add_argument
    add("logs", nargs="*", metavar="LOG", type=Path, help="a log, run folder or record")
    text = 'print this series in place of the summary; may be given several times; "all": every one'
    add("--series", action="append", metavar="NAME", default=[], help=text)
    add("--format", help="the log's format, where finding it out goes wrong")
    text = "declares more formats, as the logs: section of a card does"
    add("--format_file", type=Path, metavar="FILE.yaml", help=text)
    add("--formats", action="store_true", help="list the known formats")
    text = "whose lines are read where lines are marked with ranks; default: the lowest"
    add("--rank", type=int, help=text)
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument("--json", action="store_true", help="print JSON")
    text = "print series as CSV: series, step, value; alone: every series"
    shape.add_argument("--csv", action="store_true", help=text)


def run(arguments: argparse.Namespace) -> int:
    """Prints what the logs say; returns 0."""
    arguments.known = known_formats(format_file=arguments.format_file)
    if arguments.formats:
        _print_formats(arguments)
        return 0
    if not arguments.logs:
        raise UsageError("zoo parse: no log given; zoo parse LOG, or --formats for the formats")
    wanted = arguments.series or ([EVERY] if arguments.csv else [])
    if wanted and len(arguments.logs) > 1:
        raise UsageError(
            f"zoo parse: series are printed of one log at a time; {len(arguments.logs)} are given"
        )
    try:
        logs = [
            series_of_record(path)
            if is_record(path)
            else read_log(path, arguments.format, arguments.known, arguments.rank)
            for path in arguments.logs
        ]
    except UnknownFormatError as error:
        print(error.suggestion, file=sys.stderr)
        raise
    if wanted:
        log = logs[0]
        every = EVERY in wanted
        chosen = list(log.series.values()) if every else [log.find(name) for name in wanted]
        as_json = [summary.series_as_json(log, chosen)] if arguments.json else None
        sys.stdout.writelines(as_json or summary.series_as_csv(chosen))
        print("".join(f"note: {note}\n" for note in log.notes), end="", file=sys.stderr)
    elif arguments.json:
        told_logs = [summary.summary_as_json(log) for log in logs]
        print(json.dumps(told_logs, indent=1, ensure_ascii=False))
    else:
        print("\n\n".join("\n".join(summary.summary_lines(log)) for log in logs))
    return 0


def _print_formats(arguments: argparse.Namespace) -> None:
    names = ("name", "description", "lines")
    told: List[Tuple[str, str, List[str]]] = [(EVENTS_FORMAT, EVENTS_DESCRIPTION, [])]
    for form in arguments.known:
        told.append((form.name, form.description, [rule.template for rule in form.lines]))
    if arguments.json:
        print(json.dumps([dict(zip(names, form)) for form in told], indent=1))
        return
    for name, description, lines in told:
        print("\n    ".join([f"{name}: {description}", *lines]).replace("\t", "\\t"))
