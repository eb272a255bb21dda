"""Explains a checkpoint's decisions: python -m protoattend_torch.explain --help."""

from __future__ import annotations

from common.core.command_line import run_program
from protoattend.options import EXPLAIN, main_after_flags
from protoattend_torch.options import parse_options

main = main_after_flags(EXPLAIN, parse_options, "protoattend_torch.evaluation", "run_explanation")

if __name__ == "__main__":
    run_program(main)
