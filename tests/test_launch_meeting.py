"""Where ranks meet: what is taken from the flags, what from the environment, what is refused."""

import pytest

from common.core.errors import InfrastructureError, UsageError
from common.launch import meeting
from common.launch.flags import LaunchFlags

ELSEWHERE = "192.0.2.7"  # reserved for documents: no machine's


def flags(**named):
    return LaunchFlags(**named)


@pytest.fixture(autouse=True)
def names(monkeypatch):
    """Names are known from a list: the tests ask no server."""
    known = {"here": "127.0.0.1", "nowhere": ""}
    monkeypatch.setattr(meeting, "resolved", lambda host: known.get(host, host))


# --- the address ---


def test_the_ranks_of_one_machine_meet_on_it_whatever_another_job_left():
    assert meeting.master_address(flags(), {"MASTER_ADDR": ELSEWHERE}, "npu") == "127.0.0.1"


def test_one_machine_can_not_meet_elsewhere():
    with pytest.raises(UsageError, match="is not this machine's"):
        meeting.master_address(flags(master_addr=ELSEWHERE), {}, "cpu")


def test_a_dry_run_may_plan_for_another_machine():
    found = meeting.master_address(flags(master_addr=ELSEWHERE, dry_run=True), {}, "cpu")
    assert found == ELSEWHERE


def test_several_machines_need_an_address():
    with pytest.raises(UsageError, match="--nnodes 2 needs --master_addr"):
        meeting.master_address(flags(nnodes=2), {}, "cpu")


def test_several_machines_may_be_told_by_the_environment():
    found = meeting.master_address(flags(nnodes=2), {"MASTER_ADDR": ELSEWHERE}, "npu")
    assert found == ELSEWHERE


@pytest.mark.parametrize(
    "address, match",
    [
        ("nowhere", "has no IP address here"),
        ("here", "is 127.0.0.1 here, which no other machine reaches"),
    ],
)
def test_hccl_is_told_no_address_that_it_can_not_use(address, match):
    with pytest.raises(UsageError, match=f"--master_addr {address} {match}"):
        meeting.master_address(flags(nnodes=2, master_addr=address), {}, "npu")
    with pytest.raises(UsageError, match=f"MASTER_ADDR {address} {match}"):
        meeting.master_address(flags(nnodes=2), {"MASTER_ADDR": address}, "npu")


@pytest.mark.parametrize("device, address", [("npu", "127.0.0.1"), ("cpu", "here")])
def test_one_machines_name_becomes_an_address_for_hccl(device, address, monkeypatch):
    monkeypatch.setattr(meeting, "is_own_address", lambda host: True)
    assert meeting.master_address(flags(master_addr="here"), {}, device) == address


def test_an_address_of_ipv6_may_have_a_scope():
    found = meeting.master_address(flags(nnodes=2, master_addr="fe80::1%eth0"), {}, "npu")
    assert found == "fe80::1%eth0"


def test_gpus_and_processors_meet_by_name_as_torch_does():
    found = meeting.master_address(flags(nnodes=2, master_addr="node0"), {}, "gpu")
    assert found == "node0"


def test_an_npu_has_to_know_its_own_address_on_the_way(monkeypatch):
    monkeypatch.setattr(meeting, "address_towards", lambda host: "")
    with pytest.raises(InfrastructureError, match="no network of this machine leads to"):
        meeting.host_address(flags(nnodes=2), ELSEWHERE, "npu")
    assert meeting.host_address(flags(nnodes=2), ELSEWHERE, "gpu") == ""


def test_one_machine_needs_no_way_to_others():
    assert meeting.host_address(flags(), "127.0.0.1", "npu") == ""


def test_another_jobs_chief_is_refused_on_one_machine():
    with pytest.raises(UsageError, match="CM_CHIEF_IP is 192.0.2.7, not this machine"):
        meeting.check_chief(flags(), {"CM_CHIEF_IP": ELSEWHERE})
    meeting.check_chief(flags(), {"CM_CHIEF_IP": "127.0.0.1"})
    meeting.check_chief(flags(nnodes=2), {"CM_CHIEF_IP": ELSEWHERE})


@pytest.mark.parametrize(
    "named, user, match",
    [
        ({}, {"CM_CHIEF_IP": "node0"}, "not an IP address"),
        (
            {"nnodes": 2, "master_addr": "10.0.0.1"},
            {"CM_CHIEF_IP": ELSEWHERE},
            "CM_CHIEF_IP is 192.0.2.7 and --master_addr 10.0.0.1",
        ),
        (
            {"nnodes": 2, "master_port": 5},
            {"CM_CHIEF_PORT": "6"},
            "CM_CHIEF_PORT is 6 and --master_port 5",
        ),
    ],
)
def test_a_chief_that_contradicts_the_flags_is_refused(named, user, match):
    with pytest.raises(UsageError, match=match):
        meeting.check_chief(flags(**named), user)


# --- the port ---


@pytest.mark.parametrize("text", ["0", "65536", "99999", "1" * 30, "port", "-1", "²"])
def test_a_master_port_that_is_none_is_refused(text):
    with pytest.raises(UsageError, match="not a port number"):
        meeting.given_port(flags(), {"MASTER_PORT": text})


def test_a_flag_comes_before_the_variable():
    assert meeting.given_port(flags(master_port=5), {"MASTER_PORT": "6"}) == 5
    assert meeting.given_port(flags(), {"MASTER_PORT": "6"}) == 6
    assert meeting.given_port(flags(), {}) is None


# --- the table ---


def test_a_table_is_taken_for_several_ranks_of_tensorflow_on_npus():
    user = {"RANK_TABLE_FILE": "/left.json"}
    assert meeting.rank_table("tensorflow", "npu", 8, flags(), user) == "/left.json"
    assert meeting.rank_table("tensorflow", "npu", 8, flags(rank_table="/a"), user) == "/a"


@pytest.mark.parametrize(
    "framework, device, world_size",
    [("pytorch", "npu", 8), ("tensorflow", "cpu", 8), ("tensorflow", "npu", 1)],
)
def test_elsewhere_one_that_was_left_is_ignored_and_one_that_was_given_refused(
    framework, device, world_size
):
    left = {"RANK_TABLE_FILE": "/left.json"}
    assert meeting.rank_table(framework, device, world_size, flags(), left) == ""
    with pytest.raises(UsageError, match="--rank_table is .*: leave it out"):
        meeting.rank_table(framework, device, world_size, flags(rank_table="/a"), {})
