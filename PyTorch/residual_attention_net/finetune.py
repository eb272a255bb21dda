"""Trains on from given weights: python -m residual_attention_net.finetune --help."""

from __future__ import annotations

from typing import Optional, Sequence

from common.core.command_line import run_program
from residual_attention_net.network.reference_weights import LoadReport
from residual_attention_net.options import parse_options
from residual_attention_net.session import Session
from residual_attention_net.train import train
from residual_attention_net.weights import load_weights


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Fine-tunes --pth_path on a dataset; returns the exit code."""
    return train(parse_options("finetune", argv), _load_all_but_another_head)


def _load_all_but_another_head(session: Session) -> LoadReport:
    """A head for another number of classes starts anew; everything else is loaded."""
    return load_weights(session.network, str(session.options.pth_path), other_classes=True)


if __name__ == "__main__":
    run_program(main)
