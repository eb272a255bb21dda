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

    def __init__(self, port: int, holder: Optional[socket.socket]) -> None:
        self.port = port
        self._holder = holder

    def release(self) -> None:
        """Lets other launches have the port."""
        if self._holder is not None:
            self._holder.close()
            self._holder = None


def reserve_free_port() -> PortReservation:
    """Chooses a port below the range of outgoing connections, free now and not reserved.

    Raises:
        InfrastructureError: no port is free.
    """
    highest = max(_first_outgoing_port() - 1, LOWEST_PORT + TRIES)
    for _ in range(TRIES):
        reservation = _try_to_reserve(random.randint(LOWEST_PORT, highest))
        if reservation is not None:
            return reservation
    raise InfrastructureError(
        f"no free network port between {LOWEST_PORT} and {highest}; give one as --master_port"
    )


def reserve_port(port: int) -> PortReservation:
    """Reserves the port that the user gave.

    Raises:
        ZooError: it is in use.
    """
    reservation = _try_to_reserve(port)
    if reservation is None:
        raise ZooError(
            f"--master_port {port} is in use; give another, or none to have a free one chosen"
        )
    return reservation


def _try_to_reserve(port: int) -> Optional[PortReservation]:
    holder = _hold(port)
    if holder is None:
        return None
    reservation = PortReservation(port, holder)
    if is_free(port):
        return reservation
    reservation.release()
    return None


def _hold(port: int) -> Optional[socket.socket]:
    holder = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        holder.bind(f"\0modelzoo-launch-port-{port}")
    except OSError:
        holder.close()
        return None
    return holder


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


def _first_outgoing_port() -> int:
    try:
        return int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return DEFAULT_FIRST_OUTGOING
