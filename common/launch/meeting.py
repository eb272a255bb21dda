"""Where the ranks of a job meet: by a rank table, or at an address and a port of the first one."""

from __future__ import annotations

import re
from typing import Mapping, Optional

from common.core.errors import InfrastructureError, UsageError
from common.launch.flags import HIGHEST_PORT, LaunchFlags
from common.launch.network import (
    address_towards,
    is_ip,
    is_loopback,
    is_own_address,
    resolved,
)

THIS_MACHINE = "127.0.0.1"


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
    if flags.rank_table and world_size > 1:
        raise UsageError(
            "--rank_table is TensorFlow's on NPUs; these ranks meet at --master_addr "
            "and --master_port: leave it out"
        )
    if flags.rank_table:
        raise UsageError("--rank_table is for several ranks, and this job has one: leave it out")
    return ""


def master_address(flags: LaunchFlags, user: Mapping[str, str], device: str) -> str:
    """The first rank's address: of this machine, or as all machines are told it.

    One machine takes no MASTER_ADDR from the environment: what is left there is another job's. On
    NPUs a name becomes an IP address, for HCCL takes no other; a dry run takes what it is told.

    Raises:
        UsageError: no address, one of another machine, or one that other machines can't reach.
    """
    if flags.nnodes == 1:
        return _of_one_machine(flags, device)
    address = flags.master_addr or user.get("MASTER_ADDR")
    if not address:
        raise UsageError(f"--nnodes {flags.nnodes} needs --master_addr, the address of machine 0")
    if device != "npu":
        return address
    return _for_hccl(
        address, "--master_addr" if flags.master_addr else "MASTER_ADDR", flags.dry_run
    )


def _of_one_machine(flags: LaunchFlags, device: str) -> str:
    address = flags.master_addr or THIS_MACHINE
    if not flags.dry_run and not is_own_address(address):
        raise UsageError(
            f"--master_addr {address} is not this machine's, where all ranks are; leave it "
            "out, or give --nnodes"
        )
    return (resolved(address) or address) if device == "npu" else address


def _for_hccl(address: str, source: str, dry_run: bool) -> str:
    found = resolved(address)
    if dry_run:
        return found or address
    if not found:
        raise UsageError(f"{source} {address} has no IP address here; give machine 0's")
    if is_loopback(found):
        raise UsageError(
            f"{source} {address} is {found} here, which no other machine reaches; give machine 0's "
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


def check_chief(flags: LaunchFlags, user: Mapping[str, str]) -> None:
    """Raises UsageError for a CM_CHIEF_IP or CM_CHIEF_PORT that can only be another job's."""
    chief, port = user.get("CM_CHIEF_IP", ""), user.get("CM_CHIEF_PORT", "")
    if chief and not is_ip(chief):
        raise UsageError(f"CM_CHIEF_IP is {chief!r}, not an IP address; unset it")
    if chief and flags.nnodes == 1 and not flags.dry_run and not is_own_address(chief):
        raise UsageError(f"CM_CHIEF_IP is {chief}, not this machine, where all ranks are; unset it")
    if chief and flags.master_addr and resolved(flags.master_addr) != chief:
        raise UsageError(
            f"CM_CHIEF_IP is {chief} and --master_addr {flags.master_addr}; unset the "
            "one, or leave the "
            "other out"
        )
    if port and flags.master_port is not None and port != str(flags.master_port):
        raise UsageError(
            f"CM_CHIEF_PORT is {port} and --master_port {flags.master_port}; unset the "
            "one, or leave the "
            "other out"
        )


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
