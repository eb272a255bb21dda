"""A declared line as one regular expression, and its fields as numbers.

A template can be read in one way only, every repetition is bounded, and `anything` never gives
back what it took, so the time to find a line grows with the text's length alone.
"""

from __future__ import annotations

import re
from typing import Iterator, List, Match, Optional, Sequence, Tuple

from common.cards.log_format import (
    ANYTHING,
    DURATION,
    INTEGER,
    METRICS,
    NUMBER,
    UNNAMED,
    WHOLE_NUMBERS,
    WORD,
    Field,
    LineRule,
    Part,
)

Values = List[Tuple[str, float]]

# What may follow a number that ends a line's template: it is whole, and its line goes on or ends.
# A number that touches the end of a file that was cut is not whole.
_NUMBER_ENDS = r"(?=[ \t\n;)\]}%]|,(?![0-9]))"
# By kind, what a field looks like, and what may follow the last one of a line.
_PATTERNS = {
    INTEGER: ("[0-9]{1,15}", _NUMBER_ENDS),
    NUMBER: (
        r"(?:[-+]?(?:[0-9]{1,64}(?:\.[0-9]{0,64})?|\.[0-9]{1,64})(?:[eE][-+]?[0-9]{1,4})?"
        r'|(?i:[-+]?(?:nan|inf(?:inity)?)|"-?(?:nan|inf)"|null))',
        _NUMBER_ENDS,
    ),
    DURATION: (
        r"(?:-?[0-9]{1,9} days?, )?[0-9]{1,9}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{0,9})?",
        _NUMBER_ENDS,
    ),
    WORD: ("[A-Za-z0-9_.+-]{1,64}", "(?=[^A-Za-z0-9_.+-])"),
    METRICS: (r"[^\n]{1,4096}", r"(?=\n)"),
}
_PADDING, _BLANKS = r"[ \t]{0,80}", r"[ \t]{1,80}"
_LONGEST_ANYTHING = 1024
# How launchers mark a rank's lines: torchrun, mpirun, horovodrun, srun --label, and plain words.
_MARK = (
    r"(?i:\[(?:default|rank ?)?(?:[0-9]{1,6},)?%(rank)s\](?:<std(?:out|err)>)?[: ]"
    r"|[(\[]?rank[ :=]{0,2}%(rank)s[)\]]?[ :|]|%(rank)s: )"
)
_RANK = re.compile((_MARK % {"rank": "([0-9]{1,6})"}).encode("ascii"))
_BEGIN = "BEGIN"  # group names of fields are in small letters
_PAIR = re.compile(
    rb'(?<![A-Za-z0-9_.])"?([A-Za-z_][A-Za-z0-9_.]{0,63})"?(?: ?= ?|: {0,40}| )"?'
    rb"([-+]?[0-9]{1,32}(?:\.[0-9]{1,32})?(?:[eE][-+]?[0-9]{1,4})?|-?nan|[-+]?inf)"
    rb'(?=[\s,;}"])',
    re.IGNORECASE,
)


