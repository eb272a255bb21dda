"""Devices of a 910A server that may work together."""

import pytest

from common.ascend.device_numbers import check_start_by_chief, check_topology
from common.core.errors import UsageError

WHOLE = tuple(range(8))


@pytest.mark.parametrize("devices", [[0], [0, 1], [4, 5, 6, 7], list(range(8))])
def test_whole_servers_and_parts_of_a_half_are_welcome(devices):
    check_topology("Ascend910A", devices, WHOLE)


@pytest.mark.parametrize(
    "devices, match",
    [
        ([0, 1, 2], "1, 2, 4 or 8"),
        ([3, 4], "inside 0-3 or inside 4-7"),
        ([2, 3, 4, 5], "inside 0-3 or inside 4-7"),
    ],
)
def test_other_devices_of_a_910a_are_refused(devices, match):
    with pytest.raises(UsageError, match=match):
        check_topology("Ascend910ProB", devices, WHOLE)


@pytest.mark.parametrize("chip", ["Ascend910B3", "Ascend910_9392", "Ascend NPU"])
def test_other_chips_have_no_such_limit(chip):
    check_topology(chip, [0, 1, 2], WHOLE)


def test_it_is_the_physical_numbers_that_count():
    check_topology("Ascend910A", [0, 1], (4, 6))
    with pytest.raises(UsageError, match="devices 3, 4"):
        check_topology("Ascend910A", [0, 1], (3, 4))


@pytest.mark.parametrize("chip", ["Ascend910_9391", "Ascend950PR_9589"])
def test_chips_after_the_a2_start_several_ranks_by_a_rank_table_alone(chip):
    check_start_by_chief("Ascend910B3")
    with pytest.raises(UsageError, match="zoo ranktable make"):
        check_start_by_chief(chip)
