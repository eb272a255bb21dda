"""Where ranks meet: what is taken from the flags, what from the environment, what is refused."""

import dataclasses
import socket

import attrs
import pytest

import tests.test_plan
from common.ascend.device_numbers import physical_numbers
from common.commands.program import main
from common.core.errors import InfrastructureError, UsageError, ZooError
from common.launch import meeting
from common.launch.flags import LaunchFlags
from common.machine.ports import is_free, reserve_port
from tests.rank_tables import changed, one_server, text_of, two_servers
from tests.test_plan import CARD
from tests.test_rank_environment import JOB

OF_TENSORFLOW = dataclasses.replace(JOB, framework="tensorflow")
ELSEWHERE = "192.0.2.7"  # reserved for documents: no machine's
NOWHERE = "no.such.host.invalid"


@pytest.fixture(autouse=True)
def names(monkeypatch):
    """Names are known from a list: the tests ask no server."""
    ask = socket.getaddrinfo

    def known(host, *rest):
        if host == NOWHERE:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return ask({"node0": "10.9.8.7", "here": "127.0.0.1"}.get(host, host), *rest)

    monkeypatch.setattr(meeting.socket, "getaddrinfo", known)


# --- the address ---

TWO = {"nnodes": 2}


@pytest.mark.parametrize(
    "flags, user, device, address",
    [
        ({}, {"MASTER_ADDR": ELSEWHERE}, "npu", "127.0.0.1"),  # what another job left
        ({"master_addr": ELSEWHERE, "dry_run": True}, {}, "cpu", ELSEWHERE),
        (TWO, {"MASTER_ADDR": ELSEWHERE}, "npu", ELSEWHERE),
        ({"master_addr": "here"}, {}, "npu", "127.0.0.1"),  # HCCL takes no names
        ({"master_addr": "here"}, {}, "cpu", "here"),
        ({"nnodes": 2, "master_addr": "node0"}, {}, "gpu", "node0"),
        ({"nnodes": 2, "master_addr": "node0"}, {}, "npu", "10.9.8.7"),
    ],
)
def test_ranks_meet_at_this_machine_or_where_all_machines_are_told(flags, user, device, address):
    assert meeting.master_address(LaunchFlags(**flags), user, device) == address


@pytest.mark.parametrize(
    "flags, user, told",
    [
        ({"master_addr": ELSEWHERE}, {}, "is not this machine's"),
        (TWO, {}, "--nnodes 2 needs --master_addr"),
        ({"nnodes": 2, "master_addr": NOWHERE}, {}, f"--master_addr {NOWHERE} has no IP address"),
        (TWO, {"MASTER_ADDR": NOWHERE}, f"MASTER_ADDR {NOWHERE} has no IP address here"),
        ({"nnodes": 2, "master_addr": "here"}, {}, "is 127.0.0.1 here, which no other machine"),
    ],
)
def test_an_address_that_ranks_can_not_meet_at_is_refused(flags, user, told):
    with pytest.raises(UsageError, match=told):
        meeting.master_address(LaunchFlags(**flags), user, "npu")


def test_an_npu_has_to_know_its_own_address_on_the_way():
    flags = LaunchFlags(nnodes=2)
    with pytest.raises(InfrastructureError, match="no network of this machine leads to"):
        meeting.host_address(flags, NOWHERE, "npu")
    assert meeting.host_address(flags, NOWHERE, "gpu") == ""
    assert meeting.host_address(flags, "here", "npu") == "127.0.0.1"
    assert meeting.host_address(LaunchFlags(), "here", "npu") == ""  # one machine needs no way


# --- the chief ---


@pytest.mark.parametrize(
    "flags, user, changes, told",
    [
        ({}, {"CM_CHIEF_IP": ELSEWHERE}, {}, "CM_CHIEF_IP is '192.0.2.7', not this job's first"),
        ({}, {"CM_CHIEF_IP": "node0"}, {}, "by its IP address"),
        ({"master_addr": "10.0.0.1", **TWO}, {"CM_CHIEF_IP": ELSEWHERE}, {}, "not this job's"),
        ({"master_port": 5}, {"CM_CHIEF_PORT": "6"}, {}, "CM_CHIEF_PORT is 6 and --master_port 5"),
        ({}, {"CM_CHIEF_IP": "1.2.3.4"}, {"rank_table": "/t.json"}, "CM_CHIEF_IP are both set"),
        ({}, {"CM_CHIEF_PORT": "65530"}, {}, "at most 65520, not 65530"),
        ({}, {}, {"master_port": 65530}, "not 65530; give another --master_port"),
        ({}, {"CM_WORKER_SIZE": "16"}, {}, "CM_WORKER_SIZE is 16 and this job has 8 ranks"),
    ],
)
def test_what_hccl_can_not_start_by_is_refused(flags, user, changes, told):
    job = dataclasses.replace(OF_TENSORFLOW, **changes)
    with pytest.raises(UsageError, match=told):
        meeting.check_hccl(job, LaunchFlags(**flags), user)
    for other in ({"framework": "pytorch"}, {"device": "cpu"}, {"world_size": 1}):
        meeting.check_hccl(dataclasses.replace(job, **other), LaunchFlags(**flags), user)
    meeting.check_hccl(OF_TENSORFLOW, LaunchFlags(), {"CM_CHIEF_IP": "127.0.0.1"})
    meeting.check_hccl(OF_TENSORFLOW, LaunchFlags(**TWO), {"CM_CHIEF_IP": ELSEWHERE})


