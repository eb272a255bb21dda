"""The environment of a rank: who it is, what suits its device, what must not be there."""

from __future__ import annotations

import dataclasses
import os
from typing import Dict, Mapping, Sequence, Tuple

from common.ascend.environment import HF32
from common.machine.ranks import CHIEF_NAMES, LAUNCHED_RANK

CM_VARIABLES = CHIEF_NAMES + ("CM_WORKER_IP",)
TORCH_IDENTITY = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK")
# Left by another launcher these make torch look for that launcher's store.
TORCH_LEFTOVERS = ("TORCHELASTIC_USE_AGENT_STORE", "TORCHELASTIC_RUN_ID")
THREADS = "OMP_NUM_THREADS"
HCCL_IDENTITY = ("RANK_ID", "RANK_SIZE")
# By these the plugin would take a rank for a pod's, or for another role than a worker's.
PLUGIN_LEFTOVERS = ("POD_NAME", "TF_CONFIG")
# Left by horovodrun or mpirun these would speak of another job.
HOROVOD_LEFTOVERS = tuple(
    prefix + name
    for prefix, names in (
        ("HOROVOD_", "RANK SIZE LOCAL_RANK LOCAL_SIZE CROSS_RANK CROSS_SIZE HOSTNAME"),
        ("HOROVOD_GLOO_RENDEZVOUS_", "ADDR PORT"),
        ("OMPI_COMM_WORLD_", "RANK SIZE LOCAL_RANK LOCAL_SIZE"),
    )
    for name in names.split()
)
_GLOO_INTERFACE = {"pytorch": "GLOO_SOCKET_IFNAME", "tensorflow": "HOROVOD_GLOO_IFACE"}


@dataclasses.dataclass(frozen=True)
class Job:
    """What all ranks share.

    Attributes:
        framework: "pytorch" or "tensorflow".
        device: npu, gpu or cpu.
        world_size: ranks of the whole job; local_size: those of this machine.
        master_addr, master_port: where ranks meet; "" and 0 where a rank table says so.
        host_address: this machine's address towards the others; "" on one machine.
        rank_table: HCCL's rank table, "" without one.
        threads: of each CPU rank; 0: the framework's own choice.
        python_path: folders to import from, before the user's own.
        directory: what relative folders in the user's PYTHONPATH are relative to.
    """

    framework: str
    device: str
    world_size: int
    local_size: int
    node_count: int
    master_addr: str
    master_port: int
    host_address: str
    rank_table: str
    threads: int
    python_path: Tuple[str, ...]
    directory: str


@dataclasses.dataclass(frozen=True)
class Place:
    """One rank: its number in the job, on its machine, and its device's number there."""

    rank: int
    local_rank: int
    device_id: int


@dataclasses.dataclass(frozen=True)
class RankEnvironment:
    """Changes to the environment of one rank.

    Attributes:
        set: variables with the values they get.
        removed: variables that must not exist.
        kept: variables that the launcher would set, and the user's value that stays.
    """

    set: Dict[str, str]
    removed: Tuple[str, ...]
    kept: Dict[str, str]


def rank_environment(
    job: Job, place: Place, user: Mapping[str, str], log_folder: str
) -> RankEnvironment:
    """The environment of one rank, whose own logs may go to log_folder.

    Identity (who am I, how many are we) is always set; a default gives way to the user's value.
    """
    identity, removed = _identity(job, place, user)
    defaults = _defaults(job, log_folder)
    kept = {name: user[name] for name in defaults if user.get(name)}
    values = {name: value for name, value in defaults.items() if name not in kept}
    values.update(identity)
    # Absolute, since ranks run in folders of their own.
    own = [part for part in user.get("PYTHONPATH", "").split(":") if part]
    own = [os.path.normpath(os.path.join(job.directory, part)) for part in own]
    values["PYTHONPATH"] = ":".join(dict.fromkeys([*job.python_path, *own]))
    return RankEnvironment(values, tuple(sorted(set(removed) - set(values))), kept)


