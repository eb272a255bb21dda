"""Which rank this process is: from the environment, or from the original flags."""

from __future__ import annotations

import dataclasses
from typing import Mapping

from common.errors import UsageError


@dataclasses.dataclass(frozen=True)
class Place:
    """This process among all: rank of world_size, local_rank on this machine."""

    rank: int
    world_size: int
    local_rank: int


def find_place(environment: Mapping[str, str], device_id: int, device_num: int) -> Place:
    """Reads RANK, WORLD_SIZE, LOCAL_RANK as every launcher sets them.

    Without them a job of several devices is one process each, rank = --device_id, as the original
    scripts start it.

    Raises:
        UsageError: the numbers contradict, or are no numbers.
    """
    if "RANK" not in environment or "WORLD_SIZE" not in environment:
        if device_id >= device_num > 1:
            raise UsageError("--device_id {} is not below --device_num {}".format(
                device_id, device_num))
        return Place(device_id if device_num > 1 else 0, device_num, device_id)
    rank, size = _number(environment, "RANK"), _number(environment, "WORLD_SIZE")
    if device_num not in (1, size):
        raise UsageError("--device_num is {}, but WORLD_SIZE is {}".format(device_num, size))
    if not 0 <= rank < size:
        raise UsageError("RANK is {}, not below WORLD_SIZE {}".format(rank, size))
    local = _number(environment, "LOCAL_RANK") if "LOCAL_RANK" in environment else device_id
    return Place(rank, size, local)


def _number(environment: Mapping[str, str], name: str) -> int:
    try:
        return int(environment[name])
    except ValueError:
        raise UsageError("{} is {!r}, not a whole number".format(
            name, environment[name])) from None
