"""Evaluates a checkpoint: python -m protoattend.evaluate --help."""

from __future__ import annotations

from common.core.command_line import run_program
from protoattend.options import EVALUATE, main_after_flags, parse_options

main = main_after_flags(EVALUATE, parse_options, "protoattend.evaluation", "run")

if __name__ == "__main__":
    run_program(main)
