"""A log format: a few declared lines, in a network's card or in this package's formats.yaml."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, Iterator, List, Sequence, Tuple

import attrs

from common.cards.line_template import (
    EPOCH,
    ITERATION,
    ITERATIONS,
    METRICS,
    STEP,
    UNNAMED,
    WORD,
    Field,
    Part,
    parse_template,
)
from common.core.codec import filled, key, read_yaml
from common.core.text import listed, quoted

OWN_FORMATS = Path(__file__).with_name("formats.yaml")


@attrs.frozen
class LineRule:
    """One kind of line.

    Attributes:
        template: as it is declared; parts is what was read out of it.
        prefix: what comes before the names of this line's series; {field} puts in a word field.
        scale: by field, what its values are multiplied by.
        restart: whether the line says that the run begins, again perhaps; a step in it is the
            last one that is kept.
        closing: whether the line stands at the end of logs of any kind, so that it alone makes no
            training log.
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
        for name in self.scale:
            if name not in values:
                yield f"scale.{name}", f"is no value of the line; there are: {listed(values)}"
        words = [field.name for field in fields if field.kind == WORD]
        try:
            self.prefix.format(**dict.fromkeys(words, ""))
        except (KeyError, IndexError, ValueError, AttributeError):
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

    def names(self) -> List[str]:
        """The names of the fields that are kept."""
        return [field.name for field in self.fields()]

    def value_fields(self) -> List[Field]:
        """The fields that become series; those that only tell where the line belongs do not."""
        places = (STEP, ITERATION, ITERATIONS) + (() if self.tells_step else (EPOCH,))
        return [field for field in self.fields() if field.name not in places and field.kind != WORD]

    @property
    def tells_step(self) -> bool:
        """Whether the line says which step it is about."""
        names = self.names()
        return STEP in names or {EPOCH, ITERATION, ITERATIONS} <= set(names)

    @property
    def begins_epoch(self) -> bool:
        """Whether the line says nothing but which epoch the lines after it belong to."""
        return self.names() == [EPOCH]


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
        names = first.names() + [EPOCH for rule in others if rule.begins_epoch]
        tells_steps = STEP in names or {EPOCH, ITERATION, ITERATIONS} <= set(names)
        if not tells_steps or first.restart or not first.value_fields():
            yield (
                "lines",
                "must begin with the line that tells the steps: {step} or {epoch}, {iteration} "
                "and {iterations}, {epoch} perhaps in a line of its own, with a value beside it, "
                f"not {quoted(first.template)}",
            )


@attrs.frozen
class _FormatFile:
    logs: Tuple[LogFormat, ...]

    def mistakes(self) -> Iterator[Tuple[str, str]]:
        """Two formats of one name."""
        yield from names_given_twice(self.logs)


def read_format_file(path: Path = OWN_FORMATS) -> Tuple[LogFormat, ...]:
    """The formats of a file with a `logs:` section; of our own logs unless another is named.

    Raises:
        ZooError: with file, key and what is wrong.
    """
    return read_yaml(path, _FormatFile).logs


def names_given_twice(formats: Sequence[LogFormat]) -> Iterator[Tuple[str, str]]:
    """Key and text for each format whose name an earlier one has, as a class's mistakes()."""
    names = [form.name for form in formats]
    for number, name in enumerate(names):
        if name in names[:number]:
            yield f"logs[{number}].name", f"{quoted(name)} is given twice"
