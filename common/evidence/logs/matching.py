"""Finds a declared line in a block, everywhere at once, and reads its fields as columns."""

from __future__ import annotations

import dataclasses
import re
from typing import Callable, Dict, List, Sequence, Tuple

import numpy as np

from common.cards.line_template import (
    ANYTHING,
    DURATION,
    INTEGER,
    METRICS,
    NUMBER,
    UNNAMED,
    WORD,
    Field,
    Part,
)
from common.cards.log_format import LineRule
from common.evidence.logs.blocks import Block
from common.evidence.logs.number_columns import (
    Scanned,
    scan_durations,
    scan_integers,
    scan_numbers,
    stands_alone,
    windows,
)

_SAMPLE = 1 << 14
_WORD = re.compile(rb"[A-Za-z0-9_.+-]{1,64}")
_LONGEST_METRICS = 4096
_LONGEST_ANYTHING = 16384
# One way to read each text: what a name may hold, what separates it and what a number begins with
# have no letter in common.
_PAIR = re.compile(
    rb'"?([A-Za-z_][A-Za-z0-9_.]{0,63})"?(?: ?= ?|: ?| )"?'
    rb"([-+]?[0-9]{1,32}(?:\.[0-9]{1,32})?(?:[eE][-+]?[0-9]{1,4})?|-?nan|[-+]?inf)"
    rb'(?=[\s,;}"]|$)',
    re.IGNORECASE,
)

Pairs = List[Tuple[str, float]]


@dataclasses.dataclass(frozen=True)
class Matches:
    """The lines of one kind in a block.

    Attributes:
        positions: (N,) int64, where each begins, ascending.
        values: by field, (N,) int64 or float64.
        given: by field, (N,) bool, False where the log says null.
        words: by word field, N texts.
        metrics: N lists of pairs; empty where the line has no such field.
    """

    positions: np.ndarray
    values: Dict[str, np.ndarray]
    given: Dict[str, np.ndarray]
    words: Dict[str, List[str]]
    metrics: List[Pairs]

    def __len__(self) -> int:
        return len(self.positions)

    def kept(self, rows: np.ndarray) -> Matches:
        """The lines of which `rows`, (N,) bool, is true."""
        if rows.all():
            return self
        numbers = np.flatnonzero(rows)
        return Matches(
            self.positions[rows],
            {name: column[rows] for name, column in self.values.items()},
            {name: column[rows] for name, column in self.given.items()},
            {name: [texts[row] for row in numbers] for name, texts in self.words.items()},
            [self.metrics[row] for row in numbers] if self.metrics else [],
        )


def find_lines(block: Block, rule: LineRule) -> Matches:
    """Every line of a block that the rule fits, with its fields; one pass, no way back."""
    positions = _find_text(block, rule.beginning.encode("ascii"))
    matches = Matches(positions, {}, {}, {}, [])
    cursor = positions + len(rule.beginning)
    for part, following in zip(rule.parts[1:], rule.parts[2:] + ("",)):
        if not len(matches):
            break
        found, ends, fitting = _read_part(block, part, following, cursor)
        matches = _with(matches, part, found).kept(fitting)
        cursor = ends[fitting]
    return matches


def _find_text(block: Block, text: bytes) -> np.ndarray:
    """Where a text stands that begins no sooner than its word does."""
    array = block.array[: len(block.text)]
    wanted = np.frombuffer(text, np.uint8)
    rarest = _rarest(array, wanted)
    places = np.flatnonzero(array == wanted[rarest]) - rarest
    places = places[(places >= 0) & (places <= len(array) - len(wanted))]
    places = places[(windows(block.array, places, len(wanted)) == wanted).all(axis=1)]
    if not re.match(rb"[A-Za-z0-9]", text):
        return np.asarray(places)
    before: np.ndarray = block.array[places - 1]
    inside = ((before | 32) - np.uint8(97) < 26) | (before - np.uint8(48) < 10)
    return np.asarray(places[~inside | (places == 0)])


