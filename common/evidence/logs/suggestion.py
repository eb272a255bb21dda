"""For a log in no known format: some of its lines, and a format to begin from."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from typing import Dict, Iterator, List, Match, Tuple

from common.cards.line_template import EPOCH, ITERATION, ITERATIONS, STEP, UNNAMED, parse_template

_SHOWN, _LOOKED_AT, _LONGEST = 3, 20000, 160
_NUMBER = re.compile(
    r"(?P<duration>(?:\d+ days?, )?\d+:\d\d:\d\d(?:\.\d+)?)|(?<![\w.])[-+]?\d+(?:\.\d+)?"
    r"(?:[eE][-+]?\d+)?(?![\w.]*\w)"
)
_NAME = re.compile(r"([A-Za-z_]\w*)[^\w]{0,4}$")
_STEPS = {"step", "iter", "iters", "iteration", "it", "batch", "global_step", "steps"}
_EXAMPLE = "Step: {step}, Loss: {loss}"


@dataclass(frozen=True)
class Suggestion:
    """Lines of a file, and a template made out of the commonest of them."""

    lines: Tuple[str, ...]
    template: str

    def __str__(self) -> str:
        shown = "".join(f"    {line}\n" for line in self.lines)
        quoted = self.template.replace("\\", "\\\\").replace('"', '\\"').replace("\t", "\\t")
        return (
            (f"lines of it:\n{shown}" if shown else "")
            + "a format to begin from, for --format_file or a card:\n"
            "    logs:\n      - name: my_port\n        description: what prints it\n"
            f'        lines:\n          - line: "{quoted}"'
        )


def suggestion_for(text: bytes) -> Suggestion:
    """The commonest kind of line with numbers in it, three of its lines, and its template."""
    kinds: Dict[str, List[str]] = defaultdict(list)
    lines = [line for line in text.decode("utf-8", "replace").split("\n")[:_LOOKED_AT] if line]
    for line in lines:
        if len(line) <= 4 * _LONGEST and _NUMBER.search(line):
            kinds[re.sub(r"[\s\d.+-]+", "0", line)].append(line)
    found = max(kinds.values(), key=lambda ones: (len(ones), "oss" in ones[0]), default=lines)
    return Suggestion(
        tuple(
            "".join(c if c.isprintable() else "?" for c in line)[:_LONGEST] for line in found[:3]
        ),
        _template(found[-1]) if kinds else _EXAMPLE,
    )


def _template(line: str) -> str:
    """The line with its numbers as fields, from the first one with a name on."""
    numbers = list(_NUMBER.finditer(line))
    names = _names(line, numbers)
    first = next((place for place, name in enumerate(names) if name != UNNAMED), None)
    if first is None:
        return _EXAMPLE
    before = numbers[first - 1].end() if first else 0
    name = _NAME.search(line, before, numbers[first].start())
    pieces, end = [], name.start() if name else before
    for number, name_ in list(zip(numbers, names))[first:]:
        kind = ":duration" if number["duration"] else ""
        pieces += [_escaped(line[end : number.start()]), f"{{{name_}{kind}}}"]
        end = number.end()
    template = "".join(pieces)
    try:
        parse_template(template)
    except ValueError:
        return _EXAMPLE
    return template


def _escaped(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def _names(line: str, numbers: List[Match[str]]) -> List[str]:
    """A name for each number by the word before it; "_" where there is none or it is taken."""
    names: List[str] = []
    for name in _words(line, numbers):
        names.append(UNNAMED if name in names else name)
    if EPOCH in names and ITERATIONS in names:
        return names
    return [{ITERATION: STEP, ITERATIONS: UNNAMED}.get(name, name) for name in names]


def _words(line: str, numbers: List[Match[str]]) -> Iterator[str]:
    end, last = 0, UNNAMED
    for number in numbers:
        between = line[end : number.start()]
        word = _NAME.search(between)
        if between == "/" and last == ITERATION:
            last = ITERATIONS
        elif between == "/" or word is None:
            last = UNNAMED
        else:
            last = re.sub(r"\W", "_", word[1].lower())
            last = ITERATION if last in _STEPS else last
        yield last
        end = number.end()
