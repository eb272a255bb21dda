"""Trains object discovery: python -m slot_attention.object_discovery.train --help."""

from common.core.command_line import run_program
from slot_attention.options import entry_point

main = entry_point("object_discovery", "train")

if __name__ == "__main__":
    run_program(main)
