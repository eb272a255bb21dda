"""Writes a network for other programs: python -m slot_attention.export --help."""

from __future__ import annotations

from typing import Optional, Sequence

from common.core.command_line import run_program
from common.core.flags import Program
from common.training.flags import ExportFlags

PROGRAM = Program(
    "slot_attention.export",
    ExportFlags,
    description="Writes a network as SavedModel, frozen graph and ONNX, held to the original.",
)


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Writes the files and tells of each; returns the exit code."""
    flags = PROGRAM.read(argv)
    # After the flags: TensorFlow takes seconds to import, a wrong flag should not.
    from common.training.tensorflow.exporting import export_as_asked
    from slot_attention.trained import TrainedNetwork

    return export_as_asked(TrainedNetwork(flags.checkpoint, flags.batch_size), flags)


if __name__ == "__main__":
    run_program(main)
