"""Writes a network with its candidates: python -m protoattend.export --help."""

from __future__ import annotations

import dataclasses

from common.core.command_line import run_program
from common.training.export_program import export_program
from common.training.flags import ExportFlags
from protoattend.options import CandidateFlags


@dataclasses.dataclass(frozen=True)
class ProtoExportFlags(CandidateFlags, ExportFlags):
    """What is written, with which candidates."""


main = export_program(
    "protoattend",
    "tensorflow",
    "SavedModel, frozen graph and ONNX",
    ProtoExportFlags,
    lambda flags: {"data_path": flags.data_path},
)

if __name__ == "__main__":
    run_program(main)
