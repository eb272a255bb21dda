"""Rank tables and their sources as tests need them: whole ones, then broken in one place."""

from __future__ import annotations

import copy
import json
from typing import Any, Dict, List, Sequence

TOOL_ANSWER = "ipaddr:{}\nnetmask:255.255.255.0\n"


def address(device: int, network: int = 168) -> str:
    """As generated tables have them: devices 0-3 and 4-7 on the same four networks."""
    return f"192.{network}.{100 + device % 4}.{100 + device // 4}"


def hccn_conf(devices: Sequence[int] = range(8), network: int = 168) -> str:
    """An /etc/hccn.conf with these devices."""
    return "".join(
        f"address_{device}={address(device, network)}\nnetmask_{device}=255.255.255.0\n"
        for device in devices
    )


def server(
    name: str, devices: Sequence[int], first_rank: int = 0, network: int = 168
) -> Dict[str, Any]:
    """An entry of server_list."""
    return {
        "server_id": name,
        "device": [
            {
                "device_id": str(device),
                "device_ip": address(device, network),
                "rank_id": str(first_rank + index),
            }
            for index, device in enumerate(devices)
        ],
    }


def table_of(servers: List[Dict[str, Any]]) -> Dict[str, Any]:
    """A table of format 1.0."""
    return {
        "version": "1.0",
        "status": "completed",
        "server_count": str(len(servers)),
        "server_list": servers,
    }


def one_server(devices: Sequence[int] = range(8)) -> Dict[str, Any]:
    """The table of one server, by default of all its devices."""
    return table_of([server("10.0.0.1", devices)])


def two_servers(
    first: Sequence[int] = range(8), second: Sequence[int] = range(8)
) -> Dict[str, Any]:
    """The table of two servers."""
    return table_of(
        [server("10.0.0.1", first), server("10.0.0.2", second, first_rank=len(first), network=169)]
    )


def changed(table: Dict[str, Any], path: Sequence[Any], value: Any) -> Dict[str, Any]:
    """A copy with another value at a path of keys and indices."""
    copied = copy.deepcopy(table)
    place = copied
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return copied


def without(table: Dict[str, Any], path: Sequence[Any]) -> Dict[str, Any]:
    """A copy that lacks the key at a path."""
    copied = copy.deepcopy(table)
    place = copied
    for step in path[:-1]:
        place = place[step]
    del place[path[-1]]
    return copied


def text_of(table: Any) -> str:
    """The file's text."""
    return json.dumps(table)
