"""Trains set prediction: python -m slot_attention.set_prediction.train --help."""

from common.core.command_line import run_program
from slot_attention.options import entry_point

main = entry_point("set_prediction", "train")

if __name__ == "__main__":
    run_program(main)
