"""What `zoo doctor` looks at on an Ascend server alone."""

from __future__ import annotations

import dataclasses
import re
import sys
from pathlib import Path
from typing import Dict, List, NamedTuple, Tuple

from common.ascend.environment import find_scripts, plugin_packages
from common.machine.devices import read_text, run_command
from common.machine.ports import is_free
from common.machine.surroundings import Surroundings

HCCL_PORTS = 32
HCCL_FIRST_PORT = 60000
USUAL_OPP = "usr/local/Ascend/ascend-toolkit/latest/opp"
# What a package of kernels (ops since CANN 8.5) brings, for its chip.
KERNELS = "built-in/op_impl/ai_core/tbe/kernel/config/*/binary_info_config.json"
_DEVICE = re.compile(r"^\|\s*(\d+)\s+\S+\s*\|\s*([A-Za-z]+)\s*\|")
_CHIP = re.compile(r"^\|\s*(\d+)(?:\s+(\d+))?\s*\|\s*[0-9A-Fa-f]{4}:")
_PROCESS = re.compile(r"^\|\s*(\d+)\s+(\d+)\s*\|\s*(\d+)\s*\|\s*(\S+)\s*\|")


def with_ascend(found: Surroundings, root: Path = Path("/")) -> Surroundings:
    """Adds what only a machine with CANN or NPUs is asked.

    Args:
        root: the folder that stands for / (tests give another).
    """
    environment = found.environment
    scripts = tuple(str(path) for path in find_scripts(environment, "pytorch", root))
    found = dataclasses.replace(found, cann_scripts=scripts)
    if not found.machine.npu_count:
        return found
    opp = Path(environment.get("ASCEND_OPP_PATH") or root / USUAL_OPP)
    # Where npu_bridge would be imported from, by this process or by a launcher's rank.
    folders = [*sys.path, plugin_packages(environment, root) or root / "none"]
    plugins = (Path(folder) / "npu_bridge" for folder in folders)
    base = environment.get("HCCL_IF_BASE_PORT", "")
    first = int(base) if base.isdigit() else HCCL_FIRST_PORT
    ports = range(first, min(first + HCCL_PORTS, 65536))
    return dataclasses.replace(
        found,
        npu_smi=run_command(["npu-smi", "info"]) or "",
        npu_kernels=any(opp.glob(KERNELS)),
        tf_plugin=next((str(folder) for folder in plugins if folder.is_dir()), ""),
        hccn=read_text(root / "etc/hccn.conf") or None,
        busy_hccl_ports=tuple(port for port in ports if not is_free(port)),
    )


class NpuProcess(NamedTuple):
    """A process on a device."""

    device: int
    number: int
    name: str


def read_states(npu_smi: str) -> Tuple[List[Tuple[int, str]], List[NpuProcess]]:
    """Each device's health, "OK" where all is well, and the processes, by `npu-smi info`.

    Devices have the numbers that programs use: on A3 each die's Phy-ID.
    """
    health: List[Tuple[int, str]] = []
    processes = []
    numbers: Dict[Tuple[int, int], int] = {}  # by card and chip
    card = None
    for line in npu_smi.splitlines():
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
    return health, processes
