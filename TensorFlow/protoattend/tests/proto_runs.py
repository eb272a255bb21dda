"""Small runs of the entry points for tests: drawn shapes, the small encoder."""

from __future__ import annotations

from pathlib import Path
from typing import List

from tests.processes import CHECKOUT as ROOT
from tests.processes import events

__all__ = ["ROOT", "events"]
COMMON = ["--device=cpu", "--dataset=synthetic_shapes", "--img_size=12", "--eval_cand_size=40"]
COMMON += ["--evaluation_batch_size=16"]
TRAINING = ["--encoder=small", "--batch_size=8", "--example_cand_size=16", "--display_step=2"]
TRAINING += ["--pictures_every=0", "--val_step=0", "--save_step=0"]


def flags(folder: Path, steps: int, *more: str) -> List[str]:
    """The command line of a small training."""
    return [*COMMON, *TRAINING, f"--output_path={folder}", f"--num_steps={steps}", *more]
