"""Explains a checkpoint's decisions: python -m protoattend.explain --help."""

from __future__ import annotations

from typing import Optional, Sequence

from common.core.command_line import run_program
from protoattend.options import EXPLAIN, parse_options


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Explains; returns the exit code."""
    options = parse_options(EXPLAIN, argv)
    # After the flags: TensorFlow takes seconds to import, a wrong flag should not.
    from protoattend.evaluation import run_explanation

    return run_explanation(options)


if __name__ == "__main__":
    run_program(main)
