"""For a log in no known format: some of its lines, and a format to begin from."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Dict, List

from common.cards.log_format import EPOCH, ITERATION, ITERATIONS, STEP, UNNAMED, parse_template

_LOOKED_AT, _LONGEST = 20000, 160  # lines, characters of one
_NUMBER = re.compile(
    r"(?P<duration>(?:\d+ days?, )?\d+:\d\d:\d\d(?:\.\d+)?)|(?<![\w.])[-+]?\d+(?:\.\d+)?"
    r"(?:[eE][-+]?\d+)?(?![\w.]*\w)"
)
_NAME = re.compile(r"([A-Za-z_]\w*)[^\w]{0,4}$")
_STEPS = {"step", "iter", "iters", "iteration", "it", "batch", "global_step", "steps"}
_EXAMPLE = "Step: {step}, Loss: {loss}"


def suggestion_for(text: bytes) -> str:
    """Three lines of the commonest kind with numbers in it, and a format that is made of one."""
    kinds: Dict[str, List[str]] = defaultdict(list)
    lines = [line for line in text.decode("utf-8", "replace").split("\n")[:_LOOKED_AT] if line]
    for line in lines:
        if len(line) <= 4 * _LONGEST and _NUMBER.search(line):
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
    """The line with its numbers as fields, from the first one on that a word names."""
    pieces: List[str] = []
    names: List[str] = []
    end = 0
    for number in _NUMBER.finditer(line):
        between = line[end : number.start()]
        end = number.end()
        word = _NAME.search(between)
        name = UNNAMED
        if between == "/" and names and names[-1] == ITERATION:
            name = ITERATIONS
        elif between != "/" and word is not None:
            name = re.sub(r"\W", "_", word[1].lower())
            name = ITERATION if name in _STEPS else name
        names.append(UNNAMED if name in names else name)
        if not pieces and word is not None:
            between = between[word.start() :]
        if pieces or name != UNNAMED:
            kind = ":duration" if number["duration"] else ""
            pieces.append(between.replace("{", "{{").replace("}", "}}"))
            pieces.append(f"{{{names[-1]}{kind}}}")
    template = "".join(pieces)
    if not {EPOCH, ITERATIONS} <= set(names):
        template = template.replace(f"{{{ITERATION}}}", f"{{{STEP}}}")
        template = template.replace(f"{{{ITERATIONS}}}", f"{{{UNNAMED}}}")
    try:
        parse_template(template)
    except ValueError:
        return _EXAMPLE
    return template
