"""The commands that the documents show, and what kind each is."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Iterator, List

CHECKOUT = Path(__file__).resolve().parent.parent
DOCUMENTS = ["README*.md", "docs/*.md", "PyTorch/*/README*.md", "TensorFlow/*/README*.md"]
_COMMAND = re.compile(
    r"^ {4}((?:zoo|bash|torchrun|tar|grep|python[0-9.]*|scripts/\w+|[A-Z_]+=\S+)"
    r"(?=[ ./]).*)$"
)
_COMMENT = re.compile(r"\s+#\s.*$")

RUN, DRY_RUN, BY_FLAGS, ELSEWHERE = "run", "dry run", "by its flags", "needs a network or a GPU"
_LAUNCHES = re.compile(r"^(zoo launch|scripts/launch|bash \S+/test/\w+\.sh)\b")
_PLAIN = ("zoo list", "zoo data list", "zoo table --check", "zoo doctor")
_PROGRAMS = re.compile(r"^(zoo|bash scripts/\w+\.sh|scripts/\w+\.sh|torchrun|python3?) ")


@dataclass(frozen=True)
class Command:
    """A command in a document, with the folder that it is to be typed in."""

    text: str
    folder: Path

    @property
    def kind(self) -> str:
        """How it is tested."""
        if self.text in _PLAIN:
            return RUN
        if _LAUNCHES.match(self.text):
            return DRY_RUN
        return BY_FLAGS if _PROGRAMS.match(self.text) else ELSEWHERE

    @property
    def words(self) -> List[str]:
        """As a shell would part it."""
        return shlex.split(self.text)

    @property
    def flags(self) -> List[str]:
        """Its flags by name."""
        return [word.split("=")[0] for word in self.words if word.startswith("--")]


def documented_commands() -> List[Command]:
    """Every command once, whatever the language of the document that shows it."""
    found: Dict[str, Command] = {}
    for pattern in DOCUMENTS:
        for path in sorted(CHECKOUT.glob(pattern)):
            for text in commands_of(path.read_text(encoding="utf-8")):
                found.setdefault(text, Command(text, path.parent))
    return list(found.values())


def commands_of(document: str) -> Iterator[str]:
    """The commands in a document's indented blocks, their continuation lines joined."""
    lines = iter(document.split("\n"))
    for line in lines:
        found = _COMMAND.match(line)
        if found is None:
            continue
        text = found.group(1).rstrip()
        while text.endswith("\\"):
            text = text[:-1].rstrip() + " " + next(lines).strip()
        yield " ".join(_COMMENT.sub("", text).split())
