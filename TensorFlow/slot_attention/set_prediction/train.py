"""Trains set prediction: python -m slot_attention.set_prediction.train --help."""

from __future__ import annotations

from typing import Optional, Sequence

from common.core.command_line import run_program
from slot_attention.options import SET_PREDICTION, parse_options


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Trains; returns the exit code."""
    options = parse_options(SET_PREDICTION, "train", argv)
    # After the flags: TensorFlow takes seconds to import, a wrong flag should not.
    from slot_attention.set_prediction.task import TASK
    from slot_attention.training import run_training

    return run_training(options, TASK)


if __name__ == "__main__":
    run_program(main)
