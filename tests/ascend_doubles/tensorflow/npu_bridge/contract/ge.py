"""GE: initialised once per process, with the first NPU session's options (1.5)."""

from __future__ import annotations

import os
from typing import Any, Dict, Iterable, Mapping

from npu_bridge.contract import cann, environment, rank_table
from npu_bridge.contract.failures import PluginAbort, error
from npu_bridge.contract.hub import HubError, Member
from npu_bridge.contract.keys import known_keys
from npu_bridge.contract.process import PROCESS

_CONNECT_SECONDS = (120, 7200)


def initialise(options: Mapping[str, Any], given: Iterable[str]) -> None:
    """Takes the init-scope options, opens the device, joins the ranks; later calls change nothing.

    Args:
        options: all of them; `given` are those that were set, and not left at their defaults.

    Raises:
        PluginAbort, InternalError: the environment or the rank table breaks a rule.
    """
    wanted = init_options(options)
    if PROCESS.options is not None:
        ignored = {
            name: wanted[name]
            for name in sorted(set(given) & set(wanted))
            if wanted[name] != PROCESS.options[name]
        }
        if ignored:
            PROCESS.ignored.append(ignored)
        return
    device = environment.device_id(options["session_device_id"])
    cluster = environment.read_cluster()
    PROCESS.options, PROCESS.device, PROCESS.way = wanted, device, cluster.way
    if cluster.way != "none":
        _check_connect_timeout()
        _join(cluster, device)


def init_options(options: Mapping[str, Any]) -> Dict[str, Any]:
    """The part of a session's options that GE takes once."""
    return {name: options[name] for name, key in known_keys().items() if key.init_scope}


def _check_connect_timeout() -> None:
    text = os.environ.get("HCCL_CONNECT_TIMEOUT", "120")
    low, high = _CONNECT_SECONDS
    if not text.isdigit() or not low <= int(text) <= high:
        raise error(f"HCCL: HCCL_CONNECT_TIMEOUT must be from {low} to {high}")


def _join(cluster: environment.Cluster, device: int) -> None:
    if cluster.way == "cm":
        job, size, said = cluster.chief, cluster.size, device
        serves = environment.is_chief(device)
    else:
        said, size = _place_in_table(cluster, device)
        job, serves = os.path.realpath(cluster.table), said == 0
    try:
        PROCESS.collective = Member(job, said, size, serves)
    except (HubError, OSError) as problem:
        raise error(f"HCCL: {problem}") from problem
    PROCESS.rank, PROCESS.size = PROCESS.collective.rank, size


def _place_in_table(cluster: environment.Cluster, device: int) -> Any:
    devices = rank_table.read_devices(cluster.table)
    if cluster.rank is None:
        raise error("HCCL: this process has no RANK_ID")
    if not 0 <= cluster.rank < len(devices):
        raise error(f"HCCL: RANK_ID {cluster.rank} is not in the rank table")
    if int(devices[cluster.rank]["device_id"]) != environment.physical_id(device):
        raise error(
            f"HCCL: device {environment.physical_id(device)} is not that of rank "
            f"{cluster.rank} in the rank table"
        )
    return cluster.rank, len(devices)


def require_runtime() -> None:
    """Raises PluginAbort where the runtime was closed already."""
    if PROCESS.closed:
        raise PluginAbort("the NPU runtime of this process is closed")


def compiled(session: int, fetches: Any, run: int) -> Dict[str, Any]:
    """Counts a compiled graph, and says so as the plugin does (1.12); returns its entry."""
    graph = {
        "id": len(PROCESS.graphs) + 1,
        "session": session,
        "fetches": fetches,
        "first": run,
        "last": run,
        "runs": 0,
    }
    PROCESS.graphs.append(graph)
    if cann.since(1, 7):
        PROCESS.log(
            "I",
            "[GEOP] The model has been compiled on the Ascend AI processor, current "
            "graph id is: {}".format(graph["id"]),
            "tf_adapter/kernels/geop_npu.cc:1",
        )
    return graph
