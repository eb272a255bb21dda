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


def test_torch_on_npu_has_torchs_and_ascends_identity():
    values = environment({"RANK": "0", "ASCEND_DEVICE_ID": "0"}).set  # a user's never counts
    assert values["RANK"] == values["RANK_ID"] == values["ASCEND_DEVICE_ID"] == "3"
    assert values["WORLD_SIZE"] == values["RANK_SIZE"] == "8"
    assert (values["MASTER_ADDR"], values["MASTER_PORT"]) == ("127.0.0.1", "29500")
    assert values["DEVICE_ID"] == "3" and values["JOB_ID"] == "10087"
    assert 120 <= int(values["HCCL_CONNECT_TIMEOUT"]) <= 7200  # time to meet
    assert int(values["HCCL_EXEC_TIMEOUT"]) % 68 == 0
    assert "RANK_TABLE_FILE" in environment().removed


@pytest.mark.parametrize("framework", ["pytorch", "tensorflow"])
def test_one_rank_loses_rank_table_and_cm_variables(framework):
    result = environment(framework=framework, **ALONE)
    assert set(CM_VARIABLES) | {"RANK_TABLE_FILE"} <= set(result.removed)


def test_one_torch_rank_joins_no_group():
    result = environment(**ALONE)
    assert {"RANK", "WORLD_SIZE", "MASTER_PORT"} <= set(result.removed)
    assert result.set["RANK_SIZE"] == "1"


def test_nothing_is_both_set_and_removed():
    for job in ({}, ALONE, {"framework": "tensorflow"}):
        result = environment(**job)
        assert not set(result.set) & set(result.removed)


def test_tensorflow_with_a_rank_table_has_no_cm_variables():
    result = environment(framework="tensorflow", rank_table="/table.json")
    assert result.set["RANK_TABLE_FILE"] == "/table.json" and result.set["RANK_ID"] == "3"
    assert set(CM_VARIABLES) <= set(result.removed)


def test_tensorflow_without_a_rank_table_has_cm_variables_and_no_rank():
    result = environment(framework="tensorflow", master_addr="10.0.0.1", host_address="10.0.0.2")
    assert result.set["CM_CHIEF_IP"] == "10.0.0.1" and result.set["CM_WORKER_IP"] == "10.0.0.2"
    assert result.set["CM_WORKER_SIZE"] == "8"
    assert {"RANK_TABLE_FILE", "RANK_ID", "RANK_SIZE"} <= set(result.removed)
    assert result.set["ASCEND_DEVICE_ID"] == "3" and LAUNCHED_RANK not in result.set


def test_the_ranks_of_one_machine_are_where_their_chief_is():
    found = environment({"CM_CHIEF_IP": "10.0.0.5"}, framework="tensorflow")
    assert found.set["CM_CHIEF_IP"] == found.set["CM_WORKER_IP"] == "10.0.0.5"


def test_the_chief_is_on_the_first_ranks_device():
    place = Place(rank=2, local_rank=2, device_id=6)
    found = environment(framework="tensorflow", place=place, world_size=4, local_size=4)
    assert found.set["CM_CHIEF_DEVICE"] == "4"


@pytest.mark.parametrize("table", ["", "/table.json"])
def test_the_plugin_takes_no_rank_for_a_pods_or_another_roles(table):
    found = environment(framework="tensorflow", rank_table=table)
    assert {"POD_NAME", "TF_CONFIG"} <= set(found.removed)


@pytest.mark.parametrize("changes", [{}, ALONE])
def test_the_log_level_is_low_enough_to_prove_the_device_whatever_was_left(changes):
    found = environment({"TF_CPP_MIN_LOG_LEVEL": "2"}, framework="tensorflow", **changes)
    assert found.set["TF_CPP_MIN_LOG_LEVEL"] == "0"


def test_several_machines_tell_the_way_between_them_and_whom_the_launcher_means():
    result = environment(node_count=2, world_size=16, host_address="10.0.0.2")
    assert result.set["HCCL_IF_IP"] == "10.0.0.2" and "HCCL_IF_IP" not in environment().set
    several = environment(framework="tensorflow", node_count=2, world_size=16)
    assert several.set[LAUNCHED_RANK] == "3"


@pytest.mark.parametrize(
    "changes, name, value",
    [
        ({}, "TASK_QUEUE_ENABLE", "1"),
        ({"framework": "tensorflow"}, "ENABLE_HF32_EXECUTION", "0"),  # float32, never HF32
        ({"framework": "pytorch"}, "ENABLE_HF32_EXECUTION", None),
        ({"device": "cpu"}, "OMP_WAIT_POLICY", "PASSIVE"),  # threads that wait do not spin
        ({}, "OMP_WAIT_POLICY", None),
        ({"device": "cpu"}, "OMP_NUM_THREADS", "2"),  # the ranks share the cores
        ({"device": "cpu", "threads": 0}, "OMP_NUM_THREADS", None),
        ({"device": "cpu"}, "GLOO_SOCKET_IFNAME", "lo"),
        ({"device": "cpu", "framework": "tensorflow"}, "HOROVOD_GLOO_IFACE", "lo"),
        # torch would load torch_npu by itself, which fails without CANN's variables.
        ({"device": "cpu"}, "TORCH_DEVICE_BACKEND_AUTOLOAD", "0"),
        ({"device": "gpu"}, "TORCH_DEVICE_BACKEND_AUTOLOAD", "0"),
        ({}, "TORCH_DEVICE_BACKEND_AUTOLOAD", None),
    ],
)
def test_a_default_holds_where_it_is_meant_and_gives_way_to_the_user(changes, name, value):
    assert environment(**changes).set.get(name) == value
    if value is not None:
        found = environment({name: "mine"}, **changes)
        assert found.kept[name] == "mine" and name not in found.set


@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_without_npu_tensorflow_has_torchs_identity_and_nothing_of_ascend_or_other_launchers(
    device,
):
    result = environment({"HOROVOD_RANK": "7"}, framework="tensorflow", device=device)
    expected = environment(device=device).set
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        assert result.set[name] == expected[name]
    gone = {"HOROVOD_RANK", "OMPI_COMM_WORLD_RANK", "RANK_ID", "RANK_SIZE", "RANK_TABLE_FILE"}
    assert gone <= set(result.removed)
    assert not [name for name in expected if name.startswith(("ASCEND", "HCCL", "RANK_"))]


def test_local_rank_is_the_devices_number():
    values = environment(device="gpu", place=Place(rank=1, local_rank=1, device_id=5)).set
    assert values["LOCAL_RANK"] == "5" and values["RANK"] == "1"


def test_python_finds_the_checkout_first_and_the_users_folders_from_anywhere():
    result = environment({"PYTHONPATH": "lib:/zoo:/opt/x"})
    assert result.set["PYTHONPATH"] == "/zoo:/zoo/PyTorch:/home/user/lib:/opt/x"
