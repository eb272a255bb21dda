"""What docs/troubleshooting.md quotes in its left column is what the programs print."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Iterator, List, Optional

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent
DOCUMENT = CHECKOUT / "docs" / "troubleshooting.md"
PROGRAMS = ("common", "PyTorch", "TensorFlow")
SOMETHING = "…"
_QUOTE = re.compile(r"`([^`]+)`")
_FIELD = re.compile(r"{[^{}]*}|%[sdr]")
_ROW = re.compile(r"\| (.+?) \|")


def quoted_messages(document: str) -> List[str]:
    """What stands between backticks in the left column of the tables."""
    left = [row.group(1) for row in map(_ROW.match, document.splitlines()) if row]
    return [text for cell in left for text in _QUOTE.findall(cell)]


def printed_texts(source: str) -> Iterator[str]:
    """The texts of a program, without its docstrings, with … for what is filled in."""
    tree = ast.parse(source)
    told = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    parts = {
        id(part)
        for node in ast.walk(tree)
        if isinstance(node, ast.JoinedStr)
        for part in node.values
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(_constant(part) or SOMETHING for part in node.values)
        elif id(node) not in told | parts:
            text = _constant(node)
            if text:
                yield _FIELD.sub(SOMETHING, text)


def _constant(node: ast.AST) -> Optional[str]:
    """A literal text (ast.Str in Python 3.7, ast.Constant from 3.8 on)."""
    value = getattr(node, "s" if type(node).__name__ == "Str" else "value", None)
    return value if isinstance(value, str) else None


@pytest.fixture(scope="module")
def printed() -> str:
    """All that the programs may print, a text a line."""
    files = [
        path
        for folder in PROGRAMS
        for path in sorted((CHECKOUT / folder).rglob("*.py"))
        if "tests" not in path.relative_to(CHECKOUT).parts
    ]
    return "\n".join(
        text for path in files for text in printed_texts(path.read_text(encoding="utf-8"))
    )


MESSAGES = quoted_messages(DOCUMENT.read_text(encoding="utf-8"))


@pytest.mark.parametrize("message", MESSAGES)
def test_a_quoted_message_is_printed_in_these_words(message: str, printed: str) -> None:
    assert message in printed


def test_the_messages_are_found() -> None:
    assert len(MESSAGES) > 20
    assert quoted_messages("| `a …`, of `b` | `c` | d |\n`e`") == ["a …", "b"]


def test_texts_are_found_with_what_is_filled_in() -> None:
    source = (
        "'''Told.'''\ndef f(x):\n    '''Told too.'''\n"
        "    print('a {} b'\n          ' {!r:>3}'.format(x))\n    print(f'{x}: c', '%s d')\n"
    )
    assert sorted(printed_texts(source)) == ["a … b …", "… d", "…: c"]
