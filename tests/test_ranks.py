"""Which rank a process is, under every launcher."""

from __future__ import annotations

import pytest

from common.core.errors import UsageError
from common.machine.ranks import ALONE, Place, find_place, find_tensorflow_place, under_slurm

OURS = {"RANK": "3", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}
TABLE = {"RANK_ID": "5", "RANK_SIZE": "8", "RANK_TABLE_FILE": "/table.json"}
CHIEF = {
    "CM_CHIEF_IP": "10.0.0.1",
    "CM_CHIEF_PORT": "29688",
    "CM_CHIEF_DEVICE": "0",
    "CM_WORKER_SIZE": "8",
}


def test_torch_ranks_are_read_as_every_launcher_sets_them() -> None:
    assert find_place(OURS, 0, 1) == Place(3, 8, 1)
    assert find_place({}, 2, 4) == Place(2, 4, 2)  # without one the device's number is the rank
    with pytest.raises(UsageError, match="--device_num is 4, but WORLD_SIZE is 8"):
        find_place(OURS, 0, 4)


@pytest.mark.parametrize(
    "environment, kind, device_id, place",
    [
        (OURS, "cpu", None, Place(3, 8, 1)),
        (OURS, "gpu", None, Place(3, 8, 1)),
        *[  # horovodrun and mpirun come first
            (
                {**OURS, prefix + "RANK": "1", prefix + "SIZE": "2", prefix + "LOCAL_RANK": "0"},
                "cpu",
                None,
                Place(1, 2, 0),
            )
            for prefix in ("HOROVOD_", "OMPI_COMM_WORLD_")
        ],
        ({}, "cpu", None, ALONE),
        ({}, "gpu", 3, Place(0, 1, 3)),
        ({}, "npu", None, ALONE),
        ({**TABLE, "ASCEND_DEVICE_ID": "2"}, "npu", None, Place(5, 8, 2)),
        # Without a rank table HCCL numbers the ranks.
        ({**CHIEF, "ASCEND_DEVICE_ID": "2"}, "npu", None, Place(0, 8, 2, numbered_by_hccl=True)),
    ],
)
def test_tensorflow_ranks_are_read_from_their_launchers(environment, kind, device_id, place):
    assert find_tensorflow_place(environment, kind, device_id) == place


@pytest.mark.parametrize(
    "environment, kind, told",
    [
        ({"RANK": "8", "WORLD_SIZE": "8"}, "cpu", "RANK is 8, not below WORLD_SIZE 8"),
        ({"RANK": "x", "WORLD_SIZE": "8"}, "cpu", "RANK is 'x', not a whole number"),
        ({"RANK_ID": "8p", "RANK_SIZE": "8"}, "npu", "RANK_ID is '8p'"),
        (dict(CHIEF, RANK_SIZE="8"), "npu", "neither RANK_SIZE nor RANK_TABLE_FILE"),
        (dict(CHIEF, RANK_TABLE_FILE="/t"), "npu", "neither RANK_SIZE nor RANK_TABLE_FILE"),
        (dict(CHIEF, CM_CHIEF_DEVICE=""), "npu", "needs CM_CHIEF_IP, .* together"),
        ({"CM_WORKER_SIZE": "8"}, "npu", "CM_WORKER_SIZE is set: HCCL needs"),
        (dict(TABLE, CM_CHIEF_IP="1.2.3.4"), "npu", "RANK_TABLE_FILE beside them"),
        (dict(CHIEF, CM_WORKER_SIZE="0"), "npu", "the size above 0"),
        ({"RANK_TABLE_FILE": "/t"}, "npu", "RANK_TABLE_FILE is set for a process that is alone"),
        ({"RANK_SIZE": "8"}, "npu", "RANK_SIZE is 8 without RANK_TABLE_FILE"),
        (
            {"RANK_SIZE": "8", "RANK_TABLE_FILE": "/t"},
            "npu",
            "without RANK_TABLE_FILE and RANK_ID",
        ),
    ],
)
def test_wrong_numbers_are_refused(environment, kind, told) -> None:
    with pytest.raises(UsageError, match=told):
        find_tensorflow_place(environment, kind)


SRUN = {
    "SLURM_PROCID": "5",
    "SLURM_NTASKS": "8",
    "SLURM_LOCALID": "1",
    "SLURM_JOB_ID": "123456",
    "SLURM_STEP_NODELIST": "gpu[03-05,9]",
    "SLURM_STEP_TASKS_PER_NODE": "4(x2)",
}


def test_a_task_of_srun_is_a_rank_that_meets_the_others_on_the_first_machine() -> None:
    found = under_slurm(SRUN)
    assert found == {
        "RANK": "5",
        "WORLD_SIZE": "8",
        "LOCAL_RANK": "1",
        "LOCAL_WORLD_SIZE": "4",
        "MASTER_ADDR": "gpu03",
        "MASTER_PORT": "18456",
    }
    assert find_place(found, 0, 1) == find_tensorflow_place(found, "cpu") == Place(5, 8, 1)


@pytest.mark.parametrize("more", [OURS, {"SLURM_NTASKS": "1"}])
def test_another_launcher_or_a_single_task_is_left_alone(more) -> None:
    assert under_slurm({**SRUN, **more}) == {}


@pytest.mark.parametrize(
    "nodes, first", [("one", "one"), ("a1,a2", "a1"), ("n[7-9]-ib,x", "n7-ib"), ("", "127.0.0.1")]
)
def test_the_first_of_slurms_machines(nodes: str, first: str) -> None:
    assert under_slurm({**SRUN, "SLURM_STEP_NODELIST": nodes})["MASTER_ADDR"] == first
