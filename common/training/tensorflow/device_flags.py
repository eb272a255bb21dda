"""The flags that say what a run computes on; imports no TensorFlow, as flags are read before it."""

from __future__ import annotations

import argparse
from typing import Any, Optional, Type

from common.core.command_line import number_in


def add_device_flags(
    group: Any, other_name: Optional[str] = None, action: Optional[Type[argparse.Action]] = None
) -> None:
    """Adds the flags that run_device.choose_run_device reads.

    Args:
        other_name: of --device.
        action: of --device, where it has two names.
    """
    names = ["--device"] if other_name is None else ["--device", other_name]
    group.add_argument(
        *names,
        dest="device",
        action=action or "store",
        default="auto",
        choices=("auto", "npu", "gpu", "cpu"),
        help="what to compute on",
    )
    group.add_argument("--device_id", type=number_in(int, 0), help="which one")
    group.add_argument(
        "--ranks",
        type=number_in(int, 1),
        help="ranks of the job; checked against the launcher's, which starts them",
    )
    group.add_argument("--precision_mode", help="see docs/precision.md (default: by device)")
    group.add_argument("--loss_scale", help="a number, dynamic or none")
