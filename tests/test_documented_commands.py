"""Every command in the documents: run, run dry, or held to the flags that its program knows."""

from __future__ import annotations

import functools
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Tuple

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent
DOCUMENTS = ["README*.md", "docs/*.md", "PyTorch/*/README*.md", "TensorFlow/*/README*.md"]
_COMMAND = re.compile(
    r"^ {4}((?:zoo|bash|torchrun|tar|grep|python[0-9.]*|scripts/\w+|[A-Z_]+=\S+)(?=[ ./]).*)$"
)
RUN, DRY_RUN, BY_FLAGS, ELSEWHERE = "run", "dry run", "by its flags", "needs a network or a GPU"
_PLAIN = ("zoo list", "zoo data list", "zoo table --check", "zoo doctor")
_LAUNCHES = re.compile(r"^(zoo launch|scripts/launch|bash \S+/test/\w+\.sh)\b")
_PROGRAMS = re.compile(r"^(zoo|bash scripts/\w+\.sh|scripts/\w+\.sh|torchrun|python3?) ")
ZOO = (sys.executable, "-m", "common")


class Command(NamedTuple):
    """A command in a document, and the folder that it is to be typed in."""

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
        yield " ".join(re.sub(r"\s+#\s.*$", "", text).split())


def documented_commands() -> List[Command]:
    """Every command once, whatever the language of the document that shows it."""
    found: Dict[str, Command] = {}
    for path in [path for pattern in DOCUMENTS for path in sorted(CHECKOUT.glob(pattern))]:
        for text in commands_of(path.read_text(encoding="utf-8")):
            found.setdefault(text, Command(text, path.parent))
    return list(found.values())


COMMANDS = documented_commands()


def of_kind(kind: str):
    chosen = [command for command in COMMANDS if command.kind == kind]
    return pytest.mark.parametrize("command", chosen, ids=[command.text for command in chosen])


@functools.lru_cache(maxsize=None)
def output_of(words: Tuple[str, ...], folder: Path = CHECKOUT) -> str:
    """What a command that must succeed prints, with this Python in the place of any other."""
    paths = ":".join(str(CHECKOUT / name) for name in ("", "PyTorch", "TensorFlow"))
    own = {"PYTHONPATH": paths, "ZOO_PYTHON": sys.executable, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        words,
        cwd=str(folder),
        env=dict(os.environ, **own),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def in_place(word: str, folder: Path) -> str:
    """A word with the places that documents make up turned into ones that are there."""
    name, sign, value = word.rpartition("=")
    place = folder / value.strip("/")
    if value == "best.pt":
        place.write_text("")
    elif value.startswith("/data") or value == "out":
        place.mkdir(parents=True, exist_ok=True)
    else:
        return word
    return f"{name}{sign}{place}"


def test_commands_of_every_kind_are_found_with_their_continuations() -> None:
    text = "Say `zoo list`.\n\n    zoo data list     # told\n    zoo x --a=1 \\\n        --b 2\n"
    assert list(commands_of(text + "    no\n")) == ["zoo data list", "zoo x --a=1 --b 2"]
    assert {command.kind for command in COMMANDS} == {RUN, DRY_RUN, BY_FLAGS, ELSEWHERE}


@of_kind(RUN)
def test_a_command_that_needs_nothing_runs(command: Command) -> None:
    output_of((*ZOO, *command.words[1:]))


@of_kind(DRY_RUN)
def test_a_launch_is_planned_as_written(command: Command, tmp_path: Path) -> None:
    first, *words = [in_place(word, tmp_path) for word in command.words]
    program = {"zoo": ZOO, "scripts/launch": (str(CHECKOUT / first),)}.get(first, (first,))
    left_out = ("--resume", "--seeds", "--device", "cpu")
    words = [word for word in words if not word.startswith(left_out)]
    output_of((*program, *words, "--dry_run", "--device=npu"))


@of_kind(BY_FLAGS)
def test_a_program_knows_the_flags_that_are_shown(command: Command) -> None:
    words, folder = command.words, CHECKOUT
    if words[0] == "scripts/prepare_data.sh":  # hands its words on
        program = (*ZOO, "data", "prepare")
    elif "synthetic_scenes" in words:  # drawn by a program of the network's
        program = (sys.executable, "-m", "slot_attention.synthetic.prepare", "synthetic_scenes")
    elif words[0] == "zoo":
        names = [word for word in words[1:3] if not word.startswith("-")]
        program = (*ZOO, *(names if names[0] in ("data", "ranktable") else names[:1]))
    elif words[0] == "torchrun":
        program = (sys.executable, *words[words.index("-m") :][:2])
    elif words[0].startswith("python"):
        length = 4 if words[1:3] == ["-m", "pip"] else 3 if words[1] == "-m" else 2
        program = (sys.executable, *words[1:length])
        # Programs without a package are typed in the network's folder.
        folder = CHECKOUT if words[1] == "-m" else command.folder
    else:
        program = ("bash", words[1] if words[0] == "bash" else words[0])
    known = re.split(r"[\s=,\]]+", output_of((*program, "--help"), folder))
    flags = {word.split("=")[0] for word in words if word.startswith("--")}
    assert flags - {"--help", "--nproc_per_node"} <= set(known)


@of_kind(ELSEWHERE)
def test_what_can_not_be_run_here_names_files_that_are_there(command: Command) -> None:
    named = [word for word in command.words if word.startswith(("ci/", "scripts/"))]
    assert not [word for word in named if not (CHECKOUT / word).exists()]
