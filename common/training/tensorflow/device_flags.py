"""The flags that say what a run computes on; imports no TensorFlow, as flags are read before it."""

from __future__ import annotations

import dataclasses
from typing import Optional

from common.core.flags import Flags, count, flag, unrecorded, whole
from common.machine.devices import REQUESTS


@dataclasses.dataclass(frozen=True)
class DeviceFlags(Flags):
    """What run_device.choose_run_device reads."""

    device: str = unrecorded(
        "what to compute on",
        "auto",
        kind=str.lower,
        choices=REQUESTS,
        names=("--chip", "--device_type"),
        group="device",
    )
    device_id: Optional[int] = unrecorded("which one", kind=whole)
    ranks: Optional[int] = unrecorded(
        "ranks of the job; checked against the launcher's, which starts them",
        kind=count,
        names=("--device_num",),
    )
    precision_mode: Optional[str] = flag("see docs/precision.md (default: by device)")
    loss_scale: Optional[str] = flag("a number, dynamic or none")
