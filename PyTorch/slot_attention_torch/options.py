"""The flags: those of slot_attention, which declares them, without those of TensorFlow's NPU."""

from __future__ import annotations

from typing import Callable, Optional, Sequence

from common.core.command_line import Parser
from slot_attention.options import EVAL, TRAIN, SceneOptions, checked, program_of

PACKAGE = "slot_attention_torch"


def parser_of(entry_point: str) -> Parser:
    """The parser of an entry point by its module's name, for the launcher."""
    return program_of(PACKAGE, SceneOptions, *entry_point.split(".")[1:]).parser()


def parse_options(task: str, program: str, argv: Optional[Sequence[str]]) -> SceneOptions:
    """Reads the command line of `python -m slot_attention_torch.<task>.<program>`."""
    return checked(program_of(PACKAGE, SceneOptions, task, program).read(argv), program)


def entry_point(task: str, program: str) -> Callable[[Optional[Sequence[str]]], int]:
    """What `python -m slot_attention_torch.<task>.<program>` does: to its exit code."""

    def main(argv: Optional[Sequence[str]] = None) -> int:
        options = parse_options(task, program, argv)
        # After the flags: torch takes seconds to import, a wrong flag should not.
        from slot_attention_torch import training

        return {TRAIN: training.run_training, EVAL: training.run_evaluation}[program](options)

    return main
