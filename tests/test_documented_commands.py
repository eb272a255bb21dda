"""Every command in the documents: run, run dry, or held to the flags that its program knows."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import List

import pytest

from tests.documented_commands import (
    BY_FLAGS,
    CHECKOUT,
    DRY_RUN,
    ELSEWHERE,
    RUN,
    Command,
    commands_of,
    documented_commands,
)

COMMANDS = documented_commands()
PROGRAM_OF_TORCHRUN = "-m"


def of_kind(kind: str):
    chosen = [command for command in COMMANDS if command.kind == kind]
    return pytest.mark.parametrize("command", chosen, ids=[command.text for command in chosen])


def run(words: List[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs words in a folder with this Python in the place of any other."""
    paths = ":".join(str(CHECKOUT / name) for name in ("", "PyTorch", "TensorFlow"))
    environment = dict(
        os.environ, PYTHONPATH=paths, ZOO_PYTHON=sys.executable, TF_CPP_MIN_LOG_LEVEL="3"
    )
    return subprocess.run(
        words,
        cwd=str(folder),
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
    )


def in_place(word: str, folder: Path) -> str:
    """A word with the places that documents make up turned into ones that are there."""
    name, sign, value = word.partition("=")
    if not sign:
        name, value = "", word
    if value.startswith("/data") or value in ("out", "best.pt"):
        place = folder / value.strip("/")
        if value == "best.pt":
            place.write_text("")
        else:
            place.mkdir(parents=True, exist_ok=True)
        value = str(place)
    return name + sign + value


def test_commands_are_found_in_blocks_with_their_continuations() -> None:
    text = (
        "Say `zoo list`.\n\n    zoo data list     # told\n    zoo x --a=1 \\\n        --b 2\n"
        "    no\n"
    )
    assert list(commands_of(text)) == ["zoo data list", "zoo x --a=1 --b 2"]


def test_there_are_commands_of_every_kind() -> None:
    assert {command.kind for command in COMMANDS} == {RUN, DRY_RUN, BY_FLAGS, ELSEWHERE}


@of_kind(RUN)
def test_a_command_that_needs_nothing_runs(command: Command) -> None:
    done = run([sys.executable, "-m", "common"] + command.words[1:], CHECKOUT)
    assert done.returncode == 0, done.stdout


@of_kind(DRY_RUN)
def test_a_launch_is_planned_as_written(command: Command, tmp_path: Path) -> None:
    words = [in_place(word, tmp_path) for word in command.words]
    words = (
        [sys.executable, "-m", "common"] + words[1:]
        if words[0] == "zoo"
        else [str(CHECKOUT / words[0])] + words[1:]
        if words[0] == "scripts/launch"
        else words
    )
    words = [
        word
        for word in words
        if not word.startswith(("--resume", "--seeds", "--device")) and word != "cpu"
    ]
    done = run(words + ["--dry_run", "--device=npu"], CHECKOUT)
    assert done.returncode == 0, done.stdout


@of_kind(BY_FLAGS)
def test_a_program_knows_the_flags_that_are_shown(command: Command) -> None:
    done = run(_help_of(command), _folder_of(command))
    assert done.returncode == 0, done.stdout
    known = done.stdout.replace("=", " ").replace(",", " ").replace("]", " ").split()
    assert not [flag for flag in _own_flags(command) if flag not in known]


@of_kind(ELSEWHERE)
def test_what_can_not_be_run_here_names_files_that_are_there(command: Command) -> None:
    named = [word for word in command.words if word.startswith(("ci/", "scripts/"))]
    assert not [word for word in named if not (CHECKOUT / word).exists()]


def _help_of(command: Command) -> List[str]:
    words = command.words
    if words[0] == "scripts/prepare_data.sh":  # hands its words on
        return [sys.executable, "-m", "common", "data", "prepare", "--help"]
    if "synthetic_scenes" in words:  # drawn by a program of the network's
        return [
            sys.executable,
            "-m",
            "slot_attention.synthetic.prepare",
            "synthetic_scenes",
            "--help",
        ]
    if words[0] == "zoo":
        before = [word for word in words[1:3] if not word.startswith("-")]
        names = before if before[0] in ("data", "ranktable") else before[:1]
        return [sys.executable, "-m", "common"] + names + ["--help"]
    if words[0] == "torchrun":
        return [sys.executable] + words[words.index(PROGRAM_OF_TORCHRUN) :][:2] + ["--help"]
    if words[0].startswith("python"):
        length = 4 if words[1:3] == ["-m", "pip"] else 3 if words[1] == "-m" else 2
        return [sys.executable] + words[1:length] + ["--help"]
    return ["bash", words[1] if words[0] == "bash" else words[0], "--help"]


def _folder_of(command: Command) -> Path:
    """Programs without a package are typed in the network's folder."""
    in_model = command.words[0].startswith("python") and command.words[1] != "-m"
    return command.folder if in_model else CHECKOUT


def _own_flags(command: Command) -> List[str]:
    return [flag for flag in command.flags if flag not in ("--help", "--nproc_per_node")]
