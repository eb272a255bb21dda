"""Trains: python -m protoattend.train --help."""

from __future__ import annotations

from typing import Optional, Sequence

from common.core.command_line import run_program
from protoattend.options import TRAIN, parse_options


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Trains; returns the exit code."""
    options = parse_options(TRAIN, argv)
    # After the flags: TensorFlow takes seconds to import, a wrong flag should not.
    from protoattend.training import run_training

    return run_training(options)


if __name__ == "__main__":
    run_program(main)
