"""`zoo table`: the result tables, printed, written into the READMEs, or checked there."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import List

from common.cards.model_card import ModelCard
from common.cards.model_folders import all_cards, checkout_root
from common.core.errors import UsageError, ZooError
from common.runs import readme_tables, tables
from common.runs import record as run_record
from common.runs import store as record_store
from common.runs.record import RunRecord


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--write", action="store_true", help="write the tables into the READMEs")
    mode.add_argument(
        "--check",
        action="store_true",
        help="exit 1 when a README's table is not that of the records",
    )
    mode.add_argument(
        "--run",
        nargs="+",
        metavar="RUN_FOLDER",
        default=[],
        help="print the table of these run folders in place of results/",
    )
    parser.add_argument("--json", action="store_true", help="print the records as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Prints, writes or checks the tables; returns 1 when a check finds drift."""
    root = checkout_root()
    cards = all_cards(root)
    if arguments.json and (arguments.write or arguments.check):
        raise UsageError("zoo table: --json prints; it does not go with --write or --check")
    if arguments.write:
        return _write(root, cards)
    if arguments.check:
        return _check(root, cards)
    records = [
        run_record.from_run_folder(Path(folder)) for folder in arguments.run
    ] or record_store.records_of(root)
    _print(cards, records, arguments.json)
    return 0


def _write(root: Path, cards: List[ModelCard]) -> int:
    from common.evidence.comparison import level

    records = record_store.records_of(root)
    for path in readme_tables.write(root, cards, records) + level.write(root, cards, records):
        print(f"wrote {path.relative_to(root)}")
    return 0


def _check(root: Path, cards: List[ModelCard]) -> int:
    records = record_store.records_of(root)
    for record in records:
        record_store.check_evidence(root, record)
    from common.evidence.comparison import level

    paths = readme_tables.drifted(root, cards, records) + level.drifted(root, cards, records)
    if paths:
        raise ZooError(
            "the tables of {} are not those of the records; run `zoo table --write`".format(
                ", ".join(str(path.relative_to(root)) for path in paths)
            )
        )
    print("{} record{}, tables agree".format(len(records), "" if len(records) == 1 else "s"))
    return 0


def _print(cards: List[ModelCard], records: List[RunRecord], as_json: bool) -> None:
    if as_json:
        print(json.dumps([dataclasses.asdict(record) for record in records], indent=1))
        return
    for card in cards:
        print("{}\n\n{}".format(card.title, tables.measured_table(records, card, "")))