class DeclaredLine:
    """One kind of line, ready to be found in a text."""

    def __init__(self, rule: LineRule) -> None:
        self.rule = rule
        self.tells_step, self.begins_epoch = rule.tells_step(), rule.begins_epoch
        self._pattern = re.compile(_pattern(rule.parts).encode("ascii"))
        groups = self._pattern.groupindex
        self._begin = groups.get(_BEGIN, 0)
        texts = " ".join(part for part in rule.parts if isinstance(part, str)).split()
        self._clue = max(texts, key=len).encode("ascii") if texts else b""
        self._places = {name: groups[name] for name in WHOLE_NUMBERS if name in groups}
        self._words = [field.name for field in rule.fields() if field.kind == WORD]
        self._values = [
            (field.name, groups[field.name], field.kind, rule.scale.get(field.name, 1))
            for field in rule.value_fields()
        ]

    def find(self, text: bytes) -> Iterator[Match[bytes]]:
        """Every such line of a text, nothing of one that is cut at the text's end."""
        return self._pattern.finditer(text if self._clue in text else b"")

    def place(self, found: Match[bytes], name: str) -> Optional[int]:
        """The step, epoch, iteration or iterations that a line tells; None where it does not."""
        group = self._places.get(name)
        return None if group is None else int(found[group])

    def values(self, found: Match[bytes]) -> Values:
        """The values of a line by the names of their series."""
        told: Values = []
        for name, group, kind, scale in self._values:
            text = found[group]
            if kind == METRICS:
                pairs = _PAIR.finditer(text.split(b"}")[0] + b"\n")
                told += [(pair[1].decode("ascii"), float(pair[2])) for pair in pairs]
            elif kind == DURATION:
                told.append((name, _seconds(text) * scale))
            elif text.lower() != b"null":
                told.append((name, float(text.strip(b'"')) * scale))
        if not self.rule.prefix:
            return told
        words = {name: found[name].decode("ascii") for name in self._words}
        prefix = self.rule.prefix.format(**words)
        return [(prefix + name, value) for name, value in told]

    def rank(self, text: bytes, found: Match[bytes]) -> Optional[int]:
        """The rank that the line is marked with."""
        begin = found.start(self._begin)
        line = text.rfind(b"\n", 0, begin) + 1
        mark = _RANK.match(text, line, begin) if line < begin else None
        return None if mark is None or mark.lastindex is None else int(mark[mark.lastindex])


def _seconds(text: bytes) -> float:
    """The float64 nearest to a duration."""
    days, _, clock = text.rpartition(b", ")
    hours, minutes, rest = clock.split(b":")
    seconds, _, decimals = rest.partition(b".")
    whole = int(hours) * 3600 + int(minutes) * 60 + int(seconds)
    whole += int(days.split()[0]) * 86400 if days else 0
    scale: int = 10 ** len(decimals)
    return (whole * scale + int(decimals or 0)) / scale


def _pattern(parts: Sequence[Part]) -> str:
    pieces = []
    before: Part = ""
    for number, part in enumerate(parts):
        if isinstance(part, str):
            text = _word_begins(part) if number == 0 else _fixed(part)
            if isinstance(before, Field) and before.kind == ANYTHING:
                group = f"ANY{number}"
                text = rf"(?=(?P<{group}>[^\n]{{0,{_LONGEST_ANYTHING}}}?{text}))(?P={group})"
            pieces.append(text)
        elif part.kind != ANYTHING:
            pieces.append(_field(part, before if number else None))
        before = part
    if isinstance(before, Field):
        pieces.append(_PATTERNS[before.kind][1])
    return "".join(pieces)


def _field(field: Field, before: Optional[Part]) -> str:
    """A field with the blanks that it may be padded with."""
    text = _PATTERNS[field.kind][0]
    text = f"(?:{text})" if field.name == UNNAMED else f"(?P<{field.name}>{text})"
    if before is None:
        mark = _MARK % {"rank": "[0-9]{1,6}"}
        return f"(?m:^)(?:{mark})?{_PADDING}(?P<{_BEGIN}>){text}"
    padded = field.kind == METRICS or str(before).endswith((" ", "\t"))
    return text if padded else _PADDING + text


def _fixed(text: str) -> str:
    return _BLANKS.join(re.escape(piece) for piece in re.split(r"[ \t]+", text))


def _word_begins(text: str) -> str:
    """The text that begins a template, no sooner than its word does.

    The look behind comes after the word, so that the search for the word itself is quick.
    """
    word = re.match(r"[A-Za-z0-9][^ \t]*", text)
    if word is None:
        return _fixed(text)
    escaped = re.escape(word[0])
    return f"{escaped}(?<![A-Za-z0-9]{escaped}){_fixed(text[word.end() :])}"
