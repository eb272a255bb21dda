"""Writes a network with its candidates: python -m protoattend_torch.export --help."""

from __future__ import annotations

import dataclasses

from common.core.command_line import run_program
from common.training.export_program import export_program
from common.training.flags import TorchExportFlags
from protoattend.options import CandidateFlags


@dataclasses.dataclass(frozen=True)
class ProtoExportFlags(CandidateFlags, TorchExportFlags):
    """What is written, with which candidates."""


main = export_program(
    "protoattend_torch",
    "torch",
    "ONNX and TorchScript",
    ProtoExportFlags,
    lambda flags: {"data_path": flags.data_path},
)

if __name__ == "__main__":
    run_program(main)
