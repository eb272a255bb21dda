"""The flags of the programs that write a TensorFlow network for others."""

from __future__ import annotations

import argparse
from typing import Tuple

from common.core.command_line import number_in
from common.core.flags import path

SAVED_MODEL, FROZEN, ONNX = FORMATS = ("saved_model", "frozen", "onnx")


def add_export_flags(parser: argparse.ArgumentParser) -> None:
    """Adds --checkpoint, --output_path, --formats and --batch_size."""
    parser.add_argument(
        "--checkpoint",
        "--checkpoint_dir",
        type=path,
        required=True,
        help="a run folder, a checkpoint in it, or packed weights (.npz)",
    )
    parser.add_argument("--output_path", type=path, required=True, help="folder for the files")
    parser.add_argument(
        "--formats",
        type=_formats,
        default=FORMATS,
        metavar="NAME,…",
        help=f"of {', '.join(FORMATS)} (default: all)",
    )
    parser.add_argument(
        "--batch_size",
        type=number_in(int, 1),
        default=1,
        help="images at a time, fixed in the files",
    )


def _formats(text: str) -> Tuple[str, ...]:
    names = tuple(text.split(","))
    unknown = [name for name in names if name not in FORMATS]
    if unknown:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(FORMATS)}")
    return names
