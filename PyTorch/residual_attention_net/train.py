"""Trains a Residual Attention Network: python -m residual_attention_net.train --help."""

from __future__ import annotations

from typing import Optional, Sequence

from common.core.command_line import run_program
from residual_attention_net.data.datasets import dataset_of
from residual_attention_net.options import parse_options, with_network


def main(argv: Optional[Sequence[str]] = None, program: str = "train") -> int:
    """Trains, or with --is_train=false evaluates; returns the exit code."""
    options = parse_options(program, argv)
    if not options.is_train:
        from residual_attention_net.evaluate import evaluate_weights

        return evaluate_weights(options)
    options = with_network(options)
    splits = dataset_of(options)
    # After flags and data: torch takes seconds to import, a wrong flag should not.
    from residual_attention_net.training import train

    return train(options, splits, other_classes=program == "finetune")


if __name__ == "__main__":
    run_program(main)