def _identity(
    job: Job, place: Place, user: Mapping[str, str]
) -> Tuple[Dict[str, str], Sequence[str]]:
    """Who the rank is, and the variables that would say otherwise."""
    values: Dict[str, str] = {}
    removed: Tuple[str, ...] = PLUGIN_LEFTOVERS
    hccl = dict(zip(HCCL_IDENTITY, (str(place.rank), str(job.world_size))))
    if job.device == "npu":
        values = {"ASCEND_DEVICE_ID": str(place.device_id), "DEVICE_ID": str(place.device_id)}
    if job.framework == "tensorflow" and job.device == "npu":
        values["TF_CPP_MIN_LOG_LEVEL"] = "0"  # the plugin's proof of the device is an INFO line
        if job.world_size > 1 and not job.rank_table:
            values.update(_chief(job, place, user))
            # HCCL refuses both at once, and "unset" means absent: it then numbers the ranks.
            return values, (*removed, "RANK_TABLE_FILE", *HCCL_IDENTITY)
        if job.rank_table:
            values["RANK_TABLE_FILE"] = job.rank_table
        return {**values, **hccl}, (*removed, *CM_VARIABLES, "RANK_TABLE_FILE")
    # These ranks meet at MASTER_ADDR: a table or CM_* left over can only be another job's.
    removed = (*TORCH_LEFTOVERS, *CM_VARIABLES, "RANK_TABLE_FILE")
    if job.world_size == 1:
        removed += (*TORCH_IDENTITY, "MASTER_ADDR", "MASTER_PORT")
    else:
        number = place.local_rank if job.device == "cpu" else place.device_id
        values.update(
            RANK=str(place.rank),
            WORLD_SIZE=str(job.world_size),
            LOCAL_RANK=str(number),
            LOCAL_WORLD_SIZE=str(job.local_size),
            MASTER_ADDR=job.master_addr,
            MASTER_PORT=str(job.master_port),
        )
    if job.framework == "tensorflow":
        return values, (*removed, *HOROVOD_LEFTOVERS, *HCCL_IDENTITY)
    return {**values, **(hccl if job.device == "npu" else {})}, removed


def _chief(job: Job, place: Place, user: Mapping[str, str]) -> Dict[str, str]:
    """The CM_* variables of a start without a rank table; the user's own stay as they are."""
    chief = user.get("CM_CHIEF_IP") or job.master_addr
    values = {
        "CM_CHIEF_IP": chief,
        "CM_CHIEF_PORT": str(job.master_port),
        # The first rank's device; machines of one job use the same devices.
        "CM_CHIEF_DEVICE": str(place.device_id - place.local_rank),
        "CM_WORKER_SIZE": str(job.world_size),
        "CM_WORKER_IP": job.host_address or chief,
    }
    found = {name: user.get(name) or value for name, value in values.items()}
    if job.node_count > 1:
        found[LAUNCHED_RANK] = str(place.rank)  # HCCL may number machines otherwise
    return found


def _defaults(job: Job, log_folder: str) -> Dict[str, str]:
    values = {"PYTHONUNBUFFERED": "1"}  # lines reach the log when they are printed
    if job.device == "npu":
        values.update(
            JOB_ID="10087",
            ASCEND_GLOBAL_LOG_LEVEL="3",
            ASCEND_SLOG_PRINT_TO_STDOUT="0",
            ASCEND_GLOBAL_EVENT_ENABLE="0",
            ASCEND_PROCESS_LOG_PATH=log_folder,
            **({HF32: "0"} if job.framework == "tensorflow" else {"TASK_QUEUE_ENABLE": "1"}),
        )
        if job.world_size > 1:
            # Ranks compile at different speeds: the default of 120 s is too short to wait for
            # peers. HCCL rounds the second one down to a multiple of 68.
            values.update(HCCL_CONNECT_TIMEOUT="1200", HCCL_EXEC_TIMEOUT="3604")
            values["HCCL_WHITELIST_DISABLE"] = "1"
        if job.framework == "pytorch" and job.node_count > 1 and job.host_address:
            values["HCCL_IF_IP"] = job.host_address
    if job.device == "cpu":
        # Threads that spin at barriers take the cores from other work, and from each other.
        values["OMP_WAIT_POLICY"] = "PASSIVE"
        if job.threads:
            values[THREADS] = str(job.threads)
        if job.local_size > 1 and job.node_count == 1:
            # No lookup of a host name that may not resolve.
            values[_GLOO_INTERFACE[job.framework]] = "lo"
    if job.framework == "pytorch" and job.device != "npu":
        # torch would load torch_npu by itself, which fails without CANN's variables.
        values["TORCH_DEVICE_BACKEND_AUTOLOAD"] = "0"
    return values
