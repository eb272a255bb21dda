"""Trains on from given weights: python -m residual_attention_net.finetune --help."""

from __future__ import annotations

from typing import Optional, Sequence

from common.core.command_line import run_program
from residual_attention_net import train


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Fine-tunes --pth_path on a dataset; returns the exit code.

    A head for another number of classes starts anew; everything else is loaded.
    """
    return train.main(argv, "finetune")


if __name__ == "__main__":
    run_program(main)
