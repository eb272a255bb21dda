"""`zoo table`: the result tables, printed, written into the READMEs, or checked there."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import List, Sequence

from common.cards.model_card import ModelCard
from common.cards.model_folders import all_cards, checkout_root, home, is_installed
from common.core.codec import json_text
from common.core.errors import UsageError, ZooError
from common.core.files import write_atomically
from common.runs import readmes, store, tables
from common.runs import record as run_record


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
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print the records as JSON")
    form.add_argument("--csv", action="store_true", help="print every column, separated by commas")


def run(arguments: argparse.Namespace) -> int:
    """Prints, writes or checks the tables; returns 1 when a check finds drift or a bad record."""
    root = checkout_root()
    cards = all_cards(root)
    if arguments.write or arguments.check:
        if arguments.json or arguments.csv:
            raise UsageError(
                "zoo table: --json, --csv print; they don't go with --write or --check"
            )
        if is_installed(root):
            raise UsageError("zoo table: --write and --check are for READMEs of a checkout")
        return _write_or_check(root, cards, arguments.write)
    if arguments.run:
        records = [run_record.from_run_folder(Path(folder)) for folder in arguments.run]
        problems: List[str] = []
    else:
        records, problems = store.records_of(home())
    _tell(problems + tables.of_no_card(records, cards))
    if arguments.run:
        cards = [card for card in cards if any(record.model == card.name for record in records)]
    if arguments.json:
        print(json_text(records), end="")
    elif arguments.csv:
        print(tables.measured_csv(records, cards), end="")
    else:
        told = [f"{card.title}\n\n{tables.measured_text(records, card)}" for card in cards]
        print("\n\n".join(told))
    return 0


def _tell(problems: Sequence[str]) -> None:
    for problem in problems:
        print(f"left out: {problem}", file=sys.stderr)


def _write_or_check(root: Path, cards: List[ModelCard], write: bool) -> int:
    """Brings READMEs and modelzoo_level.txt to what the records prove, or tells which are not."""
    from common.evidence.comparison.compared import levels

    records, problems = store.verified_records(root)
    problems += tables.of_no_card(records, cards)
    changed = readmes.drifted(root, cards, records)
    for path, text in levels(root, cards, records).items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            changed[path] = text
    if write:
        _tell(problems)
        for path, text in changed.items():
            write_atomically(path, text)
            print(f"wrote {path.relative_to(root)}")
        return 1 if problems else 0
    if changed:
        names = ", ".join(str(path.relative_to(root)) for path in changed)
        problems.append(
            f"the tables of {names} are not those of the records; run `zoo table --write`"
        )
    if problems:
        raise ZooError("\n".join(problems))
    print(f"{len(records)} record{'' if len(records) == 1 else 's'}, tables agree")
    return 0
