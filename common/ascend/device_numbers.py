"""Which physical devices a job's ranks are on, and whether those may work together."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Mapping, Sequence, Tuple

from common.ascend.rank_table_rules import topology_fault
from common.core.errors import UsageError
from common.machine.devices import npu_is_910a, npu_needs_rank_table

_NODE = re.compile(r"davinci(\d+)")


def physical_numbers(user: Mapping[str, str], system: Path) -> Tuple[int, ...]:
    """The devices' physical numbers by their logical ones: a container may have only some.

    Args:
        user: the variables as the user has them.
        system: the root of the file system, for tests.
    """
    names = os.listdir(str(system / "dev")) if (system / "dev").is_dir() else []
    nodes = sorted(int(match.group(1)) for match in map(_NODE.fullmatch, names) if match)
    words = user.get("ASCEND_RT_VISIBLE_DEVICES", "").split(",")
    if all(re.fullmatch(r"\s*[0-9]{1,3}\s*", word) for word in words):
        return tuple(physical_number(int(word), nodes) for word in words)
    return tuple(nodes)


def physical_number(logical: int, numbers: Sequence[int]) -> int:
    """A device's physical number; its logical one on a machine that has no such device."""
    return numbers[logical] if logical < len(numbers) else logical


def check_topology(chip: str, logical: Sequence[int], numbers: Sequence[int]) -> None:
    """Raises UsageError for devices of a 910A server that HCCL can't connect.

    Args:
        chip: the chip's name; another one has no such limit.
        logical: the ranks' devices; numbers: the physical numbers by the logical ones.
    """
    if len(logical) < 2 or not npu_is_910a(chip):
        return
    fault = topology_fault(sorted(physical_number(device, numbers) for device in logical))
    if fault:
        raise UsageError(f"{fault}; give other --ranks or --device_id")


def check_start_by_chief(chip: str) -> None:
    """Raises UsageError where HCCL knows no CM_* variables: on A3 and later."""
    if npu_needs_rank_table(chip):
        raise UsageError(
            f"{chip} starts several ranks of TensorFlow by a rank table alone: make one by zoo "
            "ranktable make, then give it as --rank_table"
        )
