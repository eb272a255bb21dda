"""Each Chinese document has what its English one has: headings, table rows, commands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Dict, List

import pytest

ROOT = Path(__file__).resolve().parents[1]
TRANSLATED = sorted(
    path.relative_to(ROOT).as_posix()
    for path in [
        *ROOT.glob("*.zh-CN.md"),
        *ROOT.glob("docs/*.zh-CN.md"),
        *ROOT.glob("*/*/*.zh-CN.md"),
    ]
)
# What readers of the original, Chinese pages look for first.
CHINESE_ALONE = r"(?s)<!-- 仅中文版：.*?<!-- 仅中文版结束 -->"
KINDS: Dict[str, str] = {"headings": r"^#+ ", "table rows": r"^\|", "lines of commands": r"^    \S"}


def lines(path: str, kind: str) -> List[str]:
    text = re.sub(CHINESE_ALONE, "", (ROOT / path).read_text(encoding="utf-8"))
    return [line for line in text.splitlines() if re.match(KINDS[kind], line)]


def test_there_are_translations() -> None:
    assert "README.zh-CN.md" in TRANSLATED and len(TRANSLATED) >= 5


@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize("path", TRANSLATED)
def test_a_translation_leaves_nothing_out(path: str, kind: str) -> None:
    english = lines(path.replace(".zh-CN", ""), kind)
    assert len(lines(path, kind)) == len(english)


@pytest.mark.parametrize("path", TRANSLATED)
def test_commands_are_the_same_in_both_languages(path: str) -> None:
    """Up to what a shell takes for a comment, and the language of links."""

    def commands(name: str) -> List[str]:
        return [
            line.split("  #")[0].split(" # ")[0].rstrip()
            for line in lines(name, "lines of commands")
        ]

    assert commands(path) == commands(path.replace(".zh-CN", ""))
