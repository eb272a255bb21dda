"""Text for people: values in one short line, tables in columns, durations; version numbers."""

from __future__ import annotations

import re
import unicodedata
from itertools import zip_longest
from typing import Any, Iterable, Sequence, Tuple


def shortened(text: str, limit: int = 60) -> str:
    """A text in one line of at most `limit` characters, all of which any terminal can take."""
    line = " ".join(str(text)[: 4 * limit].split())
    line = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in line)
    return line if len(line) <= limit else line[: limit - 1] + "…"


def quoted(value: Any, limit: int = 60) -> str:
    """A value of a file as an error names it: 'a text', 3, true, nothing, a list, a mapping."""
    if value is None or isinstance(value, bool):
        return {None: "nothing", True: "true", False: "false"}[value]
    if isinstance(value, (list, tuple)):
        return "a list"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, str):
        return shortened(repr(value[: 2 * limit]), limit)
    return shortened(repr(value), limit)


def listed(names: Iterable[object], limit: int = 120) -> str:
    """Names with commas between, shortened; "none" where there are none."""
    return shortened(", ".join(str(name) for name in names), limit) or "none"


def aligned(rows: Sequence[Sequence[object]], right: Sequence[int] = ()) -> str:
    """Rows as lines whose columns stand below each other.

    Args:
        rows: cells of any kind, shown by str(); a short row ends early.
        right: the columns that are aligned to the right.
    """
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(map(width, column)) for column in zip_longest(*cells, fillvalue="")]
    lines = []
    for row in cells:
        blanks = [" " * (widths[at] - width(cell)) for at, cell in enumerate(row)]
        padded = [b + c if at in right else c + b for at, (c, b) in enumerate(zip(row, blanks))]
        lines.append("  ".join(padded).rstrip())
    return "\n".join(lines)


def width(text: str) -> int:
    """The columns a terminal needs: wide characters, of a Chinese path for example, take two."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def duration(seconds: float) -> str:
    """Whole seconds as people read them: 45 s, 3:05, 2:03:04, 1 day 2:03:04 (h:mm:ss)."""
    if not 0 <= seconds < 1e15:  # NaN too
        return "unknown"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if not (days or hours or minutes):
        return f"{rest} s"
    clock = f"{hours}:{minutes:02d}:{rest:02d}" if days or hours else f"{minutes}:{rest:02d}"
    return f"{days} day{'s' if days > 1 else ''} {clock}" if days else clock


def version_numbers(text: str) -> Tuple[int, ...]:
    """The leading numbers of a version: "1.8.1+cpu" -> (1, 8, 1); () of one without any."""
    match = re.match(r"\d+(?:\.\d+)*", text.strip().lstrip("vV"))
    return tuple(int(part) for part in match.group().split(".")) if match else ()
