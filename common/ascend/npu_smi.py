"""What npu-smi tells of the NPUs: which are broken, and on which somebody computes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Tuple

_DEVICE = re.compile(r"^\|\s*(\d+)\s+\S+\s*\|\s*([A-Za-z]+)\s*\|")
_PROCESS = re.compile(r"^\|\s*(\d+)\s+\d+\s*\|\s*(\d+)\s*\|\s*(\S+)\s*\|")


@dataclass(frozen=True)
class NpuProcess:
    """A process on a device."""

    device: int
    number: int
    name: str


@dataclass(frozen=True)
class NpuStates:
    """The table of `npu-smi info`: devices with their health, "OK" where all is well."""

    health: Tuple[Tuple[int, str], ...] = ()
    processes: Tuple[NpuProcess, ...] = ()


def read_states(text: str) -> NpuStates:
    """The states in npu-smi's output; what has another form is passed over."""
    health, processes = [], []
    for line in text.splitlines():
        process, device = _PROCESS.match(line), _DEVICE.match(line)
        if process:
            processes.append(
                NpuProcess(int(process.group(1)), int(process.group(2)), process.group(3))
            )
        elif device:
            health.append((int(device.group(1)), device.group(2)))
    return NpuStates(tuple(health), tuple(processes))
