"""A rank table of format 1.0 as data: servers, their devices, each device's rank."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Iterable, Mapping, Sequence, Tuple

from common.core.errors import ZooError

VERSION = "1.0"
COMPLETED = "completed"


@dataclass(frozen=True)
class Device:
    """One NPU of a server.

    Attributes:
        device_id: its physical number on the server.
        device_ip: the RoCE address of its network card, "" where the table has none.
        rank_id: the rank that runs on it, counted over all servers.
    """

    device_id: int
    device_ip: str
    rank_id: int


@dataclass(frozen=True)
class Server:
    """One machine: its name (the host's address or any unique name) and its devices."""

    server_id: str
    devices: Tuple[Device, ...]


@dataclass(frozen=True)
class RankTable:
    """Who runs where, for the whole job."""

    servers: Tuple[Server, ...]

    @property
    def world_size(self) -> int:
        """How many ranks the job has."""
        return sum(len(server.devices) for server in self.servers)


@dataclass(frozen=True)
class ServerAddresses:
    """What a machine says of itself: its name, and its devices' addresses by physical number."""

    server_id: str
    addresses: Mapping[int, str]


def numbered(servers: Sequence[ServerAddresses]) -> RankTable:
    """The table of these servers: ranks follow their order, then the devices' numbers.

    Raises:
        ZooError: two servers have the same name.
    """
    return _renumbered((server.server_id, sorted(server.addresses.items())) for server in servers)


def merged(tables: Sequence[RankTable]) -> RankTable:
    """One table of several: servers in the order given, ranks counted anew, in their old order.

    Raises:
        ZooError: two servers have the same name.
    """
    return _renumbered(
        (
            server.server_id,
            [
                (device.device_id, device.device_ip)
                for device in sorted(server.devices, key=lambda device: device.rank_id)
            ],
        )
        for table in tables
        for server in sorted(table.servers, key=_first_rank)
    )


def _first_rank(server: Server) -> int:
    return min(device.rank_id for device in server.devices)


def _renumbered(servers: Iterable[Tuple[str, Sequence[Tuple[int, str]]]]) -> RankTable:
    made: Tuple[Server, ...] = ()
    rank = 0
    for server_id, devices in servers:
        if server_id in [server.server_id for server in made]:
            raise ZooError(f"server {server_id} comes twice; name each server once")
        made += (
            Server(
                server_id,
                tuple(
                    Device(number, address, rank + index)
                    for index, (number, address) in enumerate(devices)
                ),
            ),
        )
        rank += len(devices)
    return RankTable(made)


def as_json(table: RankTable) -> str:
    """The file's text; HCCL wants every value as a string."""
    content = {
        "version": VERSION,
        "status": COMPLETED,
        "server_count": str(len(table.servers)),
        "server_list": [
            {
                "server_id": server.server_id,
                "device": [_device_json(device) for device in server.devices],
            }
            for server in table.servers
        ],
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _device_json(device: Device) -> Mapping[str, str]:
    address = {"device_ip": device.device_ip} if device.device_ip else {}
    return dict({"device_id": str(device.device_id)}, **address, rank_id=str(device.rank_id))


def of_json(content: Mapping[str, Any]) -> RankTable:
    """The table that a checked file's content describes."""
    return RankTable(
        tuple(
            Server(
                str(server["server_id"]),
                tuple(
                    Device(
                        int(device["device_id"]),
                        str(device.get("device_ip", "")),
                        int(device["rank_id"]),
                    )
                    for device in server["device"]
                ),
            )
            for server in content["server_list"]
        )
    )
