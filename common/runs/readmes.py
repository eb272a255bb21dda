"""The tables of READMEs: what stands between their markers, made anew from records."""

from __future__ import annotations

import functools
import os
import re
from pathlib import Path
from typing import Dict, Match, Sequence

from common.cards.model_card import ModelCard
from common.core.errors import ZooError
from common.runs import tables
from common.runs.record import RunRecord

_BLOCK = re.compile(
    r"(<!-- zoo:begin (?P<kind>\S+) (?P<model>\S+) -->\n).*?(<!-- zoo:end -->)", re.DOTALL
)
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
        to_root = "" if folder == root else os.path.relpath(str(root), str(folder)) + "/"
        for path in sorted(folder.glob("README*.md")):
            made = functools.partial(_made, path, to_root, cards, records)
            text = path.read_text(encoding="utf-8")
            rendered = _BLOCK.sub(made, text)
            if text != rendered:
                found[path] = rendered
    return found


def _made(
    path: Path,
    to_root: str,
    cards: Sequence[ModelCard],
    records: Sequence[RunRecord],
    block: Match[str],
) -> str:
    """A block of a README, made anew."""
    kind, model = block["kind"], block["model"]
    words = tables.chinese if path.name.endswith(".zh-CN.md") else str
    card = next((card for card in cards if card.name == model), None)
    body = None
    if kind == "summary" and model == ALL:
        body = tables.summary_table(records, cards, to_root, words)
    elif kind == "published" and card:
        body = tables.published_tables(card, words)
    elif kind == "original" and card:
        body = tables.original_table(records, card, words)
    elif kind == "measured" and card:
        body = tables.measured_table(records, card, to_root, words)
    if body is None:
        raise ZooError(
            f"{path}: the marker 'zoo:begin {kind} {model}' is unknown; there are summary all, and "
            f"measured, published and original of {', '.join(card.name for card in cards)}"
        )
    return block[1] + body + block[4]
