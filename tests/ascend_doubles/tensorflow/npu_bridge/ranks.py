"""How the environment makes a process one of several ranks, and what ranks exchange.

The ranks of one machine really exchange numbers: the first one serves.
"""

from __future__ import annotations

import collections
import contextlib
import functools
import hashlib
import itertools
import json
import os
import threading
import time
from multiprocessing.connection import Client, Listener
from typing import Any, Dict, List, Tuple

import numpy

from npu_bridge.process import PROCESS, error

_CHIEF = ("CM_CHIEF_IP", "CM_CHIEF_PORT", "CM_CHIEF_DEVICE", "CM_WORKER_SIZE")
JOIN = ("join", None)


def way() -> str:
    """How ranks are found, as the plugin decides: "none", by a "table", or through a chief ("cm").

    What contradicts is logged, and neither way is used; a table left over switches HCCL on.
    """
    given = os.environ
    if given.get("RANK_TABLE_FILE") and not {"CM_CHIEF_IP", "CM_WORKER_SIZE"} & set(given):
        return "table"
    chief = all(given.get(name) for name in _CHIEF)
    contradicts = "RANK_SIZE" in given or "RANK_TABLE_FILE" in given
    return "cm" if chief and not contradicts else "none"


def join(way: str, device: int) -> None:
    """Meets the other ranks.

    Raises:
        InternalError: they did not come, or the table has this rank on another device.
    """
    if way == "cm":
        job = "{CM_CHIEF_IP}:{CM_CHIEF_PORT}".format(**os.environ)
        size, said = int(os.environ["CM_WORKER_SIZE"]), device
        serves = device == int(os.environ["CM_CHIEF_DEVICE"])
    else:
        job, said = os.path.realpath(os.environ["RANK_TABLE_FILE"]), int(os.environ["RANK_ID"])
        with open(job, encoding="utf-8") as file:
            servers = json.load(file)["server_list"]
        places = {one["rank_id"]: one["device_id"] for part in servers for one in part["device"]}
        size, serves = len(places), said == 0
        if places.get(str(said)) != str(device):
            raise error(f"HCCL: device {device} is not that of rank {said} in the rank table")
    PROCESS.collective = Member(job, said, size, serves)
    PROCESS.rank, PROCESS.size = PROCESS.collective.rank, size


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


def _connected(job: str) -> Any:
    deadline = time.monotonic() + _seconds()
    while True:
        try:
            return Client(_address(job), family="AF_UNIX")
        except OSError:
            if time.monotonic() > deadline:
                raise RuntimeError("HCCL: the first rank does not answer") from None
            time.sleep(0.02)
