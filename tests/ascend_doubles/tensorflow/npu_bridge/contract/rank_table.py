"""Reads a rank table of version 1.0 as HCCL does (2.1)."""

from __future__ import annotations

import json
from typing import Any, Dict, List

from npu_bridge.contract import cann
from npu_bridge.contract.failures import error


def read_devices(path: str) -> List[Dict[str, str]]:
    """The table's devices in the order of their ranks.

    Raises:
        InternalError: the table breaks a rule.
    """
    try:
        with open(path, encoding="utf-8") as file:
            table = json.load(file)
    except (OSError, ValueError) as problem:
        raise error(f"HCCL: rank table {path}: {problem}") from problem
    _require(isinstance(table, dict) and table.get("version") in ("1.0", "1.2"), "its version")
    _require(table.get("status") == "completed", "its status is not completed")
    servers = table.get("server_list", [])
    _require(table.get("server_count") == str(len(servers)), "server_count")
    for server in servers:
        _check_server(server, len(servers))
    devices = [device for server in servers for device in server["device"]]
    devices.sort(key=lambda device: int(device["rank_id"]))
    _require(
        [int(device["rank_id"]) for device in devices] == list(range(len(devices))),
        "rank_id must count from 0",
    )
    return devices


def _check_server(server: Any, servers: int) -> None:
    _require(0 < len(str(server.get("server_id", ""))) < 64, "server_id")
    devices = server["device"]
    for device in devices:
        _require(all(isinstance(value, str) for value in device.values()), "values are strings")
        _require({"device_id", "rank_id"} <= set(device), "device_id and rank_id")
        _require(servers == 1 or "device_ip" in device, "device_ip")
    if cann.is_first_generation():
        _check_topology([int(device["device_id"]) for device in devices])


def _check_topology(devices: List[int]) -> None:
    _require(
        len(set(devices)) == len(devices) and len(devices) in (1, 2, 4, 8),
        "a server uses 1, 2, 4 or 8 devices",
    )
    _require(
        len(devices) in (1, 8) or len({device // 4 for device in devices}) == 1,
        "2 or 4 devices lie in one half of a server",
    )


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise error(f"HCCL: rank table: {what}")
