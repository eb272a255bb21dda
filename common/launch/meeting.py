"""Where the ranks of a job meet: by a rank table, or at an address and a port of the first one."""

from __future__ import annotations

import contextlib
import ipaddress
import re
import socket
from pathlib import Path
from typing import Any, Callable, Mapping, Optional, Sequence, Tuple

from common.ascend.device_numbers import physical_number, physical_numbers
from common.ascend.rank_table import disagreement
from common.ascend.rank_table_rules import read_table
from common.core.errors import InfrastructureError, UsageError, ZooError
from common.launch.flags import HIGHEST_PORT, LaunchFlags
from common.launch.rank_environment import CM_VARIABLES, Job
from common.machine.devices import read_text

THIS_MACHINE = "127.0.0.1"
HIGHEST_CHIEF_PORT = 65520


def by_hccl(framework: str, device: str, world_size: int) -> bool:
    """Whether ranks find each other by a rank table or CM_*, not by MASTER_ADDR."""
    return framework == "tensorflow" and device == "npu" and world_size > 1


def rank_table(
    framework: str, device: str, world_size: int, flags: LaunchFlags, user: Mapping[str, str]
) -> str:
    """The table by which HCCL finds TensorFlow's ranks, as it was given; "" for other ranks.

    Raises:
        UsageError: one was given for ranks that have no use for it.
    """
    if by_hccl(framework, device, world_size):
        return flags.rank_table or user.get("RANK_TABLE_FILE", "")
    if flags.rank_table:
        raise UsageError("--rank_table is for several ranks of TensorFlow on NPUs: leave it out")
    return ""


def check_rank_table(
    path: str,
    world_size: int,
    ranks: Sequence[Tuple[int, int]],
    user: Mapping[str, str],
    system: Path = Path("/"),
) -> None:
    """Checks the table that TensorFlow's ranks are given.

    Args:
        ranks: the number and the device of each rank of this machine.
        user: the variables as the user has them.
        system: the root of the file system, for tests.

    Raises:
        ZooError: the table can't be read, breaks a rule, or has other ranks on these devices.
    """
    numbers = physical_numbers(user, system)
    here = [(rank, physical_number(device, numbers)) for rank, device in ranks]
    problem = disagreement(read_table(read_text(Path(path)), path), world_size, here)
    if problem is not None:
        raise ZooError(
            f"rank table {path} is not this job's: {problem}; give another --rank_table, or make "
            "one: zoo ranktable make"
        )


# --- the address and the port ---


def master_address(flags: LaunchFlags, user: Mapping[str, str], device: str) -> str:
    """The first rank's address: of this machine, or as all machines are told it.

    One machine takes no MASTER_ADDR from the environment: what is left there is another job's. On
    NPUs a name becomes an IP address, for HCCL takes no other; a dry run takes what it is told.

    Raises:
        UsageError: no address, one of another machine, or one that other machines can't reach.
    """
    if flags.nnodes == 1:
        address = flags.master_addr or THIS_MACHINE
        if not flags.dry_run and not is_own_address(address):
            raise UsageError(
                f"--master_addr {address} is not this machine's, where all ranks are; leave it "
                "out, or give --nnodes"
            )
        return (resolved(address) or address) if device == "npu" else address
    address = flags.master_addr or user.get("MASTER_ADDR") or ""
    if not address:
        raise UsageError(f"--nnodes {flags.nnodes} needs --master_addr, the address of machine 0")
    found = resolved(address) if device == "npu" else address
    if flags.dry_run:
        return found or address
    told = ("--master_addr " if flags.master_addr else "MASTER_ADDR ") + address
    if not found:
        raise UsageError(f"{told} has no IP address here; give machine 0's")
    if device == "npu" and ip(found).is_loopback:
        raise UsageError(
            f"{told} is {found} here, which no other machine reaches; give machine 0's "
            "address in the network"
        )
    return found


def host_address(flags: LaunchFlags, master: str, device: str) -> str:
    """This machine's address on the way to the first rank's; "" on one machine.

    Raises:
        InfrastructureError: no network leads there, and HCCL has to be told one.
    """
    found = address_towards(master) if flags.nnodes > 1 else ""
    if flags.nnodes > 1 and not found and device == "npu" and not flags.dry_run:
        raise InfrastructureError(
            f"no network of this machine leads to machine 0, {master}; give a "
            "--master_addr that it reaches"
        )
    return found


