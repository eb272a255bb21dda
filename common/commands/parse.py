"""`zoo parse`: any known training log as a summary, as JSON or as CSV."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import List, Sequence, Tuple

from common.cards.log_format import LogFormat
from common.core.errors import UsageError
from common.evidence.logs import summary
from common.evidence.logs.reading import (
    EVENTS_DESCRIPTION,
    EVENTS_FORMAT,
    UnknownFormatError,
    known_formats,
    read_log,
)
from common.evidence.logs.records import events_of, is_record, series_of_record
from common.evidence.logs.series import ParsedLog

EVERY = "all"


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument(
        "logs",
        nargs="*",
        metavar="LOG",
        help="a log, plain or gzip; a run folder or a record works too",
    )
    parser.add_argument(
        "--series",
        action="append",
        metavar="NAME",
        default=[],
        help="print this series, step by step, in place of the summary; may be "
        'given several times; "all" prints every one',
    )
    parser.add_argument("--format", help="the log's format, where finding it out goes wrong")
    parser.add_argument(
        "--format_file",
        type=Path,
        metavar="FILE.yaml",
        help="declares more formats, as the logs: section of a card does",
    )
    parser.add_argument("--formats", action="store_true", help="list the known formats")
    parser.add_argument(
        "--rank",
        type=int,
        help="whose lines are read where lines are marked with ranks; default: the lowest",
    )
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument("--json", action="store_true", help="print JSON")
    shape.add_argument(
        "--csv",
        action="store_true",
        help="print series as CSV: series, step, value; alone: every series",
    )


def run(arguments: argparse.Namespace) -> int:
    """Prints what the logs say; returns 0."""
    formats = known_formats(format_file=arguments.format_file)
    if arguments.formats:
        _print_formats(formats, arguments.json)
        return 0
    if not arguments.logs:
        raise UsageError("zoo parse: no log given; zoo parse LOG, or --formats for the formats")
    wanted: List[str] = arguments.series or ([EVERY] if arguments.csv else [])
    if wanted and len(arguments.logs) > 1:
        raise UsageError(
            f"zoo parse: series are printed of one log at a time; {len(arguments.logs)} are given"
        )
    try:
        logs = [_read(Path(name), arguments, formats, bool(wanted)) for name in arguments.logs]
    except UnknownFormatError as error:
        print(error.suggestion, file=sys.stderr)
        raise
    if wanted:
        _print_series(logs[0], wanted, arguments.json)
    elif arguments.json:
        told = [summary.summary_as_json(log) for log in logs]
        print(json.dumps(told, indent=1, ensure_ascii=False))
    else:
        print("\n\n".join("\n".join(summary.summary_lines(log)) for log in logs))
    return 0


def _read(
    path: Path, arguments: argparse.Namespace, formats: Sequence[LogFormat], joined: bool
) -> ParsedLog:
    """A log; of a record its events' log, or its series under the record's own name."""
    if not is_record(path):
        return read_log(path, arguments.format, formats, arguments.rank)
    events = None if joined else events_of(path)
    return series_of_record(path) if events is None else read_log(events, EVENTS_FORMAT, ())


def _print_series(log: ParsedLog, wanted: Sequence[str], as_json: bool) -> None:
    chosen = list(log.series.values()) if EVERY in wanted else [log.find(name) for name in wanted]
    told = summary.series_as_json(log, chosen) if as_json else summary.series_as_csv(chosen)
    sys.stdout.writelines(told)
    for note in log.notes:
        print("note: " + note, file=sys.stderr)


def _print_formats(formats: Sequence[LogFormat], as_json: bool) -> None:
    told: List[Tuple[str, str, List[str]]] = [(EVENTS_FORMAT, EVENTS_DESCRIPTION, [])]
    told += [
        (form.name, form.description, [rule.template for rule in form.lines]) for form in formats
    ]
    if as_json:
        keys = ("name", "description", "lines")
        print(json.dumps([dict(zip(keys, form)) for form in told], indent=1))
        return
    for name, description, lines in told:
        print(f"{name}: {description}")
        for line in lines:
            print("    " + line.replace("\t", "\\t"))
