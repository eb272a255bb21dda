"""The double of npu_bridge: ranks, rank tables, CM_*, and what ranks exchange."""

from __future__ import annotations

import json
import threading
import unittest.mock
from typing import Any, Dict, List

import numpy
import pytest

from common.training.tensorflow.runtime import tf
from tests.ascend_doubles.fresh_npu_bridge import Double, imported
from tests.ascend_doubles.npu_bridge_stand_ins import Echo, config_of

pytestmark = [pytest.mark.tensorflow, pytest.mark.usefixtures("default_graph")]
CHIEF = {
    "CM_CHIEF_IP": "10.0.0.1",
    "CM_CHIEF_PORT": "29688",
    "CM_CHIEF_DEVICE": "0",
    "CM_WORKER_SIZE": "2",
}


def rank_table(folder: Any, devices: List[int], **changes: Any) -> str:
    table: Dict[str, Any] = {
        "version": "1.0",
        "status": "completed",
        "server_count": "1",
        "server_list": [
            {
                "server_id": "10.0.0.1",
                "device": [
                    {
                        "device_id": str(device),
                        "device_ip": f"192.168.100.{100 + device}",
                        "rank_id": str(rank),
                    }
                    for rank, device in enumerate(devices)
                ],
            }
        ],
    }
    path = folder / "table.json"
    path.write_text(json.dumps(dict(table, **changes)))
    return str(path)


def run_something() -> None:
    with tf.Session() as session:
        session.run(tf.zeros([2]) + 1.0)


# --- how ranks are found ---


def cluster(double: Double, **environment: str) -> Any:
    return double.module("contract.environment").read_cluster(environment)


def test_a_rank_table_left_over_makes_one_card_collective(
    double: Double, tmp_path, monkeypatch
) -> None:
    monkeypatch.setenv("RANK_TABLE_FILE", rank_table(tmp_path, [0, 1]))
    monkeypatch.setenv("RANK_ID", "0")
    with pytest.raises(tf.errors.InternalError, match="HCCL: not all of 2 ranks came"):
        run_something()
    assert double.process.way == "table"


@pytest.mark.parametrize(
    "environment, way",
    [
        ({"RANK_TABLE_FILE": "t", "RANK_SIZE": "1", "RANK_ID": "0"}, "table"),
        ({"RANK_TABLE_FILE": "t", "RANK_ID": "0"}, "table"),
        ({"RANK_TABLE_FILE": "t", "RANK_SIZE": "0", "RANK_ID": "0"}, "none"),
        ({"RANK_TABLE_FILE": "t", "CM_WORKER_SIZE": "2", "RANK_ID": "0"}, "none"),
        (CHIEF, "cm"),
        (dict(CHIEF, CM_WORKER_IP="10.0.0.2"), "cm"),
        (dict(CHIEF, RANK_SIZE="2"), "none"),
        (dict(CHIEF, RANK_SIZE=""), "none"),
        (dict(CHIEF, CM_CHIEF_DEVICE=""), "none"),
        (dict(CHIEF, CM_WORKER_SIZE="0"), "none"),
        ({"RANK_SIZE": "8", "RANK_ID": "0"}, "none"),
        ({}, "none"),
    ],
)
def test_the_way_to_the_ranks_follows_from_the_environment(
    double: Double, environment, way
) -> None:
    assert cluster(double, **environment).way == way


def test_a_table_and_a_chief_together_are_both_left_unused(double: Double) -> None:
    assert cluster(double, RANK_TABLE_FILE="t", RANK_ID="0", **CHIEF).way == "none"
    assert any("neither" in message for message in double.process.messages)


@pytest.mark.parametrize("adapter, way", [("1.10.0", "none"), ("1.11.0", "cm")])
def test_a_chief_is_known_from_1_11_on(monkeypatch, adapter, way) -> None:
    with imported(monkeypatch, adapter) as double:
        assert cluster(double, **CHIEF).way == way
        assert hasattr(double.init.util, "get_ranksize") is (way == "cm")


def test_a_chiefs_port_is_in_range(double: Double) -> None:
    with pytest.raises(double.failures.PluginAbort, match="CM_CHIEF_PORT"):
        cluster(double, **dict(CHIEF, CM_CHIEF_PORT="65521"))


def test_a_missing_job_id_is_only_warned_of(double: Double) -> None:
    cluster(double, JOB_ID="10087")
    assert double.process.messages == []
    cluster(double)
    assert double.process.messages == ["JOB_ID is not set"]


def test_a_table_without_a_rank_id_is_logged_and_fails_later(
    double: Double, tmp_path, monkeypatch
) -> None:
    monkeypatch.setenv("RANK_TABLE_FILE", rank_table(tmp_path, [0, 1]))
    with pytest.raises(tf.errors.InternalError, match="no RANK_ID"):
        run_something()
    assert "neither RANK_ID nor POD_NAME is set" in double.process.messages


