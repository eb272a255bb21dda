"""Evaluates set prediction: python -m slot_attention.set_prediction.eval --help."""

from __future__ import annotations

from typing import Optional, Sequence

from common.core.command_line import run_program
from slot_attention.options import SET_PREDICTION, parse_options


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Evaluates a checkpoint; returns the exit code."""
    options = parse_options(SET_PREDICTION, "eval", argv)
    # After the flags: TensorFlow takes seconds to import, a wrong flag should not.
    from slot_attention.evaluation import run_evaluation
    from slot_attention.set_prediction.task import TASK

    return run_evaluation(options, TASK)


if __name__ == "__main__":
    run_program(main)
