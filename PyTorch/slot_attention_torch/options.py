"""The flags: those of slot_attention, which declares them, without those of TensorFlow's NPU."""

from __future__ import annotations

from typing import Optional, Sequence

from common.core.command_line import Parser
from slot_attention import options
from slot_attention.options import Main, SceneOptions, checked, program_of

PACKAGE = "slot_attention_torch"


def parser_of(entry_point: str) -> Parser:
    """The parser of an entry point by its module's name, for the launcher."""
    return program_of(PACKAGE, SceneOptions, *entry_point.split(".")[1:]).parser()


def parse_options(task: str, program: str, argv: Optional[Sequence[str]]) -> SceneOptions:
    """Reads the command line of `python -m slot_attention_torch.<task>.<program>`."""
    return checked(program_of(PACKAGE, SceneOptions, task, program).read(argv), program)


def entry_point(task: str, program: str) -> Main:
    """What `python -m slot_attention_torch.<task>.<program>` does: to its exit code."""
    return options.entry_point(task, program, PACKAGE, parse_options)