# --- the port ---


def test_a_flag_comes_before_the_variable_which_must_be_a_port():
    for text in ("0", "65536", "1" * 30, "port", "²"):
        with pytest.raises(UsageError, match="not a port number"):
            meeting.given_port(LaunchFlags(), {"MASTER_PORT": text})
    assert meeting.given_port(LaunchFlags(master_port=5), {"MASTER_PORT": "6"}) == 5
    assert meeting.given_port(LaunchFlags(), {"MASTER_PORT": "6"}) == 6
    assert meeting.given_port(LaunchFlags(), {}) is None


def test_a_chosen_port_is_free_and_kept_from_other_launches_until_it_is_released():
    kept = [reserve_port() for _ in range(5)]
    ports = [one.port for one in kept]
    assert len(set(ports)) == 5 and all(map(is_free, ports))
    with pytest.raises(ZooError, match="in use"):
        reserve_port(ports[0])
    kept.clear()
    reserve_port(ports[0])


# --- the table ---


def plan_of(*words, **around):
    around = {"card": attrs.evolve(CARD, framework="tensorflow"), **around}
    return tests.test_plan.plan_of("full_8p", *words, **around)


@pytest.mark.parametrize(
    "words, around, table",
    [
        ([], {}, "/left.json"),
        (["--rank_table=/a"], {}, "/a"),
        (["--ranks=1"], {}, ""),
        ([], {"device": "cpu"}, ""),
        ([], {"user": {}}, ""),
        ([], {"card": CARD}, ""),  # torch meets at an address
    ],
)
def test_a_table_is_taken_for_several_ranks_of_tensorflow_on_npus(words, around, table):
    plan = plan_of(*words, **{"user": {"RANK_TABLE_FILE": "/left.json"}, **around})
    assert plan.rank_table == table
    assert plan.ranks[0].environment.set.get("RANK_TABLE_FILE", "") == table
    if not table and not words:
        with pytest.raises(UsageError, match="--rank_table is .*: leave it out"):
            plan_of("--rank_table=/a", **{"device": "cpu", **around})


FOUR, ON_4 = one_server([4, 5, 6, 7]), "rank 0 on device 4, and the launch on device 0"


@pytest.mark.parametrize(
    "table, words, nodes, problem",
    [
        (one_server(), [], (), ""),
        (two_servers(), ["--nnodes=2", "--node_rank=0"], (), ""),  # each to its own server
        (two_servers(), ["--nnodes=2", "--node_rank=1"], (), ""),
        (two_servers(), [], (), "is not this job's: it has 16 ranks, and the job 8"),
        (one_server([1, 0, 2, 3, 4, 5, 6, 7]), [], (), "rank 0 on device 1, and the launch on "),
        (two_servers(range(4), range(4)), [], (), "ranks are on 10.0.0.1 and 10.0.0.2 there"),
        (changed(one_server(), ("status",), "initializing"), [], (), "status is 'initializing'"),
        ({"group_list": []}, [], (), "an older format"),
        # A container's first device has its physical number in the table.
        (FOUR, ["--ranks=4"], (4, 5, 6, 7), ""),
        (FOUR, ["--ranks=4", "--device_id=4"], range(8), ""),
        (FOUR, ["--ranks=4"], range(8), ON_4),
    ],
)
def test_a_table_that_does_not_fit_ends_the_launch(tmp_path, table, words, nodes, problem):
    (tmp_path / "dev").mkdir()
    for number in nodes:
        (tmp_path / "dev" / f"davinci{number}").touch()
    (tmp_path / "t.json").write_text(text_of(table))
    plan = plan_of(f"--rank_table={tmp_path / 't.json'}", *words)
    ranks = [(rank.rank, rank.device_id) for rank in plan.ranks]
    given = (plan.rank_table, plan.world_size, ranks, {}, tmp_path)
    if not problem:
        meeting.check_rank_table(*given)
        return
    with pytest.raises(ZooError, match=problem):
        meeting.check_rank_table(*given)


@pytest.mark.parametrize(
    "visible, expected",
    [(None, (2, 10)), ("1,0", (10, 2)), ("", (2, 10)), ("all", (2, 10)), ("0,5", (2, 5))],
)
def test_logical_numbers_are_the_visible_ones_among_the_nodes(tmp_path, visible, expected):
    (tmp_path / "dev").mkdir()
    for name in ("davinci10", "davinci2", "davinci_manager"):
        (tmp_path / "dev" / name).touch()
    user = {} if visible is None else {"ASCEND_RT_VISIBLE_DEVICES": visible}
    assert physical_numbers(user, tmp_path) == expected
    assert physical_numbers({}, tmp_path / "none") == ()


def test_a_dry_run_tells_a_table_that_is_missing(tmp_path, capsys):
    words = ["launch", "protoattend", "performance_8p", "--dry_run", "--device=npu"]
    words += [f"--data_path={tmp_path}", f"--rank_table={tmp_path / 'no.json'}"]
    assert main(words) == 1
    assert "no.json: the file is missing" in capsys.readouterr().err
