"""Which rank this process is: from the environment, or from the original flags."""

from __future__ import annotations

import dataclasses
import re
from typing import Dict, Mapping, Optional

from common.core.errors import UsageError

_FIRST_PORT, _PORTS = 15000, 10000  # of ranks that srun starts
CHIEF_NAMES = ("CM_CHIEF_IP", "CM_WORKER_SIZE", "CM_CHIEF_PORT", "CM_CHIEF_DEVICE")
# The rank that zoo launch has in mind, where HCCL numbers those of several machines.
LAUNCHED_RANK = "ZOO_LAUNCHED_RANK"
# Each launcher's names for rank, world size and local rank; a more special one comes first.
_HOROVOD_NAMES = (
    ("HOROVOD_RANK", "HOROVOD_SIZE", "HOROVOD_LOCAL_RANK"),
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"),
)


@dataclasses.dataclass(frozen=True)
class Place:
    """This process among all: rank of world_size, local_rank on this machine.

    numbered_by_hccl: `rank` is not known before HCCL has been asked (a start without rank table).
    """

    rank: int
    world_size: int
    local_rank: int
    numbered_by_hccl: bool = False


ALONE = Place(0, 1, 0)


def under_slurm(environment: Mapping[str, str]) -> Dict[str, str]:
    """What torchrun would set for a task of srun; nothing where another launcher has set it.

    The ranks meet on the first machine of the step, at a port that follows from the job's number.
    """
    size = environment.get("SLURM_STEP_NUM_TASKS") or environment.get("SLURM_NTASKS", "")
    if "RANK" in environment or "SLURM_PROCID" not in environment or size in ("", "1"):
        return {}
    nodes = environment.get("SLURM_STEP_NODELIST") or environment.get("SLURM_NODELIST", "")
    found = {
        "RANK": environment["SLURM_PROCID"],
        "WORLD_SIZE": size,
        "LOCAL_RANK": environment.get("SLURM_LOCALID", "0"),
        "MASTER_ADDR": _first_node(nodes),
        "MASTER_PORT": str(_FIRST_PORT + int("0" + environment.get("SLURM_JOB_ID", "")) % _PORTS),
    }
    per_node = environment.get("SLURM_STEP_TASKS_PER_NODE", "")
    if re.fullmatch(r"\d+(\(x\d+\))?", per_node):
        found["LOCAL_WORLD_SIZE"] = per_node.partition("(")[0]
    return {name: value for name, value in found.items() if name not in environment}


def _first_node(nodes: str) -> str:
    """The first of "host[03-05,9],other", as Slurm writes lists of machines."""
    found = re.match(r"([^\[,]*)(?:\[([^\]\-,]*)[^\]]*\]([^,]*))?", nodes)
    return "".join(part or "" for part in found.groups()) if found and nodes else "127.0.0.1"


def find_place(environment: Mapping[str, str], device_id: int, device_num: int) -> Place:
    """Reads RANK, WORLD_SIZE, LOCAL_RANK as every launcher sets them.

    Without them a job of several devices is one process each, rank = --device_id, as the original
    scripts start it.

    Raises:
        UsageError: the numbers contradict, or are no numbers.
    """
    if "RANK" not in environment or "WORLD_SIZE" not in environment:
        if device_id >= device_num > 1:
            raise UsageError(f"--device_id {device_id} is not below --device_num {device_num}")
        return Place(device_id if device_num > 1 else 0, device_num, device_id)
    size = _number(environment, "WORLD_SIZE")
    if device_num not in (1, size):
        raise UsageError(f"--device_num is {device_num}, but WORLD_SIZE is {size}")
    return _place(environment, "RANK", "WORLD_SIZE", "LOCAL_RANK", device_id)


def find_tensorflow_place(
    environment: Mapping[str, str], device_kind: str, device_id: Optional[int] = None
) -> Place:
    """Reads who this process is among TensorFlow's ranks.

    On GPU and CPU: horovodrun's or mpirun's variables, else RANK, WORLD_SIZE, LOCAL_RANK. On an
    NPU: RANK_ID and RANK_SIZE, or CM_WORKER_SIZE where HCCL numbers the ranks itself.

    Args:
        device_id: the device's number where the environment does not say it; None means 0.

    Raises:
        UsageError: the numbers contradict, or are no numbers.
    """
    if device_kind == "npu":
        return _hccl_place(environment, device_id)
    for rank, size, local in (*_HOROVOD_NAMES, ("RANK", "WORLD_SIZE", "LOCAL_RANK")):
        if rank in environment and size in environment:
            return _place(environment, rank, size, local, device_id or 0)
    return Place(0, 1, device_id or 0)


def _hccl_place(environment: Mapping[str, str], device_id: Optional[int]) -> Place:
    # npu_bridge prefers ASCEND_DEVICE_ID to everything but session_device_id.
    if device_id is None:
        device_id = _number(environment, "ASCEND_DEVICE_ID")
    table = environment.get("RANK_TABLE_FILE")
    chief = [name for name in CHIEF_NAMES if environment.get(name)]
    if environment.get("CM_CHIEF_IP") or environment.get("CM_WORKER_SIZE"):
        size = _number(environment, "CM_WORKER_SIZE")
        if len(chief) < len(CHIEF_NAMES) or size < 1 or "RANK_SIZE" in environment or table:
            raise UsageError(
                f"{chief[0]} is set: HCCL needs {', '.join(CHIEF_NAMES)} together, the size above "
                "0, and neither RANK_SIZE nor RANK_TABLE_FILE beside them; unset the ones or the "
                "others, or start with zoo launch"
            )
        return Place(0, size, device_id, numbered_by_hccl=size > 1)
    place = _place(environment, "RANK_ID", "RANK_SIZE", "", device_id)
    if place.world_size == 1 and table:
        raise UsageError(
            "RANK_TABLE_FILE is set for a process that is alone, which npu_bridge would make wait "
            "for the table's ranks; unset it, or start with zoo launch"
        )
    if place.world_size > 1 and not (table and environment.get("RANK_ID")):
        raise UsageError(
            f"RANK_SIZE is {place.world_size} without RANK_TABLE_FILE and RANK_ID, by which HCCL "
            "finds its ranks; start with zoo launch"
        )
    return place


def _place(
    environment: Mapping[str, str], rank_name: str, size_name: str, local_name: str, device_id: int
) -> Place:
    rank = _number(environment, rank_name)
    size = _number(environment, size_name, 1)
    if not 0 <= rank < size:
        raise UsageError(f"{rank_name} is {rank}, not below {size_name} {size}")
    return Place(rank, size, _number(environment, local_name, device_id))


def _number(environment: Mapping[str, str], name: str, default: int = 0) -> int:
    """A variable as a number; the default where it is absent or empty."""
    try:
        return int(environment.get(name) or default)
    except ValueError:
        raise UsageError(f"{name} is {environment[name]!r}, not a whole number") from None
