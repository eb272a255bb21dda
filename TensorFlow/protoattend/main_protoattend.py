"""Trains: python3 main_protoattend.py --help."""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    FOLDER = Path(__file__).resolve().parent
    sys.path[:1] = [str(FOLDER.parent), str(FOLDER.parent.parent)]

    from common.core.command_line import run_program
    from protoattend.train import main

    run_program(main)
