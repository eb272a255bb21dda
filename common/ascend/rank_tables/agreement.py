"""Whether a rank table is this machine's, and this job's."""

from __future__ import annotations

from typing import Mapping, Optional, Sequence, Tuple

from common.ascend.rank_tables.checking import TableFinding
from common.ascend.rank_tables.table import RankTable, Server
from common.core.findings import FAIL, OK, WARN


def check_addresses(
    table: RankTable, addresses: Mapping[int, str], source: str, file: str
) -> TableFinding:
    """Whether one of the table's servers has the addresses of this machine's hccn.conf.

    Args:
        addresses: by physical device number; source: the file they are from.
        file: the table's.
    """
    if not any(device.device_ip for server in table.servers for device in server.devices):
        return TableFinding(
            WARN,
            "hccn",
            file,
            "",
            "it has no addresses, so nothing tells whether it is this machine's",
            f"zoo ranktable make --hccn {source} writes them",
        )
    wrong = {server.server_id: _foreign(server, addresses) for server in table.servers}
    for name, numbers in wrong.items():
        if not numbers:
            return TableFinding(
                OK, "hccn", file, "", f"server {name} has the addresses of {source}"
            )
    closest = min(table.servers, key=lambda server: len(wrong[server.server_id]))
    number = wrong[closest.server_id][0]
    return TableFinding(
        FAIL,
        "hccn",
        file,
        f"server {closest.server_id}, device {number}",
        "no server has the addresses of {}: device {} is {} there".format(
            source, number, addresses.get(number, "missing")
        ),
        f"make the table on its own machines: zoo ranktable make --hccn {source}",
    )


def _foreign(server: Server, addresses: Mapping[int, str]) -> Sequence[int]:
    """The server's devices whose address is another one, or missing, on this machine."""
    return [
        device.device_id
        for device in server.devices
        if device.device_ip and addresses.get(device.device_id) != device.device_ip
    ]


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
        return "this machine's ranks are on {} there".format(" and ".join(hosts))
    for rank, device in ranks:
        if places[rank][1] != device:
            return (
                f"it has rank {rank} on device {places[rank][1]}, and the launch on device {device}"
            )
    return None
