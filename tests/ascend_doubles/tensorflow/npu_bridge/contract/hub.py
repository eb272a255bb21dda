"""Ranks of one machine that really exchange numbers: the first one serves at a local socket."""

from __future__ import annotations

import collections
import contextlib
import hashlib
import os
import pickle
import socket
import struct
import threading
import time
from typing import Any, Dict, List, Optional, Tuple

import numpy

_LENGTH = struct.Struct("!Q")
SECONDS = 60.0


def seconds() -> float:
    """How long to wait for other ranks."""
    return float(os.environ.get("ASCEND_DOUBLE_SECONDS", SECONDS))


def address_of(job: str) -> str:
    """The socket of a job, in Linux's abstract name space: nothing is left behind."""
    return f"\0ascend_double_{os.getuid()}_{hashlib.sha256(job.encode()).hexdigest()[:24]}"


class HubError(Exception):
    """Ranks did not meet, or do not agree on what to exchange."""


def _send(connection: socket.socket, message: Any) -> None:
    data = pickle.dumps(message, protocol=4)
    connection.sendall(_LENGTH.pack(len(data)) + data)


def _receive(connection: socket.socket) -> Any:
    (length,) = _LENGTH.unpack(_read(connection, _LENGTH.size))
    return pickle.loads(_read(connection, length))  # from this test's own processes


def _read(connection: socket.socket, length: int) -> bytes:
    parts = []
    while length:
        part = connection.recv(min(length, 1 << 20))
        if not part:
            raise EOFError
        parts.append(part)
        length -= len(part)
    return b"".join(parts)


class Server:
    """Gathers what all ranks send under a key, and answers them all at once."""

    def __init__(self, job: str, size: int) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._waiting: Dict[Any, Dict[int, Any]] = collections.defaultdict(dict)
        self._connections: Dict[int, socket.socket] = {}
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(address_of(job))
        self._listener.listen(size)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        """Numbers the ranks: as they say, or by device where they leave it to HCCL."""
        arrived: List[Tuple[Any, socket.socket]] = []
        while len(arrived) < self._size:
            connection, _ = self._listener.accept()
            arrived.append((_receive(connection), connection))
        self._listener.close()
        arrived.sort(key=lambda entry: entry[0])
        if len({said for said, _ in arrived}) != self._size:
            for _, connection in arrived:
                _send(
                    connection,
                    ("refused", f"two ranks are the same: {[said for said, _ in arrived]}"),
                )
            return
        self._connections = {rank: entry[1] for rank, entry in enumerate(arrived)}
        for rank, connection in self._connections.items():
            _send(connection, ("rank", rank))
            threading.Thread(target=self._serve, args=(rank,), daemon=True).start()

    def _serve(self, rank: int) -> None:
        try:
            while True:
                key, asked, value = _receive(self._connections[rank])
                self._add(key, rank, (asked, value))
        except (EOFError, OSError):
            with self._lock:
                self._tell(None, ("gone", rank))

    def _add(self, key: Any, rank: int, contribution: Any) -> None:
        with self._lock:
            self._waiting[key][rank] = contribution
            if len(self._waiting[key]) < self._size:
                return
            self._tell(key, _combined(self._waiting.pop(key)))

    def _tell(self, key: Any, answer: Any) -> None:
        for connection in self._connections.values():
            with contextlib.suppress(OSError):  # that rank has ended
                _send(connection, (key, answer))


def _combined(contributions: Dict[int, Any]) -> Any:
    asked = {entry[0] for entry in contributions.values()}
    values = [contributions[rank][1] for rank in sorted(contributions)]
    kind, shapes = sorted(asked)[0], {(value.dtype.str, value.shape) for value in values}
    if len(asked) > 1 or (kind[0] == "allreduce" and len(shapes) > 1):
        return "mismatch", f"ranks ask for {sorted(asked)} with {sorted(shapes)}"
    return "value", _COMBINE[kind[0]](values, kind[1])


def _allreduce(values: List[Any], reduction: str) -> Any:
    fold = {"sum": numpy.add, "prod": numpy.multiply, "max": numpy.maximum, "min": numpy.minimum}[
        reduction
    ]
    total = values[0]
    for value in values[1:]:
        total = fold(total, value)
    return numpy.asarray(total, values[0].dtype)


_COMBINE = {
    "allreduce": _allreduce,
    "allgather": lambda values, _: numpy.concatenate(values),
    "broadcast": lambda values, root: values[root],
}


class Member:
    """One rank's side."""

    def __init__(self, job: str, said: Any, size: int, serves: bool) -> None:
        """Waits for all ranks.

        Args:
            said: this rank's number, or its device's where ranks are numbered here.

        Raises:
            HubError: they did not come.
        """
        self._server = Server(job, size) if serves else None
        self._connection = _connected(job)
        self._connection.settimeout(seconds())
        self._lock, self._changed = threading.Lock(), threading.Condition()
        self._counts: Dict[str, int] = collections.Counter()
        self._answers: Dict[Any, Any] = {}
        self._gone: Optional[int] = None
        try:
            _send(self._connection, said)
            what, answer = _receive(self._connection)
        except (OSError, EOFError) as problem:
            raise HubError(f"not all of {size} ranks came") from problem
        if what != "rank":
            raise HubError(answer)
        self.rank = answer
        self._connection.settimeout(None)
        threading.Thread(target=self._listen, daemon=True).start()

    def exchange(self, name: str, asked: Tuple[str, Any], value: Any) -> Any:
        """What an operation of this name gives; every rank must run it equally often."""
        with self._lock:
            self._counts[name] += 1
            key = name, self._counts[name]
            _send(self._connection, (key, asked, value))
        with self._changed:
            self._changed.wait_for(
                lambda: key in self._answers or self._gone is not None, seconds()
            )
            if key not in self._answers:
                raise HubError(
                    "{}: {}".format(
                        name,
                        f"rank {self._gone} is gone"
                        if self._gone is not None
                        else "other ranks do not come",
                    )
                )
            what, answer = self._answers.pop(key)
        if what != "value":
            raise HubError(f"{name}: {answer}")
        return answer

    def _listen(self) -> None:
        try:
            while True:
                key, answer = _receive(self._connection)
                with self._changed:
                    if key is None:
                        self._gone = answer[1]
                    else:
                        self._answers[key] = answer
                    self._changed.notify_all()
        except (EOFError, OSError):
            with self._changed:
                self._gone = 0 if self._gone is None else self._gone
                self._changed.notify_all()

    def close(self) -> None:
        """Leaves the job."""
        with contextlib.suppress(OSError):  # it was closed before
            self._connection.shutdown(socket.SHUT_RDWR)
        self._connection.close()


def _connected(job: str) -> socket.socket:
    deadline = time.monotonic() + seconds()
    while True:
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(address_of(job))
            return connection
        except OSError as problem:
            connection.close()
            if time.monotonic() > deadline:
                raise HubError("the first rank does not answer") from problem
            time.sleep(0.02)