def _rarest(array: np.ndarray, wanted: np.ndarray) -> int:
    """The index of the byte of a text that is the rarest in the beginning of the block."""
    counts = np.bincount(array[:_SAMPLE], minlength=256)
    return int(np.argmin(counts[wanted]))


_Read = Tuple[object, np.ndarray, np.ndarray]


def _read_part(block: Block, part: Part, following: Part, cursor: np.ndarray) -> _Read:
    """One part at N cursors: what it holds, where it ends, where it fits."""
    if isinstance(part, str):
        wanted = np.frombuffer(part.encode("ascii"), np.uint8)
        inside = cursor + len(wanted) <= len(block.text)
        if not inside.any():
            return None, cursor, inside
        found = windows(block.array, np.where(inside, cursor, 0), len(wanted))
        return None, cursor + len(wanted), inside & (found == wanted).all(axis=1)
    if part.kind in _SCANNERS:
        return _read_number(block, part, not following, cursor)
    rows = [_READERS[part.kind](block, int(place), following) for place in cursor]
    ends = np.array([end for _, end in rows], np.int64)
    return [held for held, _ in rows], ends, ends >= 0


_SCANNERS: Dict[str, Callable[[np.ndarray, np.ndarray], Scanned]] = {
    INTEGER: scan_integers,
    NUMBER: scan_numbers,
    DURATION: scan_durations,
}


def _read_number(block: Block, part: Field, is_last: bool, cursor: np.ndarray) -> _Read:
    scanned = _SCANNERS[part.kind](block.array, cursor)
    good = scanned.good
    if part.kind == INTEGER:
        good = good & (block.array[cursor] - np.uint8(48) < 10)  # no sign
    if is_last:
        good = good & stands_alone(block.array, scanned.ends)
        if block.is_cut:
            good &= scanned.ends < len(block.text)  # who knows what digits would have followed
    return scanned, scanned.ends, good


def _read_word(block: Block, place: int, following: Part) -> Tuple[object, int]:
    found = _WORD.match(block.text, place)
    if found is None or (not following and block.is_cut and found.end() == len(block.text)):
        return "", -1
    return found.group().decode("ascii"), found.end()


def _read_anything(block: Block, place: int, following: Part) -> Tuple[object, int]:
    end = min(block.line_end(place), place + _LONGEST_ANYTHING)
    return None, block.text.find(str(following).encode("ascii"), place, end)


def _read_metrics(block: Block, place: int, following: Part) -> Tuple[object, int]:
    end = block.line_end(place)
    rest = block.text[place : min(end, place + _LONGEST_METRICS)].split(b"}")[0]
    pairs = [
        (name.decode("ascii"), float(value), stop)
        for name, value, stop in (
            (found.group(1), found.group(2), found.end()) for found in _PAIR.finditer(rest)
        )
    ]
    if block.is_cut and end == len(block.text):
        pairs = [pair for pair in pairs if place + pair[2] < end]
    return [pair[:2] for pair in pairs], (end if pairs else -1)


_READERS: Dict[str, Callable[[Block, int, Part], Tuple[object, int]]] = {
    WORD: _read_word,
    ANYTHING: _read_anything,
    METRICS: _read_metrics,
}


def _with(matches: Matches, part: Part, found: object) -> Matches:
    """The matches with one more field."""
    if isinstance(part, str) or part.name == UNNAMED:
        return matches
    if isinstance(found, Scanned):
        return dataclasses.replace(
            matches,
            values=dict(matches.values, **{part.name: found.values}),
            given=dict(matches.given, **{part.name: found.given}),
        )
    assert isinstance(found, list)
    if part.kind == METRICS:
        return dataclasses.replace(matches, metrics=found)
    return dataclasses.replace(matches, words=dict(matches.words, **{part.name: found}))


def told_values(matches: Matches, rule: LineRule) -> Sequence[Tuple[str, np.ndarray, np.ndarray]]:
    """The values of the rule's number fields: (name, (N,) float64, (N,) bool whether given)."""
    return [
        (
            field.name,
            matches.values[field.name] * rule.scale.get(field.name, 1.0),
            matches.given[field.name],
        )
        for field in rule.value_fields()
        if field.kind != METRICS
    ]
