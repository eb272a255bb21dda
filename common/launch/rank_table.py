"""Holds a job's rank table to the rules, and to the ranks of this launch, before they start."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Mapping, Sequence, Tuple

from common.errors import ZooError
from common.launch.plan import Plan
from common.ranktable.agreement import disagreement
from common.ranktable.sources import read_table_file

_NODE = re.compile(r"davinci(\d+)")


def check_rank_table(plan: Plan, user: Mapping[str, str], system: Path = Path("/")) -> None:
    """Checks the table that the plan's ranks are given, if TensorFlow's HCCL is given any.

    Args:
        user: the variables as the user has them.
        system: the root of the file system, for tests.

    Raises:
        ZooError: the table can't be read, breaks a rule, or has other ranks on these devices.
    """
    path = plan.ranks[0].environment.set.get("RANK_TABLE_FILE")
    if path is None:
        return
    numbers = physical_numbers(user, system)
    ranks = [(rank.rank, _physical(rank.device_id, numbers)) for rank in plan.ranks]
    problem = disagreement(read_table_file(path), plan.world_size, ranks)
    if problem is not None:
        raise ZooError("rank table {} is not this job's: {}; give another --rank_table, or make "
                       "one: zoo ranktable make".format(path, problem))


def physical_numbers(user: Mapping[str, str], system: Path) -> Tuple[int, ...]:
    """The devices' physical numbers by their logical ones: a container may have only some."""
    names = os.listdir(str(system / "dev")) if (system / "dev").is_dir() else []
    nodes = sorted(int(match.group(1)) for match in map(_NODE.fullmatch, names) if match)
    words = user.get("ASCEND_RT_VISIBLE_DEVICES", "").split(",")
    if all(re.fullmatch(r"\s*[0-9]{1,3}\s*", word) for word in words):
        return tuple(_physical(int(word), nodes) for word in words)
    return tuple(nodes)


def _physical(logical: int, numbers: Sequence[int]) -> int:
    """A device's physical number; its logical one on a machine that has no such device."""
    return numbers[logical] if logical < len(numbers) else logical
