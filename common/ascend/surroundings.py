"""What `zoo doctor` looks at on an Ascend server alone."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any, Dict, Mapping, Tuple

from common.ascend.environment import find_scripts, plugin_packages
from common.machine.devices import read_text, run_command
from common.machine.ports import is_free
from common.machine.surroundings import Surroundings

HCCL_PORTS = 32
HCCL_FIRST_PORT = 60000
USUAL_OPP = "usr/local/Ascend/ascend-toolkit/latest/opp"
# What a package of kernels (ops since CANN 8.5) brings, for its chip.
KERNELS = "built-in/op_impl/ai_core/tbe/kernel/config/*/binary_info_config.json"


def with_ascend(found: Surroundings, root: Path = Path("/")) -> Surroundings:
    """Adds what only a machine with CANN or NPUs is asked.

    Args:
        root: the folder that stands for / (tests give another).
    """
    environment = found.environment
    scripts = tuple(str(path) for path in find_scripts(environment, "pytorch", root))
    found = dataclasses.replace(found, cann_scripts=scripts)
    return (
        dataclasses.replace(found, **_of_server(root, environment))
        if found.machine.npu_count
        else found
    )


def _of_server(root: Path, environment: Mapping[str, str]) -> Dict[str, Any]:
    opp = Path(environment.get("ASCEND_OPP_PATH") or root / USUAL_OPP)
    return {
        "npu_smi": run_command(["npu-smi", "info"]) or "",
        "npu_kernels": any(opp.glob(KERNELS)),
        "tf_plugin": _plugin_folder(root, environment),
        "hccn": read_text(root / "etc/hccn.conf") or None,
        "busy_hccl_ports": _busy_ports(environment),
    }


def _plugin_folder(root: Path, environment: Mapping[str, str]) -> str:
    """Where npu_bridge would be imported from, by this process or by a launcher's rank."""
    folders = [*sys.path, plugin_packages(environment, root) or root / "none"]
    found = (Path(folder) / "npu_bridge" for folder in folders)
    return next((str(folder) for folder in found if folder.is_dir()), "")


def _busy_ports(environment: Mapping[str, str]) -> Tuple[int, ...]:
    text = environment.get("HCCL_IF_BASE_PORT", "")
    first = int(text) if text.isdigit() else HCCL_FIRST_PORT
    return tuple(port for port in range(first, min(first + HCCL_PORTS, 65536)) if not is_free(port))
