"""Holds a job's rank table to the rules, and to the ranks of this launch, before they start."""

from __future__ import annotations

from pathlib import Path
from typing import Mapping

from common.ascend.device_numbers import physical_number, physical_numbers
from common.ascend.rank_tables.sources import read_table_file
from common.ascend.rank_tables.table import disagreement
from common.core.errors import ZooError
from common.launch.plan import Plan


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
    ranks = [(rank.rank, physical_number(rank.device_id, numbers)) for rank in plan.ranks]
    problem = disagreement(read_table_file(path), plan.world_size, ranks)
    if problem is not None:
        raise ZooError(
            f"rank table {path} is not this job's: {problem}; give another --rank_table, or make "
            "one: zoo ranktable make"
        )
