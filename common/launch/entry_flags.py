"""Holds an entry point's flags to its own declaration, before anything is touched."""

from __future__ import annotations

import argparse
import difflib
import importlib
import sys
from typing import Optional, Sequence

from common.cards.model_card import ModelCard
from common.core.errors import UsageError
from common.launch.flags import FLAGS


def check_entry_flags(card: ModelCard, entry_point: str, words: Sequence[str]) -> None:
    """Reads the words as the entry point will; a network without options.parser_of is let pass.

    Args:
        entry_point: a module such as slot_attention.object_discovery.train.
        words: its command line, without program and module.

    Raises:
        UsageError: a flag that it does not know, with the nearest that it knows; a wrong value.
    """
    parser = _parser_of(card, entry_point)
    if parser is None:
        return
    _, unknown = parser.parse_known_args(list(words))
    if not unknown:
        return
    name = unknown[0].partition("=")[0]
    known = list(parser._option_string_actions) + ["--" + flag.name for flag in FLAGS]
    near = difflib.get_close_matches(name, known, n=1)
    raise UsageError(
        f"{name} is a flag neither of zoo launch nor of {entry_point}"
        + (f"; did you mean {near[0]}?" if near else "; --help shows both")
    )


def _parser_of(card: ModelCard, entry_point: str) -> Optional[argparse.ArgumentParser]:
    """The parser by which the entry point reads its flags; importing it imports no framework."""
    name = entry_point.split(".")[0] + ".options"
    folder = str(card.folder.parent)
    if not (card.folder / "options.py").is_file():
        return None
    if folder not in sys.path:
        sys.path.insert(0, folder)
    found = getattr(importlib.import_module(name), "parser_of", None)
    return None if found is None else found(entry_point)
