"""The environment of a rank, by framework, device and number of ranks."""

import dataclasses

import pytest

from common.launch.rank_environment import CM_VARIABLES, Job, Place, rank_environment
from common.machine.ranks import LAUNCHED_RANK

JOB = Job(
    framework="pytorch",
    device="npu",
    world_size=8,
    local_size=8,
    node_count=1,
    master_addr="127.0.0.1",
    master_port=29500,
    host_address="",
    rank_table="",
    threads=2,
    python_path=("/zoo", "/zoo/PyTorch"),
    directory="/home/user",
)
PLACE = Place(rank=3, local_rank=3, device_id=3)
ALONE = {"world_size": 1, "local_size": 1, "master_port": 0}


def environment(user=None, place=PLACE, **changes):
    return rank_environment(dataclasses.replace(JOB, **changes), place, user or {}, "/logs")


TF, SEVERAL = {"framework": "tensorflow"}, {"node_count": 2, "world_size": 16}
CM = set(CM_VARIABLES)
OTHERS = {"RANK": "0", "ASCEND_DEVICE_ID": "0", "HOROVOD_RANK": "7", "TF_CPP_MIN_LOG_LEVEL": "2"}


@pytest.mark.parametrize(
    "changes, values, removed",
    [
        (
            {},
            "RANK=3 RANK_ID=3 ASCEND_DEVICE_ID=3 DEVICE_ID=3 WORLD_SIZE=8 RANK_SIZE=8 JOB_ID=10087 "
            "MASTER_ADDR=127.0.0.1 MASTER_PORT=29500 TASK_QUEUE_ENABLE=1 LOCAL_WORLD_SIZE=8",
            CM | {"RANK_TABLE_FILE"},
        ),
        # One rank joins no group and loses rank table and chief.
        (ALONE, "RANK_SIZE=1", CM | {"RANK_TABLE_FILE", "RANK", "WORLD_SIZE", "MASTER_PORT"}),
        ({**TF, **ALONE}, "RANK_SIZE=1 TF_CPP_MIN_LOG_LEVEL=0", CM | {"RANK_TABLE_FILE"}),
        # TensorFlow has a rank table, or a chief and no rank; never another role than a worker's.
        (
            {**TF, "rank_table": "/table.json"},
            "RANK_TABLE_FILE=/table.json RANK_ID=3 ENABLE_HF32_EXECUTION=0",
            CM | {"POD_NAME", "TF_CONFIG"},
        ),
        (
            {**TF, "master_addr": "10.0.0.1", "host_address": "10.0.0.2"},
            "CM_CHIEF_IP=10.0.0.1 CM_WORKER_IP=10.0.0.2 CM_WORKER_SIZE=8 ASCEND_DEVICE_ID=3 "
            "TF_CPP_MIN_LOG_LEVEL=0 CM_CHIEF_DEVICE=0",
            {"RANK_TABLE_FILE", "RANK_ID", "RANK_SIZE", "POD_NAME", "TF_CONFIG"},
        ),
        # Several machines tell the way between them, and whom the launcher means.
        ({**SEVERAL, "host_address": "10.0.0.2"}, "HCCL_IF_IP=10.0.0.2", set()),
        ({**TF, **SEVERAL}, LAUNCHED_RANK + "=3", set()),
        # On CPU and GPU torch's identity, and nothing of Ascend or of other launchers.
        *[
            (
                {**TF, "device": device},
                "RANK=3 WORLD_SIZE=8 LOCAL_RANK=3 MASTER_ADDR=127.0.0.1 MASTER_PORT=29500",
                CM | {"HOROVOD_RANK", "OMPI_COMM_WORLD_RANK", "RANK_ID", "RANK_TABLE_FILE"},
            )
            for device in ("cpu", "gpu")
        ],
    ],
)
def test_a_rank_is_told_who_it_is_and_what_would_say_otherwise_is_removed(changes, values, removed):
    found = environment(OTHERS, **changes)
    assert dict(pair.split("=") for pair in values.split()).items() <= found.set.items()
    assert removed <= set(found.removed) and not set(found.set) & set(found.removed)
    if changes.get("device"):
        assert not [name for name in found.set if name.startswith(("ASCEND", "HCCL", "RANK_"))]
    if "node_count" not in changes:
        assert not {"HCCL_IF_IP", LAUNCHED_RANK} & set(found.set)


def test_a_users_chief_is_taken_and_it_is_on_the_first_ranks_device():
    place = Place(rank=2, local_rank=2, device_id=6)
    size = {"world_size": 4, "local_size": 4}
    found = environment({"CM_CHIEF_IP": "10.0.0.5"}, place=place, **TF, **size).set
    assert found["CM_CHIEF_IP"] == found["CM_WORKER_IP"] == "10.0.0.5"  # of one machine
    assert found["CM_CHIEF_DEVICE"] == "4"
    on_gpu = environment(device="gpu", place=Place(rank=1, local_rank=1, device_id=5)).set
    assert on_gpu["LOCAL_RANK"] == "5" and on_gpu["RANK"] == "1"


def test_hccl_has_time_to_meet():
    values = environment().set
    assert 120 <= int(values["HCCL_CONNECT_TIMEOUT"]) <= 7200
    assert int(values["HCCL_EXEC_TIMEOUT"]) % 68 == 0


@pytest.mark.parametrize(
    "changes, name, value",
    [
        ({}, "TASK_QUEUE_ENABLE", "1"),
        (TF, "ENABLE_HF32_EXECUTION", "0"),  # float32, never HF32
        ({}, "ENABLE_HF32_EXECUTION", None),
        ({"device": "cpu"}, "OMP_WAIT_POLICY", "PASSIVE"),  # threads that wait do not spin
        ({}, "OMP_WAIT_POLICY", None),
        ({"device": "cpu"}, "OMP_NUM_THREADS", "2"),  # the ranks share the cores
        ({"device": "cpu", "threads": 0}, "OMP_NUM_THREADS", None),
        ({"device": "cpu"}, "GLOO_SOCKET_IFNAME", "lo"),
        ({"device": "cpu", **TF}, "HOROVOD_GLOO_IFACE", "lo"),
        # torch would load torch_npu by itself, which fails without CANN's variables.
        ({"device": "gpu"}, "TORCH_DEVICE_BACKEND_AUTOLOAD", "0"),
        ({}, "TORCH_DEVICE_BACKEND_AUTOLOAD", None),
    ],
)
def test_a_default_holds_where_it_is_meant_and_gives_way_to_the_user(changes, name, value):
    assert environment(**changes).set.get(name) == value
    if value is not None:
        found = environment({name: "mine"}, **changes)
        assert found.kept[name] == "mine" and name not in found.set


def test_python_finds_the_checkout_first_and_the_users_folders_from_anywhere():
    result = environment({"PYTHONPATH": "lib:/zoo:/opt/x"})
    assert result.set["PYTHONPATH"] == "/zoo:/zoo/PyTorch:/home/user/lib:/opt/x"
