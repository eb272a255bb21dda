"""How the environment makes a process one of several ranks, and what ranks exchange."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import functools
import hashlib
import itertools
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
JOIN = ("join", None)


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
    """Answers each exchange once every rank has asked for it, over a connection of its own."""
    waiting: Dict[Any, List[Any]] = {}
    with Listener(_address(job), family="AF_UNIX", backlog=64 * size) as listener:
        while True:
            connection = listener.accept()
            key, *contribution = connection.recv()
            waiting.setdefault(key, []).append((*contribution, connection))
            if len(waiting[key]) == size:
                members = sorted(waiting.pop(key), key=lambda member: member[0])
                answer = _combined(members)
                for *_, one in members:
                    with contextlib.suppress(OSError):  # that rank has ended
                        one.send(answer)


def _combined(members: List[Any]) -> Any:
    """The result of (number, what is asked, value, …) in order, or a text where there is none."""
    numbers, requests, values = zip(*(member[:3] for member in members))
    asked = set(requests)
    if asked == {JOIN}:
        return numbers if len(set(numbers)) == len(numbers) else "two ranks are the same"
    shapes = {(value.dtype.str, value.shape) for value in values}
    if len(asked) > 1 or len(shapes) > 1:
        return f"ranks ask for {sorted(asked)} with {sorted(shapes)}"
    ((kind, detail),) = asked
    if kind == "broadcast":
        return values[detail]
    fold = {"sum": numpy.add, "prod": numpy.multiply, "max": numpy.maximum, "min": numpy.minimum}
    return numpy.asarray(functools.reduce(fold[detail], values), values[0].dtype)


class Member:
    """One rank's side."""

    def __init__(self, job: str, said: int, size: int, serves: bool) -> None:
        """Waits for all ranks; `said` is this rank's number, or its device's under a chief."""
        if serves:
            threading.Thread(target=_serve, args=(job, size), daemon=True).start()
        self._job, self._said = job, said
        self._counts: Dict[str, Any] = collections.defaultdict(itertools.count)
        try:
            self.rank = self._ask("join", JOIN, None).index(said)
        except RuntimeError as fault:
            raise error(str(fault)) from None

    def exchange(self, name: str, asked: Tuple[str, Any], value: Any) -> Any:
        """What an operation of this name gives; every rank must run it equally often."""
        return self._ask((name, next(self._counts[name])), asked, value)

    def _ask(self, key: Any, asked: Tuple[str, Any], value: Any) -> Any:
        with _connected(self._job) as connection:
            connection.send((key, self._said, asked, value))
            try:
                answer = connection.recv() if connection.poll(_seconds()) else "not all ranks came"
            except (EOFError, OSError):
                answer = "the first rank is gone"
        if isinstance(answer, str):
            raise RuntimeError(f"HCCL: {key}: {answer}")
        return answer

    def close(self) -> None:
        """Leaves the job."""


def _connected(job: str) -> Any:
    deadline = time.monotonic() + _seconds()
    while True:
        try:
            return Client(_address(job), family="AF_UNIX")
        except OSError:
            if time.monotonic() > deadline:
                raise RuntimeError("HCCL: the first rank does not answer") from None
            time.sleep(0.02)