@pytest.mark.parametrize(
    "devices, changes",
    [
        ([0, 1], {"status": "initializing"}),
        ([0, 1], {"version": "2.0"}),
        ([0, 1], {"server_count": 1}),
        ([0, 1, 2], {}),
        ([3, 4], {}),
    ],
)
def test_a_rank_table_that_breaks_a_rule_is_refused(
    double: Double, tmp_path, devices, changes
) -> None:
    read = double.module("contract.rank_table").read_devices
    assert len(read(rank_table(tmp_path, [4, 5]))) == 2
    with pytest.raises(tf.errors.InternalError, match="rank table"):
        read(rank_table(tmp_path, devices, **changes))


def test_the_table_must_have_this_device_at_this_rank(
    double: Double, tmp_path, monkeypatch
) -> None:
    monkeypatch.setenv("RANK_TABLE_FILE", rank_table(tmp_path, [4]))
    monkeypatch.setenv("RANK_ID", "0")
    with pytest.raises(tf.errors.InternalError, match="device 0 is not that of rank 0"):
        run_something()


@pytest.mark.parametrize("seconds, legal", [("119", False), ("7200", True), ("7201", False)])
def test_hccl_connect_timeout_is_in_range(
    double: Double, tmp_path, monkeypatch, seconds, legal
) -> None:
    monkeypatch.setenv("RANK_TABLE_FILE", rank_table(tmp_path, [0]))
    monkeypatch.setenv("RANK_ID", "0")
    monkeypatch.setenv("HCCL_CONNECT_TIMEOUT", seconds)
    if legal:
        run_something()
        assert double.process.collective is not None
    else:
        with pytest.raises(tf.errors.InternalError, match="HCCL_CONNECT_TIMEOUT"):
            run_something()


# --- who asks for ranks ---


def test_rank_functions_of_npu_init_do_not_exist_before_init_resource(double: Double) -> None:
    for ask in (
        double.init.get_npu_rank_id,
        double.init.get_npu_rank_size,
        double.init.get_npu_local_rank_id,
        double.init.get_npu_local_rank_size,
    ):
        with pytest.raises(NameError):
            ask()
    double.init.init_resource()
    assert (double.init.get_npu_rank_id(), double.init.get_npu_rank_size()) == (0, 1)


def test_hccl_knows_ranks_while_the_first_session_is_open(double: Double) -> None:
    from hccl.manage.api import get_rank_id, get_rank_size

    with pytest.raises(RuntimeError, match="not initialised"):
        get_rank_id()
    session, shutdown = double.init.init_resource(config_of())
    assert (get_rank_id(), get_rank_size()) == (0, 1)
    double.init.shutdown_resource(session, shutdown)
    double.init.close_session(session)
    with pytest.raises(RuntimeError, match="session is closed"):
        get_rank_id()


def test_the_rank_size_is_of_one_source(double: Double, monkeypatch) -> None:
    ask = double.init.util.get_ranksize
    assert ask() == "1"
    monkeypatch.setenv("CM_WORKER_SIZE", "4")
    assert ask() == "4"
    monkeypatch.setenv("RANK_SIZE", "8")
    with pytest.raises(ValueError):
        ask()


# --- what ranks exchange ---


def join(double: Double, said: List[int], work: Any) -> List[Any]:
    """Runs work(member) in a thread per rank, the first one serving; what each returned or raised.

    The ranks arrive one after another, so that what follows from their order is always the same.
    """
    hub, found = double.module("contract.hub"), [None] * len(said)
    job, arrivals = f"test {id(found)}", threading.Semaphore(0)
    connect = hub._connected

    def arriving(job: str) -> Any:
        connection = connect(job)
        arrivals.release()
        return connection

    def run(number: int) -> None:
        try:
            member = hub.Member(job, said[number], len(said), number == 0)
            found[number] = work(member)
            members.append(member)
        except Exception as error:
            found[number] = error

    members: List[Any] = []
    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(said))]
    with unittest.mock.patch.object(hub, "_connected", arriving):
        for thread in threads:
            thread.start()
            assert arrivals.acquire(timeout=hub.seconds())
        for thread in threads:
            thread.join()
    for member in members:
        member.close()
    return found


@pytest.mark.parametrize(
    "reduction, total", [("sum", 6.0), ("prod", 6.0), ("max", 3.0), ("min", 1.0)]
)
def test_ranks_reduce(double: Double, reduction, total) -> None:
    found = join(
        double,
        [0, 1, 2],
        lambda member: member.exchange(
            "x", ("allreduce", reduction), numpy.full([2], member.rank + 1.0, numpy.float32)
        ),
    )
    assert [value.tolist() for value in found] == [[total] * 2] * 3
    assert found[0].dtype == numpy.float32


