"""A declared line as one regular expression, its fields as numbers; a format for unknown lines.

A template can be read in one way only, every repetition is bounded, and `anything` never gives
back what it took, so the time to find a line grows with the text's length alone.
"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Dict, Iterator, List, Match, Optional, Sequence, Tuple

from common.cards.log_format import (
    ANYTHING,
    DURATION,
    INTEGER,
    METRICS,
    NUMBER,
    STEP,
    UNNAMED,
    WHOLE_NUMBERS,
    WORD,
    Field,
    LineRule,
    Part,
    parse_template,
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
            text = _BLANKS.join(re.escape(piece) for piece in re.split(r"[ \t]+", part))
            word = re.match(r"[A-Za-z0-9][^ \t]*", part) if number == 0 else None
            if word is not None:  # the look behind comes after the word, which is found quickly
                escaped = re.escape(word[0])
                text = f"{escaped}(?<![A-Za-z0-9]{escaped}){text[len(escaped) :]}"
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


# --- for a log in no known format ---

_LOOKED_AT, _LONGEST = 20000, 160  # lines, characters of one
_NAMED_NUMBER = re.compile(
    r"(?:\b([A-Za-z_]\w*))?([^\w]{0,4})(?<![\w.])"
    r"(?:(?P<duration>(?:\d+ days?, )?\d+:\d\d:\d\d(?:\.\d+)?)"
    r"|[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)(?![\w.]*\w)"
)
_EXAMPLE = "Step: {step}, Loss: {loss}"


def suggestion_for(text: bytes) -> str:
    """Three lines of the commonest kind with numbers in it, and a format that is made of one."""
    kinds: Dict[str, List[str]] = defaultdict(list)
    lines = [line for line in text.decode("utf-8", "replace").split("\n")[:_LOOKED_AT] if line]
    for line in lines:
        if len(line) <= 4 * _LONGEST and _NAMED_NUMBER.search(line):
            kinds[re.sub(r"[\s\d.+-]+", "0", line)].append(line)
    found = max(kinds.values(), key=lambda ones: (len(ones), "oss" in ones[0]), default=lines)
    shown = ["".join(c if c.isprintable() else "?" for c in line) for line in found[:3]]
    template = _template(found[-1]) if kinds else _EXAMPLE
    quoted = template.replace("\\", "\\\\").replace('"', '\\"').replace("\t", "\\t")
    return (
        "".join(["lines of it:\n"] * bool(shown) + [f"    {line[:_LONGEST]}\n" for line in shown])
        + "a format to begin from, for --format_file or a card:\n"
        "    logs:\n      - name: my_port\n        description: what prints it\n"
        f'        lines:\n          - line: "{quoted}"'
    )


def _template(line: str) -> str:
    """The line with its numbers as fields, from the first one on that a word names: the step."""
    names: List[str] = []
    template, end = "", 0
    for number in _NAMED_NUMBER.finditer(line):
        word, between = number[1] or "", number[2]
        if not names and not word:
            continue
        name = re.sub(r"\W", "_", word.lower()) if names else STEP
        names.append(name if name and name not in names else UNNAMED)
        before = line[end : number.start()] if template else ""
        fixed = (before + word + between).replace("{", "{{").replace("}", "}}")
        template += f"{fixed}{{{names[-1]}{':duration' if number['duration'] else ''}}}"
        end = number.end()
    try:
        parse_template(template)
    except ValueError:
        return _EXAMPLE
    return template
