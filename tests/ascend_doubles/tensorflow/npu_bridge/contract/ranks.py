"""How the environment makes a process one of several ranks, and what ranks exchange."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import threading
import time
from multiprocessing.connection import Client, Listener
from typing import Any, Dict, List, Mapping, Optional, Tuple

import numpy

from npu_bridge.contract.process import PROCESS, PluginAbort, error

_CHIEF = ("CM_CHIEF_IP", "CM_CHIEF_PORT", "CM_CHIEF_DEVICE", "CM_WORKER_SIZE")
_LARGEST_PORT = 65520


@dataclasses.dataclass(frozen=True)
class Cluster:
    """How ranks are found: "none", by a "table", or through a chief ("cm")."""

    way: str
    rank: Optional[int] = None
    size: int = 1
    meeting: str = ""


def read_cluster(environment: Mapping[str, str] = os.environ) -> Cluster:
    """Decides as the plugin does."""
    table = environment.get("RANK_TABLE_FILE")
    if "RANK_TABLE_FILE" in environment and "CM_CHIEF_IP" in environment:
        return Cluster("none")  # an error is logged, and neither is used
    # Without RANK_SIZE the plugin's own default holds: a table left over still switches HCCL on.
    if table and "CM_WORKER_SIZE" not in environment and environment.get("RANK_SIZE", "1") != "0":
        rank = _number(environment, "RANK_ID") if environment.get("RANK_ID") else None
        return Cluster("table", rank, meeting=os.path.realpath(table))
    if all(environment.get(name) for name in _CHIEF) and "RANK_SIZE" not in environment:
        port = _number(environment, "CM_CHIEF_PORT")
        if not 0 <= port <= _LARGEST_PORT:
            raise PluginAbort(f"CM_CHIEF_PORT must be from 0 to {_LARGEST_PORT}")
        size = _number(environment, "CM_WORKER_SIZE")
        if size > 0:
            return Cluster("cm", None, size, f"{environment['CM_CHIEF_IP']}:{port}")
    return Cluster("none")


def device_id(session_device_id: Optional[int], environment: Mapping[str, str] = os.environ) -> int:
    """The logical device: the session's, ASCEND_DEVICE_ID, DEVICE_ID translated, else 0."""
    if session_device_id is not None:
        return session_device_id
    if environment.get("ASCEND_DEVICE_ID"):
        return _number(environment, "ASCEND_DEVICE_ID")
    if environment.get("DEVICE_ID"):
        physical, visible = _number(environment, "DEVICE_ID"), _visible(environment)
        return visible.index(physical) if physical in visible else physical
    return 0


def _visible(environment: Mapping[str, str]) -> List[int]:
    text = environment.get("ASCEND_RT_VISIBLE_DEVICES", "")
    return [int(part) for part in text.split(",") if part]


def _number(environment: Mapping[str, str], name: str) -> int:
    try:
        return int(environment.get(name) or "0")
    except ValueError:
        raise PluginAbort(f"{name} is {environment[name]!r}, not a number") from None


def join(cluster: Cluster, device: int) -> None:
    """Meets the other ranks.

    Raises:
        InternalError: they did not come, or the table breaks a rule.
    """
    timeout = os.environ.get("HCCL_CONNECT_TIMEOUT", "120")
    if not timeout.isdigit() or not 120 <= int(timeout) <= 7200:
        raise error("HCCL: HCCL_CONNECT_TIMEOUT must be from 120 to 7200")
    if cluster.way == "cm":
        chief = _number(os.environ, "CM_CHIEF_DEVICE")
        said, size, serves = device, cluster.size, device == chief
    else:
        said, size = _place_in_table(cluster, device)
        serves = said == 0
    PROCESS.collective = Member(cluster.meeting, said, size, serves)
    PROCESS.rank, PROCESS.size = PROCESS.collective.rank, size


def _place_in_table(cluster: Cluster, device: int) -> Tuple[int, int]:
    devices = read_devices(cluster.meeting)
    if cluster.rank is None:
        raise error("HCCL: this process has no RANK_ID")
    if not 0 <= cluster.rank < len(devices):
        raise error(f"HCCL: RANK_ID {cluster.rank} is not in the rank table")
    visible = _visible(os.environ)
    physical = visible[device] if device < len(visible) else device
    if int(devices[cluster.rank]["device_id"]) != physical:
        raise error(f"HCCL: device {physical} is not that of rank {cluster.rank} in the rank table")
    return cluster.rank, len(devices)


def read_devices(path: str) -> List[Dict[str, str]]:
    """A rank table's devices in the order of their ranks; InternalError where it is none."""
    try:
        with open(path, encoding="utf-8") as file:
            table = json.load(file)
        devices = [device for server in table["server_list"] for device in server["device"]]
        devices.sort(key=lambda device: int(device["rank_id"]))
        sound = table["version"] in ("1.0", "1.2") and table["status"] == "completed"
    except (OSError, ValueError, LookupError, TypeError):
        sound = False
    if not sound:
        raise error(f"HCCL: rank table {path} breaks a rule")
    return devices


