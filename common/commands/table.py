"""`zoo table`: the result tables, printed, written into the READMEs, or checked there."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Dict, List, Sequence, Tuple

from common.cards.model_card import ModelCard
from common.cards.model_folders import all_cards, checkout_root, home, is_installed
from common.core.codec import json_text
from common.core.errors import UsageError, ZooError
from common.core.files import write_atomically
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
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print the records as JSON")
    form.add_argument("--csv", action="store_true", help="print every column, separated by commas")


def run(arguments: argparse.Namespace) -> int:
    """Prints, writes or checks the tables; returns 1 when a check finds drift or a bad record."""
    root = checkout_root()
    cards = all_cards(root)
    if (arguments.json or arguments.csv) and (arguments.write or arguments.check):
        raise UsageError("zoo table: --json, --csv print; they don't go with --write or --check")
    if (arguments.write or arguments.check) and is_installed(root):
        raise UsageError("zoo table: --write and --check are for READMEs of a checkout")
    if arguments.write:
        return _write(root, cards)
    if arguments.check:
        return _check(root, cards)
    records, problems = _given([Path(folder) for folder in arguments.run])
    _tell(problems + tables.of_no_card(records, cards))
    if arguments.run:
        cards = [card for card in cards if any(record.model == card.name for record in records)]
    if arguments.json:
        print(json_text(records), end="")
    elif arguments.csv:
        print(tables.measured_csv(records, cards), end="")
    else:
        print(
            "\n\n".join(f"{card.title}\n\n{tables.measured_text(records, card)}" for card in cards)
        )
    return 0


def _given(folders: List[Path]) -> Tuple[List[RunRecord], List[str]]:
    if folders:
        return [run_record.from_run_folder(folder) for folder in folders], []
    return record_store.records_of(home())


def _tell(problems: Sequence[str]) -> None:
    for problem in problems:
        print(f"left out: {problem}", file=sys.stderr)


def _write(root: Path, cards: List[ModelCard]) -> int:
    records, problems = record_store.verified_records(root)
    problems += tables.of_no_card(records, cards)
    _tell(problems)
    changed = _drifted_levels(root, cards, records)
    for path, text in changed.items():
        write_atomically(path, text)
    for path in readme_tables.write(root, cards, records) + list(changed):
        print(f"wrote {path.relative_to(root)}")
    return 1 if problems else 0


def _drifted_levels(
    root: Path, cards: List[ModelCard], records: Sequence[RunRecord]
) -> Dict[Path, str]:
    """The modelzoo_level.txt that are not what the records prove, with what they have to hold."""
    from common.evidence.comparison.level import levels

    return {
        path: text
        for path, text in levels(root, cards, records).items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    }


def _check(root: Path, cards: List[ModelCard]) -> int:
    records, problems = record_store.verified_records(root)
    problems += tables.of_no_card(records, cards)
    levels = _drifted_levels(root, cards, records)
    paths = readme_tables.drifted(root, cards, records) + list(levels)
    if paths:
        problems.append(
            "the tables of {} are not those of the records; run `zoo table --write`".format(
                ", ".join(str(path.relative_to(root)) for path in paths)
            )
        )
    if problems:
        raise ZooError("\n".join(problems))
    print("{} record{}, tables agree".format(len(records), "" if len(records) == 1 else "s"))
    return 0
