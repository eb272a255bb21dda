"""Evaluates a checkpoint: python -m protoattend.evaluate --help."""

from __future__ import annotations

from typing import Optional, Sequence

from common.core.command_line import run_program
from protoattend.options import EVALUATE, parse_options


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Evaluates; returns the exit code."""
    options = parse_options(EVALUATE, argv)
    # After the flags: TensorFlow takes seconds to import, a wrong flag should not.
    from protoattend.evaluation import run

    return run(options)


if __name__ == "__main__":
    run_program(main)
