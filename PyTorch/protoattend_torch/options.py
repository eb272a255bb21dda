"""The flags of training, evaluation and explanation: the TensorFlow network's, but its NPU's."""

from __future__ import annotations

import dataclasses
from typing import Optional, Sequence

from common.core.command_line import Parser
from common.training.flags import OffFlags
from protoattend.options import RunOptions, program_of, read_options


@dataclasses.dataclass(frozen=True)
class Options(RunOptions, OffFlags):
    """What a run was asked to do; see protoattend.options."""


def parser_of(entry_point: str) -> Parser:
    """The parser of an entry point by its module's name, for the launcher."""
    return program_of(entry_point, Options).parser()


def parse_options(program: str, argv: Optional[Sequence[str]]) -> Options:
    """Reads the command line of `python -m protoattend_torch.<program>`."""
    return read_options(program_of(f"protoattend_torch.{program}", Options), argv)
