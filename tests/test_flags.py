"""Flags declared once: reading, other names, defaults, what is recorded, help."""

from __future__ import annotations

import dataclasses
import os
from typing import Any, Optional, Tuple

import pytest

from common.core.command_line import number_in
from common.core.errors import UsageError
from common.core.flags import LATER, Flags, Program, count, flag, path, unrecorded


@dataclasses.dataclass(frozen=True)
class Options(Flags):
    task: str = "learning"
    data_path: Optional[str] = unrecorded("data", kind=path, names=("--data_url",), group="data")
    batch_size: int = flag("per device", 64, kind=count, names=("--train_batch_size",))
    rate: Optional[float] = flag("the rate", kind=number_in(float, 0, 1))
    kind: str = flag("one of two", "a", choices=("a", "b"))
    resume: bool = unrecorded("go on", False, only=("train",))
    strides: Tuple[int, ...] = flag("later", (1, 2), kind=lambda text: (int(text),), recorded=LATER)
    shown: bool = unrecorded("the profile", False, called="profiling", only=("eval",))


TRAIN = Program("net.train", Options, ("train",), {"batch_size": 32})


@pytest.mark.parametrize(
    "words, field, value",
    [
        ([], "batch_size", 32),
        (["--batch_size=8"], "batch_size", 8),
        (["--batch-size", "8"], "batch_size", 8),
        (["--train-batch-size=8"], "batch_size", 8),
        (["--batch_size=8", "--train_batch_size=08"], "batch_size", 8),
        (["--batch_size=8", "--batch_size=9"], "batch_size", 9),
        (["--rate=1e-1"], "rate", 0.1),
        (["--resume"], "resume", True),
        (["--resume=True"], "resume", True),
        (["--resume", "false"], "resume", False),
        (["--resume", "--kind", "b"], "kind", "b"),
        (["--data_path=/a=b"], "data_path", "/a=b"),
        (["--data_url", "~/x"], "data_path", os.path.expanduser("~/x")),
        (["--strides=3"], "strides", (3,)),
        ([], "task", "learning"),
    ],
)
def test_a_flag_is_read_as_its_field_says(words: Any, field: str, value: Any) -> None:
    assert getattr(TRAIN.read(words), field) == value


@pytest.mark.parametrize(
    "words, told",
    [
        (["--batch_size=0"], "--batch_size.*expected at least 1, not 0"),
        (["--batch_size=x"], "--batch_size.*expected a whole number, not 'x'"),
        (["--rate=2"], "--rate: expected at least 0 and at most 1"),
        (["--kind=c"], "--kind: invalid choice: 'c'"),
        (["--resume=maybe"], "--resume: expected true or false, not 'maybe'"),
        (["--data_path="], "--data_path.*not an empty text"),
        (["--batch_size=8", "--train_batch_size=9"], "=8 and --train_batch_size=9 contradict"),
        (["--bach-size=8"], "unrecognized arguments: --bach-size=8; did you mean --batch_size?"),
        (["--rat=1"], "unrecognized arguments: --rat=1; did you mean --rate?"),
        (["--profiling"], "unrecognized arguments: --profiling"),
        (["--zzz"], "unrecognized arguments: --zzz; see net.train --help"),
        (["stray"], "unrecognized arguments: stray"),
    ],
)
def test_a_wrong_word_is_a_usage_error_that_names_it(words: Any, told: str) -> None:
    with pytest.raises(UsageError, match=told) as caught:
        TRAIN.read(words)
    assert caught.value.exit_code == 64


def test_a_program_knows_its_own_flags_and_the_others_have_their_defaults() -> None:
    evaluation = Program("net.eval", Options, ("eval",))
    assert evaluation.read(["--profiling"]).shown and not evaluation.read([]).resume
    with pytest.raises(UsageError, match="--resume"):
        evaluation.read(["--resume"])


def test_what_decides_the_result_is_recorded_and_later_flags_where_they_say_something() -> None:
    plain = {"task": "learning", "batch_size": 64, "rate": None, "kind": "a"}
    assert Options(data_path="/d", resume=True, debug=True).config() == plain
    assert Options(strides=(2, 2)).config() == dict(plain, strides=[2, 2])


def test_help_tells_each_default_once() -> None:
    text = " ".join(TRAIN.parser().format_help().split())
    assert text.count("(default: 32)") == 1 and "SUPPRESS" not in text
    assert "--batch_size N, --train_batch_size N" in text


def test_a_required_flag_is_asked_for_and_help_begins_with_what_the_program_does() -> None:
    @dataclasses.dataclass(frozen=True)
    class More(Flags):
        folder: str = flag("where to", kind=path, names=("--dir",), required=True)

    program = Program("net.write", More, description="Writes it.")
    assert program.read(["--dir=x"]).folder == "x"
    with pytest.raises(UsageError, match="required: --folder/--dir"):
        program.read([])
    assert "Writes it." in program.parser().format_help()


def test_a_recorded_path_is_recorded_without_the_folders_of_this_machine() -> None:
    @dataclasses.dataclass(frozen=True)
    class More(Flags):
        other: Optional[str] = flag("another set", kind=path)

    assert More(other="/disk/user/sets/").config() == {"other": "sets"}
    assert More().config() == {"other": None}
