"""`zoo parse`: any known training log as a summary, as JSON or as CSV."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import List, Sequence

from common.cards.log_format import LogFormat
from common.core.errors import UsageError
from common.evidence.logs import telling
from common.evidence.logs.reading import known_formats, read_log
from common.evidence.logs.records import events_of, is_record, series_of_record
from common.evidence.logs.series import ParsedLog, Series
from common.evidence.logs.summary import summarise_log, summary_of

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
    formats = known_formats()
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
    if wanted:
        _print_series(_read(Path(arguments.logs[0]), arguments, formats), wanted, arguments.json)
    else:
        _print_summaries(arguments, formats)
    return 0


def _read(path: Path, arguments: argparse.Namespace, formats: Sequence[LogFormat]) -> ParsedLog:
    if is_record(path):
        return series_of_record(path)
    return read_log(path, arguments.format, formats, arguments.rank)


def _print_series(log: ParsedLog, wanted: Sequence[str], as_json: bool) -> None:
    chosen: List[Series] = (
        list(log.series.values()) if EVERY in wanted else [log.find(name) for name in wanted]
    )
    told = telling.series_as_json(log, chosen) if as_json else telling.series_as_csv(chosen)
    sys.stdout.writelines(told)
    for note in log.notes:
        print("note: " + note, file=sys.stderr)


def _print_summaries(arguments: argparse.Namespace, formats: Sequence[LogFormat]) -> None:
    summaries = []
    for name in arguments.logs:
        path = Path(name)
        log = events_of(path) if is_record(path) else path
        summaries.append(
            summary_of(series_of_record(path))
            if log is None
            else summarise_log(log, arguments.format, formats, arguments.rank)
        )
    if arguments.json:
        print(
            json.dumps(
                [telling.summary_as_json(summary) for summary in summaries],
                indent=1,
                ensure_ascii=False,
            )
        )
    else:
        print("\n\n".join("\n".join(telling.summary_lines(summary)) for summary in summaries))


def _print_formats(formats: Sequence[LogFormat], as_json: bool) -> None:
    if as_json:
        print(
            json.dumps(
                [
                    {
                        "name": form.name,
                        "description": form.description,
                        "lines": [rule.template for rule in form.lines],
                    }
                    for form in formats
                ],
                indent=1,
            )
        )
        return
    for form in formats:
        print(f"{form.name}: {form.description}")
        for rule in form.lines:
            print("    " + rule.template)