def given_port(flags: LaunchFlags, user: Mapping[str, str]) -> Optional[int]:
    """The port that --master_port or MASTER_PORT names, None without one.

    Raises:
        UsageError: MASTER_PORT is no port.
    """
    text = user.get("MASTER_PORT", "")
    if flags.master_port is not None or not text:
        return flags.master_port
    if not (re.fullmatch("[0-9]{1,5}", text) and 0 < int(text) <= HIGHEST_PORT):
        raise UsageError(
            f"MASTER_PORT is {text!r}, not a port number; unset it or give --master_port"
        )
    return int(text)


# --- the start of TensorFlow's ranks by HCCL ---


def check_hccl(job: Job, flags: LaunchFlags, user: Mapping[str, str]) -> None:
    """Checks what TensorFlow's HCCL starts by.

    Raises:
        UsageError: both a rank table and CM_* variables, or such that can't be this job's.
    """
    if not by_hccl(job.framework, job.device, job.world_size):
        return
    given = [name for name in CM_VARIABLES if user.get(name)]
    if job.rank_table and given:
        raise UsageError(
            f"RANK_TABLE_FILE and {given[0]} are both set and HCCL takes only one of "
            "them; unset one"
        )
    fault = "" if job.rank_table else _chiefs_fault(job, flags, user)
    if fault:
        raise UsageError(fault)


def _chiefs_fault(job: Job, flags: LaunchFlags, user: Mapping[str, str]) -> str:
    """Which CM_* variable can't be this job's, "" where none is."""
    chief, given = user.get("CM_CHIEF_IP", ""), user.get("CM_CHIEF_PORT", "")
    here = flags.nnodes == 1 and not flags.dry_run
    other = flags.master_addr and resolved(flags.master_addr) != chief
    if chief and (ip(chief) is None or other or (here and not is_own_address(chief))):
        return f"CM_CHIEF_IP is {chief!r}, not this job's first machine by its IP address; unset it"
    if given and flags.master_port is not None and given != str(flags.master_port):
        return f"CM_CHIEF_PORT is {given} and --master_port {flags.master_port}; give one of them"
    port = given or str(job.master_port)
    if not (re.fullmatch("[0-9]{1,5}", port) and int(port) <= HIGHEST_CHIEF_PORT):
        return (
            f"HCCL meets at a port of at most {HIGHEST_CHIEF_PORT}, not {port}; give another "
            "--master_port (or CM_CHIEF_PORT)"
        )
    size = user.get("CM_WORKER_SIZE", "")
    if size and size != str(job.world_size):
        return f"CM_WORKER_SIZE is {size} and this job has {job.world_size} ranks; unset it"
    return ""


# --- addresses ---


def address_towards(host: str) -> str:
    """This machine's own address on the way to a host; "" where there is no way.

    The system's routes decide, so that a machine with several networks takes the right one.
    """
    return _own_address(host, lambda probe, address: probe.connect((address, 9)))  # sends nothing


def is_own_address(host: str) -> bool:
    """Whether a host is this machine: only an own address can be bound."""
    return _own_address(host, lambda probe, address: probe.bind((address, 0))) != ""


def _own_address(host: str, act: Callable[[socket.socket, str], None]) -> str:
    """The own address of a datagram socket after an act with a host's; "" where that fails."""
    address = resolved(host)
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
        if address:
            act(probe, address)
            return str(probe.getsockname()[0])
    return ""


def resolved(host: str) -> str:
    """A host's IP address, of version 4 where it has one; "" where nobody knows it."""
    for family in (socket.AF_INET, socket.AF_INET6):
        with contextlib.suppress(OSError, UnicodeError):
            return str(socket.getaddrinfo(host, None, family, socket.SOCK_DGRAM)[0][4][0])
    return ""


def ip(text: str) -> Any:
    """A text as an IP address (perhaps with a scope), None where it is a name."""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(text.partition("%")[0])
    return None
