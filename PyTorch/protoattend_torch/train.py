"""Trains: python -m protoattend_torch.train --help."""

from __future__ import annotations

from common.core.command_line import run_program
from protoattend.platform_folders import training_main
from protoattend_torch.options import parse_options

main = training_main(parse_options, "protoattend_torch.training")

if __name__ == "__main__":
    run_program(main)
