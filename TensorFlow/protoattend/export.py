"""Writes a network with its candidates for other programs: python -m protoattend.export --help."""

from __future__ import annotations

import dataclasses
from typing import Optional, Sequence

from common.core.command_line import run_program
from common.core.flags import Program, flag, path
from common.training.flags import ExportFlags


@dataclasses.dataclass(frozen=True)
class ProtoExportFlags(ExportFlags):
    """What is written, with which candidates."""

    data_path: Optional[str] = flag(
        "the run's data, out of which candidates are taken (default: those kept with the zoo)",
        kind=path,
    )


PROGRAM = Program(
    "protoattend.export",
    ProtoExportFlags,
    description="Writes a network with its candidates as SavedModel, frozen graph and ONNX.",
)


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Writes the files and tells of each; returns the exit code."""
    flags = PROGRAM.read(argv)
    # After the flags: TensorFlow takes seconds to import, a wrong flag should not.
    from common.training.stored_weights import find_weights
    from common.training.tensorflow.exporting import export_as_asked
    from protoattend.trained import TrainedNetwork, candidates_of_run, kept_candidates

    found = find_weights(flags.checkpoint)
    candidates = candidates_of_run(found, flags.data_path) if flags.data_path else kept_candidates()
    return export_as_asked(TrainedNetwork(found, candidates, flags.batch_size), flags)


if __name__ == "__main__":
    run_program(main)
