"""A line of a log as a template: fixed text with typed fields.

`Step: {step}, Loss: {loss}, Time: {elapsed_seconds:duration}` says all that is needed to read the
line. A template can be read in one way only: each kind of field ends where the text after it
begins. A blank stands for one or more blanks or tabs, and a field may be padded with them.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from typing import List, Tuple, Union

INTEGER, NUMBER, DURATION = "integer", "number", "duration"
WORD, METRICS, ANYTHING = "word", "metrics", "anything"
KINDS = {
    INTEGER: "digits",
    NUMBER: "a number in any spelling, nan and inf included; null is no value",
    DURATION: "[N days, ]H:MM:SS[.ffffff], read as seconds",
    WORD: "letters, digits and _.+-",
    METRICS: "pairs of name and number up to the line's end",
    ANYTHING: "what lies before the text that follows, on the same line",
}
STEP, EPOCH, ITERATION, ITERATIONS = "step", "epoch", "iteration", "iterations"
WHOLE_NUMBERS = (STEP, EPOCH, ITERATION, ITERATIONS)
MAY_BEGIN = (INTEGER, NUMBER, DURATION)
UNNAMED = "_"

_NEVER_AFTER = {INTEGER: "0-9", NUMBER: "0-9.eE", DURATION: "0-9.", WORD: "A-Za-z0-9_.+-"}
_PIECES = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|([^{}]+)|(.)")


@dataclasses.dataclass(frozen=True)
class Field:
    """A typed place; the name "_" reads over it."""

    name: str
    kind: str


Part = Union[str, Field]


@functools.lru_cache(maxsize=None)
def parse_template(text: str) -> Tuple[Part, ...]:
    """The parts of a template, fixed texts and fields in turn; {{ and }} stand for braces.

    Raises:
        ValueError: what is wrong with it, in words that fit behind the template's name.
    """
    parts = _joined_texts(_pieces(text))
    if any(not " " <= letter <= "~" and letter != "\t" for letter in text):
        raise ValueError("may hold printable ASCII characters and tabs only")
    if not parts or not _may_begin(parts[0]):
        raise ValueError("must begin with a number or a fixed text, and not with a blank")
    for part, following in zip(parts, parts[1:] + [""]):
        _check_pair(part, following)
    names = [part.name for part in parts if isinstance(part, Field) and part.name != UNNAMED]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"has the field {name!r} twice")
    return tuple(parts)


def _may_begin(part: Part) -> bool:
    if isinstance(part, Field):
        return part.kind in MAY_BEGIN
    return not part.startswith((" ", "\t"))


def _pieces(text: str) -> List[Part]:
    parts: List[Part] = []
    for found in _PIECES.finditer(text):
        if found.group(3) is not None:
            raise ValueError("has a brace that stands alone; a brace of the text is written twice")
        if found.group(1) is not None:
            parts.append(_field(found.group(1)))
        else:
            parts.append(found.group(2) or found.group()[0])
    return parts


def _field(text: str) -> Field:
    name, colon, kind = text.partition(":")
    if not re.match(r"^[a-z_][a-z0-9_]*$", name):
        raise ValueError(f"has a field {name!r}; a name is made of a-z, 0-9 and _")
    kind = kind if colon else (INTEGER if name in WHOLE_NUMBERS else NUMBER)
    if kind not in KINDS:
        raise ValueError("has a field of kind {!r}; allowed are {}".format(kind, ", ".join(KINDS)))
    if name in WHOLE_NUMBERS and kind != INTEGER:
        raise ValueError(f"has {name!r} as {kind}; it is always {INTEGER}")
    if kind == ANYTHING and name != UNNAMED:
        raise ValueError(f"keeps {name!r}, which is {ANYTHING}; name it {UNNAMED!r}")
    return Field(name, kind)


def _joined_texts(parts: List[Part]) -> List[Part]:
    result: List[Part] = []
    for part in parts:
        if isinstance(part, str) and result and isinstance(result[-1], str):
            result[-1] += part
        else:
            result.append(part)
    return result


def _check_pair(part: Part, following: Part) -> None:
    """Refuses what could be read in more than one way."""
    if not isinstance(part, Field):
        return
    if isinstance(following, Field):
        raise ValueError(
            f"has the fields {part.name!r} and {following.name!r} with no text between"
        )
    if part.kind == METRICS and following:
        raise ValueError(f"goes on after {part.name!r}, which takes the rest of the line")
    if part.kind == ANYTHING and not following:
        raise ValueError(f"ends with {ANYTHING}, which no text would end")
    never = _NEVER_AFTER.get(part.kind)
    if never and following and re.match(f"[{never}]", following):
        raise ValueError(
            f"has {following[0]!r} right after {part.name!r}, which could be a part of it"
        )