# --- ranks of one machine that really exchange numbers: the first one serves ------------------


def _seconds() -> float:
    return float(os.environ.get("ASCEND_DOUBLE_SECONDS", 60.0))


def _address(job: str) -> str:
    """The socket of a job, in Linux's abstract name space: nothing is left behind."""
    return f"\0ascend_double_{os.getuid()}_{hashlib.sha256(job.encode()).hexdigest()[:24]}"


def _serve(job: str, size: int) -> None:
    """Numbers the ranks as they say, or by device; then answers each exchange once all have asked.

    Every rank has a thread, as operations of a graph may be reached in different orders.
    """
    listener = Listener(_address(job), family="AF_UNIX", backlog=size)
    connections = sorted(
        ((one.recv(), number, one) for number, one in ((n, listener.accept()) for n in range(size)))
    )
    listener.close()
    ranks = {rank: entry[2] for rank, entry in enumerate(connections)}
    twice = len({entry[0] for entry in connections}) < size
    for rank, connection in ranks.items():
        connection.send(None if twice else rank)
    waiting: Dict[Any, Dict[int, Any]] = {}
    lock = threading.Lock()

    def tell(key: Any, answer: Any) -> None:
        for connection in ranks.values():
            try:
                connection.send((key, answer))
            except OSError:
                continue  # that rank has ended

    def listen(rank: int) -> None:
        try:
            while True:
                key, asked, value = ranks[rank].recv()
                with lock:
                    waiting.setdefault(key, {})[rank] = (asked, value)
                    if len(waiting[key]) == size:
                        tell(key, _combined(waiting.pop(key)))
        except (EOFError, OSError):
            with lock:
                tell(None, rank)

    for rank in ranks:
        threading.Thread(target=listen, args=(rank,), daemon=True).start()


def _combined(contributions: Dict[int, Any]) -> Any:
    """The result, or a text that says why there is none."""
    asked = {entry[0] for entry in contributions.values()}
    values = [contributions[rank][1] for rank in sorted(contributions)]
    shapes = {(value.dtype.str, value.shape) for value in values}
    if len(asked) > 1 or len(shapes) > 1:
        return f"ranks ask for {sorted(asked)} with {sorted(shapes)}"
    ((kind, detail),) = asked
    if kind == "broadcast":
        return values[detail]
    fold = {"sum": numpy.add, "prod": numpy.multiply, "max": numpy.maximum, "min": numpy.minimum}
    total = values[0]
    for value in values[1:]:
        total = fold[detail](total, value)
    return numpy.asarray(total, values[0].dtype)


class Member:
    """One rank's side."""

    def __init__(self, job: str, said: Any, size: int, serves: bool) -> None:
        """Waits for all ranks; `said` is this rank's number, or its device's under a chief."""
        if serves:
            threading.Thread(target=_serve, args=(job, size), daemon=True).start()
        self._connection = _connected(job)
        self._connection.send(said)
        if not self._connection.poll(_seconds()):
            raise error(f"HCCL: not all of {size} ranks came")
        self.rank = self._connection.recv()
        if self.rank is None:
            raise error("HCCL: two ranks are the same")
        self._changed = threading.Condition()
        self._counts: Dict[str, int] = {}
        self._answers: Dict[Any, Any] = {}
        self._gone: Optional[int] = None
        threading.Thread(target=self._listen, daemon=True).start()

    def exchange(self, name: str, asked: Tuple[str, Any], value: Any) -> Any:
        """What an operation of this name gives; every rank must run it equally often."""
        with self._changed:
            self._counts[name] = self._counts.get(name, 0) + 1
            key = name, self._counts[name]
            self._connection.send((key, asked, value))
            self._changed.wait_for(
                lambda: key in self._answers or self._gone is not None, _seconds()
            )
            if key not in self._answers:
                raise RuntimeError(f"HCCL: {name}: rank {self._gone} is gone or does not come")
            answer = self._answers.pop(key)
        if isinstance(answer, str):
            raise RuntimeError(f"HCCL: {name}: {answer}")
        return answer

    def _listen(self) -> None:
        key, answer = None, 0
        try:
            while True:
                key, answer = self._connection.recv()
                with self._changed:
                    if key is None:
                        self._gone = answer
                    else:
                        self._answers[key] = answer
                    self._changed.notify_all()
        except (EOFError, OSError):
            with self._changed:
                self._gone = 0 if self._gone is None else self._gone
                self._changed.notify_all()

    def close(self) -> None:
        """Leaves the job."""
        self._connection.close()


def _connected(job: str) -> Any:
    deadline = time.monotonic() + _seconds()
    while True:
        try:
            return Client(_address(job), family="AF_UNIX")
        except OSError:
            if time.monotonic() > deadline:
                raise error("HCCL: the first rank does not answer") from None
            time.sleep(0.02)
