"""The environment of a rank, by framework, device and number of ranks."""

import dataclasses

import pytest

from common.core.errors import UsageError
from common.launch.rank_environment import (
    CM_VARIABLES,
    Job,
    Place,
    check_cluster_variables,
    rank_environment,
)
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
    cores=16,
    python_path=("/zoo", "/zoo/PyTorch"),
    directory="/home/user",
)
PLACE = Place(rank=3, local_rank=3, device_id=3)


def environment(user=None, place=PLACE, **changes):
    return rank_environment(dataclasses.replace(JOB, **changes), place, user or {}, "/logs")


def test_torch_on_npu_has_torchs_and_ascends_identity():
    values = environment().set
    assert values["RANK"] == values["RANK_ID"] == values["ASCEND_DEVICE_ID"] == "3"
    assert values["WORLD_SIZE"] == values["RANK_SIZE"] == "8"
    assert (values["MASTER_ADDR"], values["MASTER_PORT"]) == ("127.0.0.1", "29500")
    assert values["DEVICE_ID"] == "3" and values["JOB_ID"] == "10087"


def test_several_npu_ranks_get_time_to_meet():
    values = environment().set
    assert 120 <= int(values["HCCL_CONNECT_TIMEOUT"]) <= 7200
    assert int(values["HCCL_EXEC_TIMEOUT"]) % 68 == 0


@pytest.mark.parametrize("framework", ["pytorch", "tensorflow"])
def test_one_rank_loses_rank_table_and_cm_variables(framework):
    result = environment(framework=framework, world_size=1, local_size=1)
    assert set(CM_VARIABLES) | {"RANK_TABLE_FILE"} <= set(result.removed)


def test_one_torch_rank_joins_no_group():
    result = environment(world_size=1, local_size=1, master_port=0)
    assert {"RANK", "WORLD_SIZE", "MASTER_PORT"} <= set(result.removed)
    assert result.set["RANK_SIZE"] == "1"


def test_a_users_value_of_a_default_is_kept_and_told():
    result = environment({"HCCL_CONNECT_TIMEOUT": "600"})
    assert result.kept["HCCL_CONNECT_TIMEOUT"] == "600"
    assert "HCCL_CONNECT_TIMEOUT" not in result.set


def test_a_users_value_never_changes_who_a_rank_is():
    result = environment({"RANK": "0", "ASCEND_DEVICE_ID": "0"})
    assert result.set["RANK"] == result.set["ASCEND_DEVICE_ID"] == "3"


def test_nothing_is_both_set_and_removed():
    for job in ({}, {"world_size": 1, "local_size": 1}, {"framework": "tensorflow"}):
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
    assert result.set["ASCEND_DEVICE_ID"] == "3"


def test_the_ranks_of_one_machine_are_where_their_chief_is():
    found = environment({"CM_CHIEF_IP": "10.0.0.5"}, framework="tensorflow")
    assert found.set["CM_CHIEF_IP"] == found.set["CM_WORKER_IP"] == "10.0.0.5"


def test_the_chief_is_on_the_first_ranks_device():
    place = Place(rank=2, local_rank=2, device_id=6)
    found = environment(framework="tensorflow", place=place, world_size=4, local_size=4)
    assert found.set["CM_CHIEF_DEVICE"] == "4"


def test_on_several_machines_a_rank_knows_which_one_the_launcher_takes_it_for():
    several = environment(framework="tensorflow", node_count=2, world_size=16)
    assert several.set[LAUNCHED_RANK] == "3"
    assert LAUNCHED_RANK not in environment(framework="tensorflow").set


def test_ranks_of_torch_have_no_rank_table():
    assert "RANK_TABLE_FILE" in environment().removed


@pytest.mark.parametrize("table", ["", "/table.json"])
def test_the_plugin_takes_no_rank_for_a_pods_or_another_roles(table):
    found = environment(framework="tensorflow", rank_table=table)
    assert {"POD_NAME", "TF_CONFIG"} <= set(found.removed)


@pytest.mark.parametrize("world_size", [1, 8])
def test_the_log_level_is_low_enough_to_prove_the_device_whatever_was_left(world_size):
    found = environment(
        {"TF_CPP_MIN_LOG_LEVEL": "2"},
        framework="tensorflow",
        world_size=world_size,
        local_size=world_size,
    )
    assert found.set["TF_CPP_MIN_LOG_LEVEL"] == "0"


def test_torch_loads_no_torch_npu_where_no_npu_is_asked_for():
    for device in ("cpu", "gpu"):
        assert environment(device=device).set["TORCH_DEVICE_BACKEND_AUTOLOAD"] == "0"
    assert "TORCH_DEVICE_BACKEND_AUTOLOAD" not in environment().set


