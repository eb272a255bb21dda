"""The port where ranks meet: one that is free and that no other launch of this machine takes."""

from __future__ import annotations

import contextlib
import random
import socket
from pathlib import Path
from typing import NamedTuple, Optional

from common.core.errors import InfrastructureError, ZooError

LOWEST_PORT = 15000
DEFAULT_FIRST_OUTGOING = 32768
TRIES = 200


class PortReservation(NamedTuple):
    """Keeps a port to one launch, without listening on it, as long as the object lives.

    The name lives in the kernel's abstract namespace: it leaves no file and goes with the process.
    """

    port: int
    holder: Optional[socket.socket] = None


NO_PORT = PortReservation(0)


def reserve_port(port: int = 0) -> PortReservation:
    """Reserves a port: the given one, else a free one below the range of outgoing connections.

    Raises:
        ZooError: the given port is in use.
        InfrastructureError: no port is free.
    """
    try:
        outgoing = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0]
        highest = max(int(outgoing) - 1, LOWEST_PORT + TRIES)
    except (OSError, ValueError, IndexError):
        highest = DEFAULT_FIRST_OUTGOING - 1
    for _ in range(1 if port else TRIES):
        chosen = port or random.randint(LOWEST_PORT, highest)
        holder = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with contextlib.suppress(OSError):
            holder.bind(f"\0modelzoo-launch-port-{chosen}")
            if is_free(chosen):
                return PortReservation(chosen, holder)
        holder.close()
    if port:
        raise ZooError(
            f"--master_port {port} is in use; give another, or none to have a free one chosen"
        )
    raise InfrastructureError(
        f"no free network port between {LOWEST_PORT} and {highest}; give one as --master_port"
    )


def is_free(port: int) -> bool:
    """Whether a TCP server could listen on the port of every interface."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
            probe.listen(1)
        except OSError:
            return False
    return True
