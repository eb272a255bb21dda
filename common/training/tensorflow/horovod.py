"""Horovod for the TensorFlow adapter: how ranks on GPUs and processors meet."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from typing import Any, Dict, Mapping, Tuple

from common.core.errors import InfrastructureError, UsageError, ZooError, first_line
from common.machine.ranks import Place
from common.training.devices import meeting_address, ranks_did_not_meet

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def horovod_module() -> Any:
    """horovod.tensorflow; ZooError says how to install it."""
    try:
        import horovod.tensorflow as horovod
    except ImportError as error:
        raise ZooError(
            "several ranks of TensorFlow on GPU or CPU need Horovod, which can't be imported "
            f'({first_line(error)}); install the extra "horovod" of this checkout '
            "(docs/dependencies.md), or give --ranks 1"
        ) from error
    return horovod


def join(place: Place, timeout_seconds: float) -> Tuple[Any, ...]:
    """Meets the other ranks; returns what must be kept open until the device is closed.

    Raises:
        UsageError, InfrastructureError: no port, another number of ranks, or they did not come.
    """
    horovod = horovod_module()
    server = None
    if "HOROVOD_RANK" not in os.environ and "OMPI_COMM_WORLD_RANK" not in os.environ:
        server = _rendezvous(place, timeout_seconds)
    try:
        horovod.init()
    except (RuntimeError, ValueError, ImportError) as error:
        raise _not_met(place, " ".join(str(error).split())) from error
    if horovod.size() != place.world_size:
        raise InfrastructureError(
            f"Horovod sees {horovod.size()} ranks, the launcher {place.world_size}; start all of "
            "them with one launcher"
        )
    return ("horovod", server)


def _rendezvous(place: Place, timeout_seconds: float) -> Any:
    """Rank 0 listens at MASTER_ADDR and MASTER_PORT, the others wait for it; returns the server."""
    address, port = os.environ.get("MASTER_ADDR") or "127.0.0.1", os.environ.get("MASTER_PORT", "")
    if not port.isdigit():
        raise UsageError(
            "several ranks need MASTER_PORT, the port of rank 0 at MASTER_ADDR, and it is "
            f"{port!r}; zoo launch sets both"
        )
    server = None
    if place.rank == 0:
        server = _serve(place, address, int(port))
    else:
        _wait_for(place, address, int(port), timeout_seconds)
    os.environ.update(horovod_variables(place, address, int(port), os.environ))
    os.environ.setdefault("HOROVOD_GLOO_TIMEOUT_SECONDS", str(int(timeout_seconds)))
    return server


def horovod_variables(
    place: Place, address: str, port: int, environment: Mapping[str, str]
) -> Dict[str, str]:
    """What Horovod's Gloo controller reads, from the identity every launcher gives."""
    local_size = int(environment.get("LOCAL_WORLD_SIZE") or place.world_size)
    machine, local_rank = divmod(place.rank, local_size)
    values = {
        "HOROVOD_RANK": place.rank,
        "HOROVOD_SIZE": place.world_size,
        "HOROVOD_LOCAL_RANK": local_rank,
        "HOROVOD_LOCAL_SIZE": local_size,
        "HOROVOD_CROSS_RANK": machine,
        "HOROVOD_CROSS_SIZE": place.world_size // local_size,
        "HOROVOD_HOSTNAME": f"machine_{machine}",
        "HOROVOD_CONTROLLER": "gloo",
        "HOROVOD_CPU_OPERATIONS": "gloo",
        "HOROVOD_GLOO_RENDEZVOUS_ADDR": address,
        "HOROVOD_GLOO_RENDEZVOUS_PORT": port,
    }
    if address in _LOOPBACK and "HOROVOD_GLOO_IFACE" not in environment:
        values["HOROVOD_GLOO_IFACE"] = "lo"
    return {name: str(value) for name, value in values.items()}


def _serve(place: Place, address: str, port: int) -> Any:
    from horovod.runner.http.http_server import RendezvousHandler, RendezvousHTTPServer

    listen = address if address in _LOOPBACK else ""
    try:
        server = RendezvousHTTPServer((listen, port), RendezvousHandler, False)
    except OSError as error:
        raise _not_met(place, f"the port can't be had, {error.strerror}") from error
    server.init([])
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def _wait_for(place: Place, address: str, port: int, timeout_seconds: float) -> None:
    deadline = time.monotonic() + timeout_seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection((address, port), 5.0):
            return
        time.sleep(0.05)
    raise _not_met(place, f"rank 0 did not answer within {timeout_seconds:g} s")


def _not_met(place: Place, why: str) -> InfrastructureError:
    return ranks_did_not_meet(place.rank, place.world_size, meeting_address(), why)
