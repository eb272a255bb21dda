"""The program that exports a network, of either framework: python -m <package>.export."""

from __future__ import annotations

import importlib
from typing import Any, Callable, Mapping, Optional, Sequence, Type

from common.core.flags import Program
from common.training.flags import ExportFlags, TorchExportFlags

Main = Callable[[Optional[Sequence[str]]], int]


def export_program(
    package: str,
    framework: str,
    formats: str,
    flags_type: Optional[Type[ExportFlags]] = None,
    more: Callable[[Any], Mapping[str, Any]] = lambda flags: {},
) -> Main:
    """Its main, which exports <package>.trained.TrainedNetwork.

    Args:
        framework: "torch" or "tensorflow". formats: in words.
        flags_type: where the network has flags of its own. more: what they give it by name.
    """
    program: Program[ExportFlags] = Program(
        f"{package}.export",
        flags_type or (TorchExportFlags if framework == "torch" else ExportFlags),
        description=f"Writes a network as {formats}, held to the original.",
    )

    def main(argv: Optional[Sequence[str]] = None) -> int:
        flags = program.read(argv)
        # After the flags: a framework takes seconds to import, a wrong flag should not.
        exporting = importlib.import_module(f"common.training.{framework}.exporting")
        trained = importlib.import_module(f"{package}.trained")
        network = trained.TrainedNetwork(flags.checkpoint, flags.batch_size, **more(flags))
        code: int = exporting.export_as_asked(network, flags)
        return code

    return main
