"""One rank's side of a run: its flags, and its device, which is closed at the end."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Optional, TypeVar

from common.ascend.flags import Parameters, npu_parameters
from common.machine.precision import Precision
from common.machine.ranks import Place
from common.training.devices import RunDevice
from common.training.tensorflow import runtime as tf_runtime

Own = TypeVar("Own", bound="Session")


def open_chosen(
    chosen: RunDevice,
    options: Any,
    folder: Optional[str],
    asked: Parameters,
    profile: bool = False,
) -> tf_runtime.TensorFlowDevice:
    """Opens the device that runtime.choose_run_device found.

    Args:
        options: with the flags of an NPU. folder: of the run.
        asked: the network's own wishes of an NPU. profile: whether it is to be profiled.
    """
    kind, place, precision = chosen
    wanted = npu_parameters(options, precision, Path(folder or "."), place, asked, profile)
    return tf_runtime.open_device(kind, place, precision, wanted)


@dataclasses.dataclass(frozen=True)
class Session:
    """What a run computes on; a `with` closes it at the end."""

    options: Any
    device: Any
    precision: Precision

    @property
    def place(self) -> Place:
        """Which rank this is."""
        place: Place = self.device.place
        return place

    def say(self, line: str) -> None:
        """Tells the user, once and not per rank."""
        if self.place.rank == 0:
            print(line, flush=True)

    def __enter__(self: Own) -> Own:
        return self

    def __exit__(self, *error: Any) -> None:
        tf_runtime.close_device(self.device)
