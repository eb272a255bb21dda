"""The flags of the programs that write a network for others; imports no TensorFlow."""

from __future__ import annotations

import argparse
import dataclasses
from typing import Tuple

from common.core.flags import Flags, count, flag, path

SAVED_MODEL, FROZEN, ONNX = FORMATS = ("saved_model", "frozen", "onnx")


def _formats(text: str) -> Tuple[str, ...]:
    names = tuple(text.split(","))
    unknown = [name for name in names if name not in FORMATS]
    if unknown:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(FORMATS)}")
    return names


@dataclasses.dataclass(frozen=True)
class ExportFlags(Flags):
    """What is written of which weights."""

    checkpoint: str = flag(
        "a run folder, a checkpoint in it, or packed weights (.npz)",
        kind=path,
        names=("--checkpoint_dir",),
        required=True,
    )
    output_path: str = flag("folder for the files", kind=path, required=True)
    formats: Tuple[str, ...] = flag(
        f"of {', '.join(FORMATS)} (default: all)", FORMATS, kind=_formats, metavar="NAME,…"
    )
    batch_size: int = flag("images at a time, fixed in the files", 1, kind=count)
