"""Which rank a process is, under every launcher."""

from __future__ import annotations

import pytest

from common.core.errors import UsageError
from common.machine.ranks import ALONE, Place, find_place, find_tensorflow_place

OURS = {"RANK": "3", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}


def test_torch_ranks_are_read_as_every_launcher_sets_them() -> None:
    assert find_place(OURS, 0, 1) == Place(3, 8, 1)


def test_without_a_launcher_the_device_number_is_the_rank() -> None:
    assert find_place({}, 2, 4) == Place(2, 4, 2)


def test_torch_numbers_that_contradict_are_refused() -> None:
    with pytest.raises(UsageError, match="--device_num is 4, but WORLD_SIZE is 8"):
        find_place(OURS, 0, 4)


@pytest.mark.parametrize("kind", ["cpu", "gpu"])
def test_tensorflow_ranks_are_read_as_our_launcher_sets_them(kind) -> None:
    assert find_tensorflow_place(OURS, kind) == Place(3, 8, 1)


@pytest.mark.parametrize("prefix, size", [("HOROVOD_", "SIZE"), ("OMPI_COMM_WORLD_", "SIZE")])
def test_horovodrun_and_mpirun_come_first(prefix, size) -> None:
    theirs = {prefix + "RANK": "1", prefix + size: "2", prefix + "LOCAL_RANK": "0"}
    assert find_tensorflow_place(dict(OURS, **theirs), "cpu") == Place(1, 2, 0)


def test_a_process_of_its_own_is_alone_on_its_device() -> None:
    assert find_tensorflow_place({}, "cpu") == ALONE
    assert find_tensorflow_place({}, "gpu", 3) == Place(0, 1, 3)


def test_an_npus_rank_comes_from_the_rank_tables_variables() -> None:
    environment = {
        "RANK_ID": "5",
        "RANK_SIZE": "8",
        "ASCEND_DEVICE_ID": "2",
        "RANK_TABLE_FILE": "/table.json",
    }
    assert find_tensorflow_place(environment, "npu") == Place(5, 8, 2)
    assert find_tensorflow_place({}, "npu") == ALONE


def test_without_a_rank_table_hccl_numbers_the_npus() -> None:
    environment = dict(CHIEF, ASCEND_DEVICE_ID="2")
    assert find_tensorflow_place(environment, "npu") == Place(0, 8, 2, numbered_by_hccl=True)


CHIEF = {
    "CM_CHIEF_IP": "10.0.0.1",
    "CM_CHIEF_PORT": "29688",
    "CM_CHIEF_DEVICE": "0",
    "CM_WORKER_SIZE": "8",
}


@pytest.mark.parametrize(
    "environment, kind, told",
    [
        ({"RANK": "8", "WORLD_SIZE": "8"}, "cpu", "RANK is 8, not below WORLD_SIZE 8"),
        ({"RANK": "x", "WORLD_SIZE": "8"}, "cpu", "RANK is 'x', not a whole number"),
        ({"RANK_ID": "8p", "RANK_SIZE": "8"}, "npu", "RANK_ID is '8p'"),
        (dict(CHIEF, RANK_SIZE="8"), "npu", "RANK_SIZE and CM_WORKER_SIZE are both set"),
        (dict(CHIEF, RANK_TABLE_FILE="/t"), "npu", "RANK_TABLE_FILE and CM_CHIEF_IP are both set"),
        (dict(CHIEF, CM_CHIEF_DEVICE=""), "npu", "CM_CHIEF_DEVICE is not"),
        ({"CM_WORKER_SIZE": "8"}, "npu", "CM_WORKER_SIZE is set and CM_CHIEF_IP is not"),
        (
            {"CM_CHIEF_IP": "1.2.3.4", "RANK_TABLE_FILE": "/t", "RANK_ID": "1", "RANK_SIZE": "8"},
            "npu",
            "both set",
        ),
        (dict(CHIEF, CM_WORKER_SIZE="0"), "npu", "CM_WORKER_SIZE is 0, not a number of ranks"),
        ({"RANK_TABLE_FILE": "/t"}, "npu", "RANK_TABLE_FILE is set for a process that is alone"),
        ({"RANK_SIZE": "8"}, "npu", "RANK_TABLE_FILE is not set"),
        ({"RANK_SIZE": "8", "RANK_TABLE_FILE": "/t"}, "npu", "RANK_ID is not set"),
    ],
)
def test_wrong_numbers_are_refused(environment, kind, told) -> None:
    with pytest.raises(UsageError, match=told):
        find_tensorflow_place(environment, kind)
