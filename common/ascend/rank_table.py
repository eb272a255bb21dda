"""HCCL's rank tables of format 1.0, and of 1.2 for A3: their form, made and merged."""

from __future__ import annotations

import itertools
from typing import Dict, List, Optional, Sequence, Tuple

import attrs

from common.ascend.hccn import ServerAddresses
from common.core.codec import filled, json_text
from common.core.errors import ZooError

CHIP_910A, CHIP_A2, CHIP_A3, CHIP_UNKNOWN = "910A", "A2", "A3", "unknown"
CHIPS = (CHIP_910A, CHIP_A2, CHIP_A3, CHIP_UNKNOWN)
VERSION, VERSION_OF_A3 = "1.0", "1.2"


# --- a table, in the file's own form: HCCL wants every value as a text ---


@attrs.frozen
class Device:
    """One NPU: its physical number on its server (of a die, on A3), its rank, its card's address.

    super_device_id is its number within the super pod of an A3, device_port that of a process which
    shares the device; "" is what the table hasn't.
    """

    ignores_other_keys = True
    device_id: str
    rank_id: str
    device_ip: str = ""
    super_device_id: str = ""
    device_port: str = ""


@attrs.frozen
class Server:
    """One machine and its devices."""

    ignores_other_keys = True
    server_id: str
    device: Tuple[Device, ...] = attrs.field(validator=filled)


@attrs.frozen
class ServerName:
    """A machine as an A3's super pod has it."""

    ignores_other_keys = True
    server_id: str


@attrs.frozen
class SuperPod:
    """The servers of an A3's super pod."""

    ignores_other_keys = True
    super_pod_id: str = attrs.field(validator=filled)
    server_list: Tuple[ServerName, ...]


@attrs.frozen
class RankTable:
    """Who runs where, for the whole job."""

    ignores_other_keys = True
    version: str
    status: str
    server_count: str
    server_list: Tuple[Server, ...] = attrs.field(validator=filled)
    super_pod_list: Tuple[SuperPod, ...] = ()

    @property
    def world_size(self) -> int:
        """How many ranks the job has."""
        return sum(len(server.device) for server in self.server_list)

    def as_json(self) -> str:
        """The file's text."""
        return json_text(attrs.asdict(self, filter=lambda _, value: value not in ("", ())))


def numbered(given: Sequence[ServerAddresses]) -> RankTable:
    """The table of these servers: ranks follow their order, then the devices' numbers.

    Raises:
        ZooError: two servers have the same name.
    """
    servers, pods, rank = [], [], itertools.count()
    for one in given:
        devices = tuple(
            Device(str(number), str(next(rank)), address, one.super_devices.get(number, ""))
            for number, address in sorted(one.addresses.items())
        )
        servers.append(Server(one.server_id, devices))
        pods += [SuperPod(one.super_pod, (ServerName(one.server_id),))] if one.super_pod else []
    return _table(servers, pods)


def merged(tables: Sequence[RankTable]) -> RankTable:
    """One table of several, the ranks of each counted on from those of the one before.

    Raises:
        ZooError: two servers have the same name.
    """
    servers: List[Server] = []
    pods: List[SuperPod] = []
    size = 0
    for table in tables:
        for server in table.server_list:
            devices = (
                attrs.evolve(one, rank_id=str(size + int(one.rank_id))) for one in server.device
            )
            servers.append(Server(server.server_id, tuple(devices)))
        pods += table.super_pod_list
        size += table.world_size
    return _table(servers, pods)


def _table(servers: Sequence[Server], pods: Sequence[SuperPod]) -> RankTable:
    """Raises ZooError where two servers have the same name."""
    names = [server.server_id for server in servers]
    for name in names:
        if names.count(name) > 1:
            raise ZooError(f"server {name} comes twice; name each server once")
    whole: Dict[str, Tuple[ServerName, ...]] = {}
    for pod in pods:
        whole[pod.super_pod_id] = whole.get(pod.super_pod_id, ()) + pod.server_list
    return RankTable(
        VERSION_OF_A3 if pods else VERSION,
        "completed",
        str(len(servers)),
        tuple(servers),
        tuple(SuperPod(name, members) for name, members in whole.items()),
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
        int(device.rank_id): (server.server_id, int(device.device_id))
        for server in table.server_list
        for device in server.device
    }
    hosts = sorted({places[rank][0] for rank, _ in ranks})
    if len(hosts) > 1:
        return f"this machine's ranks are on {' and '.join(hosts)} there"
    for rank, device in ranks:
        if places[rank][1] != device:
            there = f"it has rank {rank} on device {places[rank][1]}"
            return f"{there}, and the launch on device {device}"
    return None
