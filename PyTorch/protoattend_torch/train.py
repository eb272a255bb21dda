"""Trains: python -m protoattend_torch.train --help."""

from __future__ import annotations

from typing import Optional, Sequence

from common.core.command_line import run_program
from protoattend.data.batches import check_images_suffice
from protoattend.data.datasets import dataset_of
from protoattend.options import TRAIN
from protoattend.platform_folders import on_platform
from protoattend_torch.options import parse_options


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Trains; returns the exit code."""
    with on_platform(parse_options(TRAIN, argv)) as options:
        dataset = dataset_of(options)
        check_images_suffice(options, dataset.train)
        # After flags and data: torch takes seconds to import, a wrong flag should not.
        from protoattend_torch.training import run_training

        return run_training(options, dataset)


if __name__ == "__main__":
    run_program(main)
