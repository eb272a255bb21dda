"""The port where ranks meet: one that is free and that no other launch of this machine takes."""

from __future__ import annotations

import random
import socket
from pathlib import Path
from typing import Optional

from common.core.errors import InfrastructureError, ZooError

LOWEST_PORT = 15000
DEFAULT_FIRST_OUTGOING = 32768
TRIES = 200


class PortReservation:
    """Keeps a port to one launch, without listening on it, until this process ends.

    The name lives in the kernel's abstract namespace: it leaves no file and goes with the process.
    """

    def __init__(self, port: int, holder: Optional[socket.socket] = None) -> None:
        self.port, self._holder = port, holder

    def release(self) -> None:
        """Lets other launches have the port."""
        if self._holder is not None:
            self._holder.close()


NO_PORT = PortReservation(0)


def reserve_free_port() -> PortReservation:
    """Chooses a port below the range of outgoing connections, free now and not reserved.

    Raises:
        InfrastructureError: no port is free.
    """
    try:
        outgoing = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0]
        highest = max(int(outgoing) - 1, LOWEST_PORT + TRIES)
    except (OSError, ValueError, IndexError):
        highest = DEFAULT_FIRST_OUTGOING - 1
    for _ in range(TRIES):
        reservation = _try_to_reserve(random.randint(LOWEST_PORT, highest))
        if reservation is not None:
            return reservation
    raise InfrastructureError(
        f"no free network port between {LOWEST_PORT} and {highest}; give one as --master_port"
    )


def reserve_port(port: int) -> PortReservation:
    """Reserves the port that the user gave; ZooError where it is in use."""
    reservation = _try_to_reserve(port)
    if reservation is None:
        raise ZooError(
            f"--master_port {port} is in use; give another, or none to have a free one chosen"
        )
    return reservation


def _try_to_reserve(port: int) -> Optional[PortReservation]:
    holder = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        holder.bind(f"\0modelzoo-launch-port-{port}")
    except OSError:
        holder.close()
        return None
    if is_free(port):
        return PortReservation(port, holder)
    holder.close()
    return None


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
