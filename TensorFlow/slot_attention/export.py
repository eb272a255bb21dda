"""Writes a network for other programs: python -m slot_attention.export --help."""

from __future__ import annotations

from pathlib import Path
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
    from common.training.tensorflow.exporting import export
    from slot_attention.trained import TrainedNetwork

    network = TrainedNetwork(flags.checkpoint, flags.batch_size)
    for line in export(network.session, network.exported(), Path(flags.output_path), flags.formats):
        print(line, flush=True)
    return 0


if __name__ == "__main__":
    run_program(main)
