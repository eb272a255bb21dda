"""How the environment's variables make a process one of several ranks (1.11, 2.3)."""

from __future__ import annotations

import dataclasses
import os
from typing import Mapping, Optional

from npu_bridge.contract import cann
from npu_bridge.contract.failures import PluginAbort
from npu_bridge.contract.process import PROCESS

CHIEF = ("CM_CHIEF_IP", "CM_CHIEF_PORT", "CM_CHIEF_DEVICE")
LARGEST_PORT, LARGEST_JOB = 65520, 32768


@dataclasses.dataclass(frozen=True)
class Cluster:
    """How ranks are found: "none", by a "table", or through a chief ("cm").

    rank is None where HCCL assigns it, and where the environment says nothing.
    """

    way: str
    rank: Optional[int] = None
    size: int = 1
    table: str = ""
    chief: str = ""


def read_cluster(environment: Mapping[str, str] = os.environ) -> Cluster:
    """Decides as the plugin does; what it only logs goes to PROCESS.messages."""
    if "JOB_ID" not in environment:
        PROCESS.log("W", "JOB_ID is not set")
    if "RANK_TABLE_FILE" in environment and "CM_CHIEF_IP" in environment:
        PROCESS.log("E", "RANK_TABLE_FILE and CM_CHIEF_IP are both set: neither is used")
        return Cluster("none")
    if _goes_by_table(environment):
        return _by_table(environment)
    if cann.since(1, 11) and _goes_by_chief(environment):
        return Cluster(
            "cm",
            size=_number(environment, "CM_WORKER_SIZE"),
            chief="{}:{}".format(environment["CM_CHIEF_IP"], _port(environment)),
        )
    return Cluster("none")


def _goes_by_table(environment: Mapping[str, str]) -> bool:
    # Without RANK_SIZE the plugin's own default holds: a table left over still switches HCCL on.
    return (
        bool(environment.get("RANK_TABLE_FILE"))
        and "CM_WORKER_SIZE" not in environment
        and ("RANK_SIZE" not in environment or _number(environment, "RANK_SIZE") > 0)
    )


def _by_table(environment: Mapping[str, str]) -> Cluster:
    rank = _number(environment, "RANK_ID") if environment.get("RANK_ID") else None
    if rank is None and not environment.get("POD_NAME"):
        PROCESS.log("E", "neither RANK_ID nor POD_NAME is set")
    return Cluster("table", rank=rank, table=environment["RANK_TABLE_FILE"])


def _goes_by_chief(environment: Mapping[str, str]) -> bool:
    if not all(environment.get(name) for name in CHIEF) or "RANK_SIZE" in environment:
        return False
    return 0 < _number(environment, "CM_WORKER_SIZE") <= LARGEST_JOB


def _port(environment: Mapping[str, str]) -> int:
    port = _number(environment, "CM_CHIEF_PORT")
    if not 0 <= port <= LARGEST_PORT:
        raise PluginAbort(f"CM_CHIEF_PORT must be from 0 to {LARGEST_PORT}")
    return port


def is_chief(device: int, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether this process, on this logical device, is the one that the others ask."""
    here = environment.get("CM_WORKER_IP") or environment["CM_CHIEF_IP"]
    return here == environment["CM_CHIEF_IP"] and device == _number(environment, "CM_CHIEF_DEVICE")


def device_id(session_device_id: Optional[int], environment: Mapping[str, str] = os.environ) -> int:
    """The logical device: the session's, ASCEND_DEVICE_ID, DEVICE_ID translated, else 0."""
    if session_device_id is not None:
        return session_device_id
    if environment.get("ASCEND_DEVICE_ID"):
        return _number(environment, "ASCEND_DEVICE_ID")
    if environment.get("DEVICE_ID"):
        physical = _number(environment, "DEVICE_ID")
        visible = _visible(environment)
        return visible.index(physical) if physical in visible else physical
    return 0


def physical_id(logical: int, environment: Mapping[str, str] = os.environ) -> int:
    """The number that rank tables call a logical device."""
    visible = _visible(environment)
    return visible[logical] if logical < len(visible) else logical


def _visible(environment: Mapping[str, str]) -> list:
    text = environment.get("ASCEND_RT_VISIBLE_DEVICES", "")
    return [int(part) for part in text.split(",") if part.strip()]


def _number(environment: Mapping[str, str], name: str) -> int:
    try:
        return int(environment.get(name) or "0")
    except ValueError:
        raise PluginAbort(f"{name} is {environment[name]!r}, not a number") from None
