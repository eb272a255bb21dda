"""Trains: python -m protoattend.train --help."""

from __future__ import annotations

from common.core.command_line import run_program
from protoattend.options import parse_options
from protoattend.platform_folders import training_main

main = training_main(parse_options, "protoattend.training")

if __name__ == "__main__":
    run_program(main)
