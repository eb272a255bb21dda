"""Keeps the tables between the markers of a README the same as the records."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Dict, Sequence

from common.cards.model_card import ModelCard
from common.core.errors import ZooError
from common.runs import tables
from common.runs.record import RunRecord
from common.runs.table_words import of_file

_BLOCK = re.compile(
    r"(<!-- zoo:begin (?P<kind>\S+) (?P<model>\S+) -->\n).*?(<!-- zoo:end -->)", re.DOTALL
)
KINDS = ("measured", "published", "original", "summary")
ALL = "all"  # in place of a network's name, for the summary


def drifted(
    root: Path, cards: Sequence[ModelCard], records: Sequence[RunRecord]
) -> Dict[Path, str]:
    """The READMEs whose tables are not those of the records, with what they have to hold.

    Raises:
        ZooError: a marker of unknown kind or network.
    """
    found = {}
    for folder in (root, *(card.folder for card in cards)):
        for path in sorted(folder.glob("README*.md")):
            text = path.read_text(encoding="utf-8")
            rendered = _rendered(text, path, root, cards, records)
            if text != rendered:
                found[path] = rendered
    return found


def _rendered(
    text: str, path: Path, root: Path, cards: Sequence[ModelCard], records: Sequence[RunRecord]
) -> str:
    """A README with every block made anew."""
    to_root = "" if path.parent == root else os.path.relpath(str(root), str(path.parent)) + "/"
    by_name, words = {card.name: card for card in cards}, of_file(path.name)

    def block(match: re.Match[str]) -> str:
        kind, model = match.group("kind"), match.group("model")
        if kind not in KINDS or (model not in by_name and (kind, model) != ("summary", ALL)):
            raise ZooError(
                f"{path}: the marker 'zoo:begin {kind} {model}' is unknown; kinds are "
                f"{', '.join(KINDS)}, networks are {', '.join(sorted(by_name))}"
            )
        if kind == "summary":
            body = tables.summary_table(records, cards, to_root, words)
        elif kind == "published":
            body = tables.published_tables(by_name[model], words)
        elif kind == "original":
            body = tables.original_table(records, by_name[model], words)
        else:
            body = tables.measured_table(records, by_name[model], to_root, words)
        return match.group(1) + body + match.group(4)

    return _BLOCK.sub(block, text)