def test_ranks_gather_and_broadcast(double: Double) -> None:
    def work(member: Any) -> Any:
        own = numpy.array([member.rank])
        return (
            member.exchange("g", ("allgather", 2), own).tolist(),
            member.exchange("b", ("broadcast", 1), own).tolist(),
        )

    assert join(double, [0, 1], work) == [([0, 1], [1])] * 2


def test_a_chief_numbers_ranks_by_device(double: Double) -> None:
    assert join(double, [5, 3, 4], lambda member: member.rank) == [2, 0, 1]


def test_one_rank_twice_is_refused(double: Double) -> None:
    found = join(double, [0, 0], lambda member: member.rank)
    assert all("two ranks are the same" in str(error) for error in found)


def test_ranks_that_ask_for_different_things_are_told(double: Double) -> None:
    found = join(
        double,
        [0, 1],
        lambda member: member.exchange("x", ("allreduce", "sum"), numpy.zeros([member.rank + 1])),
    )
    assert all("ranks ask for" in str(error) for error in found)


def test_a_rank_that_leaves_is_told_to_the_others(double: Double) -> None:
    def work(member: Any) -> Any:
        if member.rank == 1:
            return member.close()
        return member.exchange("x", ("allreduce", "sum"), numpy.zeros([1]))

    assert "rank 1 is gone" in str(join(double, [0, 1], work)[0])


@pytest.fixture
def two_ranks(double: Double, monkeypatch) -> Double:
    """Rank 0 of two, in a process that has opened HCCL."""
    monkeypatch.setenv("RANK_SIZE", "2")
    double.init.init_resource()
    double.process.collective = Echo(2)
    return double


def test_an_operation_without_hccl_fails(double: Double) -> None:
    total = double.init.hccl_ops.allreduce(tf.ones([2]), "sum")
    with tf.Session() as session, pytest.raises(
        tf.errors.InternalError, match="HCCL is not initialised"
    ):
        session.run(total)


def test_there_is_no_mean(double: Double) -> None:
    with pytest.raises(ValueError, match="mean"):
        double.init.hccl_ops.allreduce(tf.ones([2]), "mean")


def test_a_collective_operation_has_no_kernel_on_the_host(two_ranks: Double) -> None:
    total = two_ranks.init.hccl_ops.allreduce(tf.ones([2]), "sum")
    with tf.Session(config=config_of(use_off_line=False)) as session, pytest.raises(
        tf.errors.InternalError, match="no kernel on the host"
    ):
        session.run(total)


def test_broadcast_takes_and_gives_a_list(two_ranks: Double) -> None:
    with pytest.raises(TypeError):
        two_ranks.init.hccl_ops.broadcast(tf.ones([2]), 0)
    assert len(two_ranks.init.hccl_ops.broadcast([tf.ones([2]), tf.ones([3])], 0)) == 2


def test_gathering_knows_its_static_shape(two_ranks: Double) -> None:
    gathered = two_ranks.init.hccl_ops.allgather(tf.ones([2, 3]), 2)
    assert gathered.shape.as_list() == [4, 3]


def _variables() -> None:
    for name, trainable in (("weights", True), ("moving_mean", False)):
        tf.get_variable(
            name, [2], initializer=tf.ones_initializer(), trainable=trainable, use_resource=True
        )
    tf.train.get_or_create_global_step()


@pytest.mark.parametrize("adapter, count", [("1.15.0", 1), ("1.3.0", 1), ("1.1.1", 3)])
def test_the_broadcast_is_of_trainable_variables_alone(monkeypatch, adapter, count) -> None:
    with imported(monkeypatch, adapter) as double:
        _variables()
        more = (0,) if adapter == "1.1.1" else ()
        double.module("estimator.npu.npu_hook").broadcast_global_variables(0, *more)
        exchanges = [
            operation
            for operation in tf.get_default_graph().get_operations()
            if operation.name.startswith("HcomBroadcast")
        ]
        assert len([one for one in exchanges if one.type == "PyFunc"]) == count


def test_the_hook_broadcasts_after_the_session_is_made_and_only_among_several(
    two_ranks: Double, monkeypatch
) -> None:
    _variables()
    hook = two_ranks.init.NPUBroadcastGlobalVariablesHook(0)
    hook.begin()
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        assert two_ranks.process.collective.asked == []
        hook.after_create_session(session, None)
        assert two_ranks.process.collective.asked == [("broadcast", 0)]
    monkeypatch.setenv("RANK_SIZE", "1")
    alone = two_ranks.init.NPUBroadcastGlobalVariablesHook(0)
    alone.begin()
    alone.after_create_session(None, None)


def test_no_exchange_waits_for_a_thread_that_another_one_holds(two_ranks: Double) -> None:
    for _ in range(100):
        two_ranks.init.hccl_ops.allreduce(tf.ones([2]), "sum")
    sessions = two_ranks.module("contract.sessions")
    plain = sessions._for_the_processor(config_of(), tf.get_default_graph())
    assert plain.inter_op_parallelism_threads > 100 and plain.use_per_session_threads
