"""Keeps the tables between the markers of a README the same as the records."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import List, Sequence

from common.cards.model_card import ModelCard
from common.core.errors import ZooError
from common.core.files import write_atomically
from common.runs import tables
from common.runs.record import RunRecord
from common.runs.table_words import of_file

_BLOCK = re.compile(
    r"(<!-- zoo:begin (?P<kind>\S+) (?P<model>\S+) -->\n)(?P<body>.*?)"
    r"(<!-- zoo:end -->)",
    re.DOTALL,
)
KINDS = ("measured", "published", "original", "summary")
ALL = "all"  # in place of a network's name, for the summary


def readmes(root: Path, cards: Sequence[ModelCard]) -> List[Path]:
    """The README files that may hold tables: the root's and each network's, in every language."""
    folders = [root] + [card.folder for card in cards]
    return [path for folder in folders for path in sorted(folder.glob("README*.md"))]


def rendered(
    path: Path, root: Path, cards: Sequence[ModelCard], records: Sequence[RunRecord]
) -> str:
    """The text of a README with every block made anew.

    Raises:
        ZooError: a block of unknown kind or network.
    """
    to_root = _relative(path.parent, root)
    by_name = {card.name: card for card in cards}
    words = of_file(path.name)

    def block(match: re.Match[str]) -> str:
        kind, model = match.group("kind"), match.group("model")
        if kind not in KINDS or (model not in by_name and (kind, model) != ("summary", ALL)):
            raise ZooError(
                "{}: the marker 'zoo:begin {} {}' is unknown; kinds are {}, networks are {}".format(
                    path, kind, model, ", ".join(KINDS), ", ".join(sorted(by_name))
                )
            )
        if kind == "summary":
            body = tables.summary_table(records, cards, to_root, words)
        elif kind == "published":
            body = tables.published_tables(by_name[model], words)
        elif kind == "original":
            body = tables.original_table(records, by_name[model], words)
        else:
            body = tables.measured_table(records, by_name[model], to_root, words)
        return f"{match.group(1)}{body}{match.group(5)}"

    return _BLOCK.sub(block, path.read_text(encoding="utf-8"))


def _relative(folder: Path, root: Path) -> str:
    path = os.path.relpath(str(root), str(folder))
    return "" if path == "." else path + "/"


def drifted(root: Path, cards: Sequence[ModelCard], records: Sequence[RunRecord]) -> List[Path]:
    """The README files whose tables are not those of the records."""
    return [
        path
        for path in readmes(root, cards)
        if path.read_text(encoding="utf-8") != rendered(path, root, cards, records)
    ]


def write(root: Path, cards: Sequence[ModelCard], records: Sequence[RunRecord]) -> List[Path]:
    """Writes the tables anew where they have drifted; returns the files that changed."""
    changed = drifted(root, cards, records)
    for path in changed:
        write_atomically(path, rendered(path, root, cards, records))
    return changed
