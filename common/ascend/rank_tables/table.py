"""A rank table of format 1.0 as data: servers, their devices, each device's rank."""

from __future__ import annotations

from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple

import attrs

from common.core.codec import json_text
from common.core.errors import ZooError

VERSION = "1.0"
COMPLETED = "completed"


@attrs.frozen
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


@attrs.frozen
class Server:
    """One machine: its name (the host's address or any unique name) and its devices."""

    server_id: str
    devices: Tuple[Device, ...]


@attrs.frozen
class RankTable:
    """Who runs where, for the whole job."""

    servers: Tuple[Server, ...]

    @property
    def world_size(self) -> int:
        """How many ranks the job has."""
        return sum(len(server.devices) for server in self.servers)


@attrs.frozen
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
    by_rank = [
        (server.server_id, sorted(server.devices, key=lambda device: device.rank_id))
        for table in tables
        for server in sorted(table.servers, key=lambda server: min(map(_rank, server.devices)))
    ]
    return _renumbered(
        (name, [(device.device_id, device.device_ip) for device in devices])
        for name, devices in by_rank
    )


def _rank(device: Device) -> int:
    return device.rank_id


def _renumbered(servers: Iterable[Tuple[str, Sequence[Tuple[int, str]]]]) -> RankTable:
    made: Dict[str, Server] = {}
    rank = 0
    for name, devices in servers:
        if name in made:
            raise ZooError(f"server {name} comes twice; name each server once")
        own = (Device(*device, rank + index) for index, device in enumerate(devices))
        made[name] = Server(name, tuple(own))
        rank += len(devices)
    return RankTable(tuple(made.values()))


def as_json(table: RankTable) -> str:
    """The file's text; HCCL wants every value as a string."""
    servers: List[Dict[str, Any]] = []
    for server in table.servers:
        devices = []
        for device in server.devices:
            content = {
                "device_id": str(device.device_id),
                "device_ip": device.device_ip,
                "rank_id": str(device.rank_id),
            }
            devices.append({name: value for name, value in content.items() if value})
        servers.append({"server_id": server.server_id, "device": devices})
    count = str(len(servers))
    return json_text(
        {"version": VERSION, "status": COMPLETED, "server_count": count, "server_list": servers}
    )


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


def disagreement(
    table: RankTable, world_size: int, ranks: Sequence[Tuple[int, int]]
) -> Optional[str]:
    """What speaks against running these ranks of a job with this table, None where nothing does.

    A rank's number has to be the rank_id of the device it runs on.

    Args:
        ranks: this machine's: each rank's number with its device's physical number.
    """
    if table.world_size != world_size:
        return f"it has {table.world_size} ranks, and the job {world_size}"
    places = {
        device.rank_id: (server.server_id, device.device_id)
        for server in table.servers
        for device in server.devices
    }
    hosts = sorted({places[rank][0] for rank, _ in ranks})
    if len(hosts) > 1:
        return f"this machine's ranks are on {' and '.join(hosts)} there"
    for rank, device in ranks:
        if places[rank][1] != device:
            there = f"it has rank {rank} on device {places[rank][1]}"
            return f"{there}, and the launch on device {device}"
    return None