def test_a_rank_table_and_cm_variables_at_once_are_an_error():
    job = dataclasses.replace(JOB, framework="tensorflow", rank_table="/table.json")
    with pytest.raises(UsageError, match="CM_CHIEF_IP"):
        check_cluster_variables(job, {"CM_CHIEF_IP": "1.2.3.4"})


@pytest.mark.parametrize(
    "user, port, match",
    [
        ({"CM_CHIEF_PORT": "65530"}, 29500, "not 65530; unset CM_CHIEF_PORT"),
        ({}, 65530, "not 65530; give another --master_port"),
    ],
)
def test_a_port_that_hccl_can_not_have_is_told_by_its_source(user, port, match):
    with pytest.raises(UsageError, match=match):
        check_cluster_variables(
            dataclasses.replace(JOB, framework="tensorflow", master_port=port), user
        )


def test_another_jobs_size_is_an_error():
    job = dataclasses.replace(JOB, framework="tensorflow")
    with pytest.raises(UsageError, match="CM_WORKER_SIZE is 16 and this job has 8 ranks"):
        check_cluster_variables(job, {"CM_WORKER_SIZE": "16"})
    check_cluster_variables(job, {"CM_WORKER_SIZE": "8"})


def test_ranks_without_hccl_have_no_use_for_what_was_left():
    for job in ({"framework": "pytorch"}, {"framework": "tensorflow", "device": "cpu"}):
        check_cluster_variables(dataclasses.replace(JOB, **job), {"CM_WORKER_SIZE": "16"})


def test_several_machines_tell_hccl_the_way_between_them():
    result = environment(node_count=2, world_size=16, host_address="10.0.0.2")
    assert result.set["HCCL_IF_IP"] == "10.0.0.2"
    assert "HCCL_IF_IP" not in environment().set


def test_float32_of_tensorflow_is_not_read_as_hf32_unless_the_user_says_so():
    assert environment(framework="tensorflow").set["ENABLE_HF32_EXECUTION"] == "0"
    kept = environment({"ENABLE_HF32_EXECUTION": "1"}, framework="tensorflow").kept
    assert kept["ENABLE_HF32_EXECUTION"] == "1"
    assert "ENABLE_HF32_EXECUTION" not in environment(framework="pytorch").set


def test_threads_of_a_processor_wait_without_spinning_unless_the_user_says_otherwise():
    assert environment(device="cpu").set["OMP_WAIT_POLICY"] == "PASSIVE"
    assert environment({"OMP_WAIT_POLICY": "ACTIVE"}, device="cpu").kept["OMP_WAIT_POLICY"]
    assert "OMP_WAIT_POLICY" not in environment(device="npu").set


def test_cpu_ranks_share_the_cores():
    values = environment(device="cpu").set
    assert values["OMP_NUM_THREADS"] == "2" and values["GLOO_SOCKET_IFNAME"] == "lo"
    assert environment(device="cpu", cores=2).set["OMP_NUM_THREADS"] == "1"


def test_cpu_and_gpu_have_nothing_of_ascend():
    for device in ("cpu", "gpu"):
        assert not [
            name
            for name in environment(device=device).set
            if name.startswith(("ASCEND", "HCCL", "RANK_"))
        ]


@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_tensorflow_ranks_without_npu_have_torchs_identity_and_no_other_launchers(device):
    result = environment({"HOROVOD_RANK": "7"}, framework="tensorflow", device=device)
    expected = environment(device=device).set
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        assert result.set[name] == expected[name]
    assert {
        "HOROVOD_RANK",
        "OMPI_COMM_WORLD_RANK",
        "RANK_ID",
        "RANK_SIZE",
        "RANK_TABLE_FILE",
    } <= set(result.removed)


def test_tensorflow_cpu_ranks_meet_on_the_loopback_interface():
    assert environment(framework="tensorflow", device="cpu").set["HOROVOD_GLOO_IFACE"] == "lo"


def test_local_rank_is_the_devices_number():
    values = environment(device="gpu", place=Place(rank=1, local_rank=1, device_id=5)).set
    assert values["LOCAL_RANK"] == "5" and values["RANK"] == "1"


def test_python_finds_the_checkout_first_and_the_users_folders_from_anywhere():
    result = environment({"PYTHONPATH": "lib:/zoo:/opt/x"})
    assert result.set["PYTHONPATH"] == "/zoo:/zoo/PyTorch:/home/user/lib:/opt/x"
