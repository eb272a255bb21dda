"""A log format: a few declared lines, in a network's card or in this package's formats.yaml.

A line is a template, fixed text with typed fields: `Step: {step}, Loss: {loss}`. It can be read in
one way only: each field ends where the text after it begins. A blank stands for one or more blanks
or tabs, and a field may be padded with them.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Tuple, Union

import attrs

from common.core.codec import filled, key, read_yaml
from common.core.text import listed, quoted

OWN_FORMATS = Path(__file__).with_name("formats.yaml")
INTEGER, NUMBER, DURATION = "integer", "number", "duration"
WORD, METRICS, ANYTHING = "word", "metrics", "anything"
STEP, EPOCH, ITERATION, ITERATIONS = "step", "epoch", "iteration", "iterations"
WHOLE_NUMBERS = (STEP, EPOCH, ITERATION, ITERATIONS)
UNNAMED = "_"

# By kind, the letters that may not follow it: they could be a part of it.
_NEVER_AFTER = {
    INTEGER: "[0-9]",
    NUMBER: "[0-9.eE]",
    DURATION: "[0-9.]",
    WORD: "[A-Za-z0-9_.+-]",
    METRICS: "",
    ANYTHING: "",
}
_PIECES = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|([^{}]+)|(.)", re.DOTALL)


class Field(NamedTuple):
    """A typed place of a line; the name "_" reads over it."""

    name: str
    kind: str


Part = Union[str, Field]


@functools.lru_cache(maxsize=None)
def parse_template(text: str) -> Tuple[Part, ...]:
    """The parts of a template, fixed texts and fields in turn; {{ and }} stand for braces.

    Raises:
        ValueError: what is wrong with it, in words that fit behind the template's name.
    """
    parts: List[Part] = []
    for found in _PIECES.finditer(text):
        field, fixed, alone = found.groups()
        if alone is not None:
            raise ValueError("has a brace that stands alone; a brace of the text is written twice")
        part: Part = _field(field) if field is not None else fixed or found[0][0]
        if isinstance(part, str) and parts and isinstance(parts[-1], str):
            parts[-1] += part
        else:
            parts.append(part)
    if re.search(r"[^ -~\t]", text):
        raise ValueError("may hold printable ASCII characters and tabs only")
    first = parts[0] if parts else " "
    if first[0] in " \t" if isinstance(first, str) else first.kind in (WORD, METRICS, ANYTHING):
        raise ValueError("must begin with a number or a fixed text, and not with a blank")
    for part, following in zip(parts, parts[1:] + [""]):
        if isinstance(part, Field):
            _check_end(part, following)
    names = [part.name for part in parts if isinstance(part, Field) and part.name != UNNAMED]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"has the field {name!r} twice")
    return tuple(parts)


def _field(text: str) -> Field:
    name, colon, kind = text.partition(":")
    if not re.match(r"^[a-z_][a-z0-9_]*$", name):
        raise ValueError(f"has a field {name!r}; a name is made of a-z, 0-9 and _")
    kind = kind if colon else (INTEGER if name in WHOLE_NUMBERS else NUMBER)
    if kind not in _NEVER_AFTER:
        allowed = ", ".join(_NEVER_AFTER)
        raise ValueError(f"has a field of kind {kind!r}; allowed are {allowed}")
    if name in WHOLE_NUMBERS and kind != INTEGER:
        raise ValueError(f"has {name!r} as {kind}; it is always {INTEGER}")
    if kind == ANYTHING and name != UNNAMED:
        raise ValueError(f"keeps {name!r}, which is {ANYTHING}; name it {UNNAMED!r}")
    return Field(name, kind)


def _check_end(field: Field, following: Part) -> None:
    """Refuses what could be read in more than one way."""
    name, kind = field
    if isinstance(following, Field):
        raise ValueError(f"has the fields {name!r} and {following.name!r} with no text between")
    if kind == METRICS and following:
        raise ValueError(f"goes on after {name!r}, which takes the rest of the line")
    if kind == ANYTHING and not following:
        raise ValueError(f"ends with {ANYTHING}, which no text would end")
    if _NEVER_AFTER[kind] and re.match(_NEVER_AFTER[kind], following):
        raise ValueError(f"has {following[0]!r} right after {name!r}, which could be a part of it")


@attrs.frozen
class LineRule:
    """One kind of line.

    Attributes:
        prefix: what comes before the names of this line's series; {field} puts in a word field.
        scale: by field, what its values are multiplied by.
        restart: the line says that the run begins, again perhaps, after a step if it tells one.
        closing: the line ends logs of any kind, so that it alone makes no training log.
    """

    template: str = attrs.field(metadata=key("line"))
    prefix: str = ""
    scale: Dict[str, float] = attrs.field(factory=dict)
    restart: bool = False
    closing: bool = False

    def mistakes(self) -> Iterator[Tuple[str, str]]:
        """What is wrong with the template, or does not fit it."""
        try:
            fields = self.fields()
        except ValueError as error:
            yield "line", f"{quoted(self.template)} {error}"
            return
        values = [field.name for field in self.value_fields() if field.kind != METRICS]
        for name in set(self.scale).difference(values):
            yield f"scale.{name}", f"is no value of the line; there are: {listed(values)}"
        words = [field.name for field in fields if field.kind == WORD]
        try:
            self.prefix.format(**dict.fromkeys(words, ""))
        except (LookupError, ValueError, AttributeError):
            text = f"{quoted(self.prefix)} may only use the line's words: {listed(words)}"
            yield "prefix", text
        if not (self.restart or self.begins_epoch or self.value_fields()):
            yield "line", f"{quoted(self.template)} has no field whose value would be kept"

    @property
    def parts(self) -> Tuple[Part, ...]:
        """What was read out of the template: fixed texts and fields in turn."""
        return parse_template(self.template)

    def fields(self) -> List[Field]:
        """The fields that are kept, in order."""
        return [part for part in self.parts if isinstance(part, Field) and part.name != UNNAMED]

    def value_fields(self) -> List[Field]:
        """The fields that become series; those that only tell where the line belongs do not."""
        places = (STEP, ITERATION, ITERATIONS) + (() if self.tells_step() else (EPOCH,))
        return [field for field in self.fields() if field.name not in places and field.kind != WORD]

    def tells_step(self, *others: str) -> bool:
        """Whether the line, with fields that other lines tell, says which step it is about."""
        names = {field.name for field in self.fields()}.union(others)
        return STEP in names or {EPOCH, ITERATION, ITERATIONS} <= names

    @property
    def begins_epoch(self) -> bool:
        """Whether the line says nothing but which epoch the lines after it belong to."""
        return [field.name for field in self.fields()] == [EPOCH]


@attrs.frozen
class LogFormat:
    """A format; its first line is the one that tells the steps as they pass.

    Attributes:
        one_writer: whether a file has one writer, which says when it begins again; else a step
            that goes back tells of a restart or of another rank.
    """

    name: str
    description: str
    lines: Tuple[LineRule, ...] = attrs.field(validator=filled)
    one_writer: bool = False

    def mistakes(self) -> Iterator[Tuple[str, str]]:
        """A first line that does not tell the steps."""
        first, *others = self.lines
        epoch = [EPOCH for rule in others if rule.begins_epoch]
        if not first.tells_step(*epoch) or first.restart or not first.value_fields():
            yield (
                "lines",
                "must begin with the line that tells the steps: {step} or {epoch}, {iteration} "
                "and {iterations}, {epoch} perhaps in a line of its own, with a value beside it, "
                f"not {quoted(first.template)}",
            )


@attrs.frozen
class _FormatFile:
    logs: Tuple[LogFormat, ...]


def read_format_file(path: Path = OWN_FORMATS) -> Tuple[LogFormat, ...]:
    """The formats of a file with a `logs:` section; of our own logs unless another is named.

    Raises:
        ZooError: with file, key and what is wrong.
    """
    return read_yaml(path, _FormatFile).logs
