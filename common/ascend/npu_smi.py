"""What npu-smi tells of the NPUs: which are broken, and on which somebody computes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Dict, Tuple

_DEVICE = re.compile(r"^\|\s*(\d+)\s+\S+\s*\|\s*([A-Za-z]+)\s*\|")
_CHIP = re.compile(r"^\|\s*(\d+)(?:\s+(\d+))?\s*\|\s*[0-9A-Fa-f]{4}:")
_PROCESS = re.compile(r"^\|\s*(\d+)\s+(\d+)\s*\|\s*(\d+)\s*\|\s*(\S+)\s*\|")


@dataclass(frozen=True)
class NpuProcess:
    """A process on a device."""

    device: int
    number: int
    name: str


@dataclass(frozen=True)
class NpuStates:
    """The table of `npu-smi info`: devices with their health, "OK" where all is well.

    Devices have the numbers that programs use: on A3 each die's Phy-ID.
    """

    health: Tuple[Tuple[int, str], ...] = ()
    processes: Tuple[NpuProcess, ...] = ()


def read_states(text: str) -> NpuStates:
    """The states in npu-smi's output; what has another form is passed over."""
    health, processes = [], []
    numbers: Dict[Tuple[int, int], int] = {}  # by card and chip
    card = None
    for line in text.splitlines():
        process, device, chip = _PROCESS.match(line), _DEVICE.match(line), _CHIP.match(line)
        if process:
            place = int(process.group(1)), int(process.group(2))
            number = numbers.get(place, place[0])
            processes.append(NpuProcess(number, int(process.group(3)), process.group(4)))
        elif device:
            card = int(device.group(1))
            health.append((card, device.group(2)))
        elif chip and card is not None and chip.group(2):
            number = numbers[card, int(chip.group(1))] = int(chip.group(2))
            health[-1] = (number, health[-1][1])
    return NpuStates(tuple(health), tuple(processes))
