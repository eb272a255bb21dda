"""`zoo list`: networks, tasks, cases, published figures and measured ones."""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
from pathlib import Path
from typing import List, Sequence

from common.cards.model_card import ModelCard
from common.cards.model_folders import all_cards, checkout_root, find_card, home
from common.core.codec import plain
from common.core.errors import ZooError
from common.core.text import aligned
from common.runs.record import RunRecord
from common.runs.store import records_of
from common.runs.tables import groups_of, row_of

WIDTH = 100


def configure(parser: argparse.ArgumentParser) -> None:
    """Says the arguments of `zoo list`."""
    parser.add_argument("model", nargs="?", help="only this network")
    parser.add_argument("--json", action="store_true", help="print it as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Prints what there is; returns 0."""
    root = checkout_root()
    cards = [find_card(root, arguments.model)] if arguments.model else all_cards(root)
    if not cards:
        raise ZooError(f"no networks under {root}; install the zoo anew, or unset ZOO_ROOT")
    if arguments.json:
        told = [dict(plain(card), measured=plain(_records(card))) for card in cards]
        print(json.dumps(told, indent=1, ensure_ascii=False))
    else:
        print("\n\n".join("\n".join(card_lines(card, _records(card))) for card in cards))
    return 0


def _records(card: ModelCard) -> List[RunRecord]:
    records, problems = records_of(home(), card.name)
    for problem in problems:
        print(f"left out: {problem}", file=sys.stderr)
    return records


def card_lines(card: ModelCard, records: Sequence[RunRecord]) -> List[str]:
    """One network as text, no line longer than WIDTH."""
    from common.evidence.html_page.render import environment_of

    measured = []
    for group in groups_of(records, card):
        row = row_of(group)
        cells = row["Result"], row["On what, how long"], row["Run"]
        measured.append((group.first.date[:10], *cells))
    template = environment_of(Path(__file__).with_name("templates")).get_template("list.txt")
    lines = template.render(card=card, measured=measured, table=_table).splitlines()
    return [part for line in lines for part in _wrapped(line)]


def _table(rows: Sequence[Sequence[object]]) -> str:
    """Rows in columns; where all but the last column are too wide, each row as one line of text."""
    text = aligned(rows)
    if len(aligned([row[:-1] for row in rows]).split("\n")[0]) > WIDTH - 20:
        text = "\n".join("; ".join(str(cell) for cell in row if cell != "") for row in rows)
    return textwrap.indent(text, "    ")


def _wrapped(line: str) -> List[str]:
    """A line in pieces of at most WIDTH, the later ones further in."""
    if len(line) <= WIDTH:
        return [line]
    indent = " " * (len(line) - len(line.lstrip()) + 4)
    return textwrap.wrap(line, WIDTH, subsequent_indent=indent, replace_whitespace=False)
