"""A log format: a few declared lines, in a network's card or in this package's formats.yaml."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Dict, List, Sequence, Tuple

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
from common.core.section import Section, load_yaml

OWN_FORMATS = Path(__file__).with_name("formats.yaml")


@dataclasses.dataclass(frozen=True)
class LineRule:
    """One kind of line.

    Attributes:
        template: as it is declared; parts is what was read out of it.
        prefix: what comes before the names of this line's series; {field} puts in a word field.
        scale: by field, what its values are multiplied by.
        restart: whether the line says that the run begins, again perhaps; a step in it is the
            last one that is kept.
    """

    template: str
    parts: Tuple[Part, ...]
    prefix: str = ""
    scale: Dict[str, float] = dataclasses.field(default_factory=dict)
    restart: bool = False

    @property
    def beginning(self) -> str:
        """The fixed text that marks such a line."""
        return str(self.parts[0])

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


@dataclasses.dataclass(frozen=True)
class LogFormat:
    """A format; its first line is the one that tells the steps as they pass.

    Attributes:
        one_writer: whether a file has one writer, which says when it begins again; else a step
            that goes back tells of a restart or of another rank.
    """

    name: str
    description: str
    lines: Tuple[LineRule, ...]
    one_writer: bool = False

    @property
    def step_line(self) -> LineRule:
        """The line that every step, or every so many, prints."""
        return self.lines[0]


def read_formats(parts: Sequence[Section]) -> Tuple[LogFormat, ...]:
    """The formats of a `logs:` section.

    Raises:
        ZooError: with file, key and what is wrong.
    """
    found = tuple(_format(part) for part in parts)
    for part, form in zip(parts, found):
        if sum(1 for other in found if other.name == form.name) > 1:
            part.fail("name", f"{form.name!r} is given twice")
    return found


def own_formats() -> Tuple[LogFormat, ...]:
    """The formats of our own logs."""
    top = load_yaml(OWN_FORMATS)
    found = read_formats(top.section_list("logs"))
    top.done()
    return found


def _format(section: Section) -> LogFormat:
    form = LogFormat(
        name=section.value("name", str),
        description=section.value("description", str),
        lines=tuple(_line(part) for part in section.section_list("lines")),
        one_writer=section.value("one_writer", bool, False),
    )
    section.done()
    if not form.lines:
        section.fail("lines", "must have at least one line")
    first = form.lines[0]
    if not first.tells_step or first.restart or not first.value_fields():
        section.fail(
            "lines",
            "must begin with the line that tells the steps: {step} or "
            "{epoch}, {iteration} and {iterations}, with a value beside "
            f"it, not {first.template!r}",
        )
    return form


def _line(section: Section) -> LineRule:
    template = section.value("line", str)
    try:
        parts = parse_template(template)
    except ValueError as error:
        section.fail("line", f"{template!r} {error}")
    rule = LineRule(
        template=template,
        parts=parts,
        prefix=section.value("prefix", str, ""),
        scale=_scale(section),
        restart=section.value("restart", bool, False),
    )
    section.done()
    _check_line(section, rule)
    return rule


def _scale(section: Section) -> Dict[str, float]:
    if not section.has("scale"):
        return {}
    part = section.section("scale")
    return {name: part.value(name, float) for name in part.keys()}  # noqa: SIM118


def _check_line(section: Section, rule: LineRule) -> None:
    values = [field.name for field in rule.value_fields() if field.kind != METRICS]
    for name in rule.scale:
        if name not in values:
            section.fail(
                "scale." + name,
                "is no value of the line; there are: {}".format(", ".join(values) or "none"),
            )
    words = {field.name: "" for field in rule.fields() if field.kind == WORD}
    try:
        rule.prefix.format(**words)
    except (KeyError, IndexError, ValueError):
        section.fail(
            "prefix",
            "{!r} may only use the line's words: {}".format(
                rule.prefix, ", ".join(words) or "none"
            ),
        )
    if not rule.restart and not rule.value_fields():
        section.fail("line", f"{rule.template!r} has no field whose value would be kept")
