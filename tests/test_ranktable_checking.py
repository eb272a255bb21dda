"""Each rule of a rank table of format 1.0: what keeps it, what breaks it, and where it is said."""

from __future__ import annotations

import json

import pytest

from common.ascend.rank_table import (
    RankTable,
    check_addresses,
    check_text,
    disagreement,
    read_table,
)
from common.core.codec import structured
from common.core.errors import FAIL, OK, WARN, ZooError
from tests.rank_tables import address, changed, one_server, table_of, text_of, two_servers, without

ONE, TWO = one_server(), two_servers()
FIRST, SECOND = ("server_list", 0), ("server_list", 1)
DEVICE = FIRST + ("device", 3)
RULES = [
    "json", "server_list", "version", "status", "strings", "server_count", "server_id",
    "device_id", "device_ip", "rank_id", "super_pod", "server_size", "topology",
]  # fmt: skip


def found_in(table, chip="910A"):
    text = table if table is None or isinstance(table, str) else text_of(table)
    return check_text(text, "t.json", chip)


def breaches(table, chip="910A"):
    """What is not ok, as (status, rule, place)."""
    return [
        (finding.status, finding.rule, finding.place)
        for finding in found_in(table, chip)
        if finding.status != OK
    ]


SWAPPED = changed(changed(ONE, DEVICE + ("rank_id",), "4"), FIRST + ("device", 4, "rank_id"), "3")


@pytest.mark.parametrize(
    "table",
    [
        ONE,
        TWO,
        one_server([5]),
        one_server([0, 3]),
        one_server([4, 5, 6, 7]),
        two_servers([0, 1], [6, 7]),
        SWAPPED,  # ranks may come in any order
        changed(ONE, FIRST + ("server_id",), "node-α"),
        changed(TWO, DEVICE + ("device_ip",), "fd00::3"),
    ],
)
def test_a_good_table_has_one_ok_finding_a_rule(table):
    assert [(finding.status, finding.rule) for finding in found_in(table)] == [
        (OK, rule) for rule in RULES
    ]


GONE = object()
RANK, NUMBER, NAME = DEVICE + ("rank_id",), DEVICE + ("device_id",), FIRST + ("server_id",)
BROKEN_AT = [  # rule, where it is broken and told, values that break it
    ("version", ("version",), ["1.1", GONE]),
    ("status", ("status",), ["initializing", "Completed", GONE]),
    ("server_list", ("server_list",), [[], ["10.0.0.1"]]),
    ("server_list", FIRST + ("device",), [[], GONE]),
    ("strings", ("server_count",), [1]),
    ("strings", RANK, [3]),
    ("server_count", ("server_count",), ["2", GONE]),
    ("server_id", NAME, ["n" * 65, " ", "a\nb", "a\0b", GONE]),
    ("rank_id", RANK, ["8", "2", "03", "-1", GONE]),
    ("device_id", NUMBER, ["x", "03", "-1", "", "³"]),
]


def place_of(path):
    """A path of keys and indices as findings tell it."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)[1:]


@pytest.mark.parametrize(
    "rule, path, value", [(rule, path, one) for rule, path, values in BROKEN_AT for one in values]
)
def test_a_broken_rule_fails_alone_and_where_it_is_broken(rule, path, value):
    table = without(ONE, path) if value is GONE else changed(ONE, path, value)
    assert breaches(table) == [(FAIL, rule, place_of(path))]


@pytest.mark.parametrize(
    "table, rule, place",
    [
        (None, "json", ""),
        ("", "json", ""),
        ('{"version":\n "1.0",}', "json", "line 2"),
        ("[" * 100000, "json", ""),
        ("[1]", "json", ""),
        (text_of(ONE).replace('"0"', "9" * 5000, 1), "json", ""),
        (changed(ONE, NAME, "\ud800"), "json", ""),
        (changed(ONE, ("\ud800",), "x"), "json", ""),
        ('{"status": "completed", "status": "initializing"}', "json", ""),
        (without(ONE, ("server_list",)), "server_list", "server_list"),
        (changed(ONE, DEVICE, "3"), "server_list", "server_list[0].device"),
        (changed(ONE, ("job",), {"id": None}), "strings", "job.id"),
        (
            changed(TWO, SECOND + ("server_id",), "10.0.0.1"),
            "server_id",
            "server_list[1].server_id",
        ),
        (two_servers([0, 1, 2, 3], [0, 1]), "server_size", "server_list[1].device"),
        (one_server([0, 1, 2]), "topology", "server_list[0].device"),
        (one_server([3, 4]), "topology", "server_list[0].device"),
        (one_server([0, 1, 4, 5]), "topology", "server_list[0].device"),
        (one_server([8]), "topology", "server_list[0].device"),
        (two_servers([0, 1], [3, 4]), "topology", "server_list[1].device"),
    ],
)
def test_a_broken_table_fails_one_rule_at_one_place(table, rule, place):
    assert breaches(table) == [(FAIL, rule, place)]


@pytest.mark.parametrize("loop", ["127.0.0.1", "0.0.0.0", "224.0.0.1", "::1"])
def test_an_address_is_one_that_a_network_card_can_have(loop):
    assert breaches(changed(TWO, DEVICE + ("device_ip",), loop))[0][:2] == (FAIL, "device_ip")


def test_the_ranks_of_servers_do_not_interleave():
    """HCCL's own example of what not to do: {0, 1, 2, 7} and {3, 4, 5, 6}."""
    table = two_servers(range(4), range(4))
    for path, rank in ((FIRST + ("device", 3), "7"), (SECOND + ("device", 3), "3")):
        table = changed(table, path + ("rank_id",), rank)
    assert breaches(table) == [(FAIL, "rank_id", "server_list[0].device")]


def test_processes_share_a_device_by_ports_of_their_own():
    table = changed(one_server([0, 1]), FIRST + ("device", 1, "device_id"), "0")
    table = changed(table, FIRST + ("device", 1, "device_ip"), address(0))
    assert (FAIL, "device_id", "server_list[0].device[1].device_id") in breaches(table, "A2")
    for number in (0, 1):
        path = FIRST + ("device", number)
        device = dict(table["server_list"][0]["device"][number], device_port=str(16666 + number))
        table = changed(table, path, device)
    assert breaches(table, "A2") == []


@pytest.mark.parametrize("table, status", [(ONE, WARN), (TWO, FAIL)])
@pytest.mark.parametrize("value", ["", "192.168.100", "none", address(2)])
def test_device_addresses_are_needed_between_servers_only(table, status, value):
    place = "server_list[0].device[3].device_ip"
    assert breaches(changed(table, DEVICE + ("device_ip",), value)) == [
        (status, "device_ip", place)
    ]
    if not value:
        assert breaches(without(table, DEVICE + ("device_ip",))) == [(status, "device_ip", place)]


@pytest.mark.parametrize("chip, expected", [("910A", [FAIL]), ("unknown", [WARN]), ("A2", [])])
def test_only_a_910a_limits_the_devices_of_a_server(chip, expected):
    assert [status for status, _, _ in breaches(one_server([0, 1, 2]), chip)] == expected


@pytest.mark.parametrize("chip, expected", [("910A", FAIL), ("unknown", WARN), ("A2", WARN)])
def test_servers_of_unlike_size_are_told_on_every_chip(chip, expected):
    assert breaches(two_servers([0, 1], [0]), chip) == [
        (expected, "server_size", "server_list[1].device")
    ]


def test_every_breach_names_its_file_and_a_one_line_remedy():
    table = dict(table_of([{"server_id": "", "device": [{}]}]), version=2, status=None)
    broken = [finding for finding in found_in(table) if finding.status != OK]
    assert " ".join(finding.rule for finding in broken) == (
        "version status strings server_id device_id device_ip rank_id"
    )
    assert {finding.file for finding in broken} == {"t.json"}
    assert all(finding.remedy and "\n" not in finding.remedy for finding in broken)


@pytest.mark.parametrize("table", [{"group_list": []}, {"board_id": "0", "group_list": [{}]}])
def test_an_older_format_is_named(table):
    last = found_in(table)[-1]
    assert (last.status, last.rule, last.place) == (FAIL, "server_list", "group_list")
    assert "zoo ranktable make" in last.remedy


# --- A3 ---


def of_a3(table):
    """The same table in format 1.2."""
    servers = []
    for server in table["server_list"]:
        devices = [
            dict(device, super_device_id=str(100 + int(device["rank_id"])))
            for device in server["device"]
        ]
        servers.append(dict(server, device=devices))
    names = [{"server_id": server["server_id"]} for server in servers]
    pods = [{"super_pod_id": "0", "server_list": names}]
    return dict(table, version="1.2", server_list=servers, super_pod_list=pods)


A3 = of_a3(two_servers([0, 1, 2], [0, 1, 2]))


def test_a_good_table_of_a3_is_read_whole_and_written_again():
    assert breaches(A3, "A3") == breaches(A3, "unknown") == []
    table = table_in(A3)
    assert table.server_list[1].device[0].super_device_id == "103"
    assert json.loads(table.as_json()) == A3


@pytest.mark.parametrize(
    "table, chip, rule",
    [
        (A3, "A2", "version"),
        (ONE, "A3", "version"),
        (without(A3, FIRST + ("device", 1, "super_device_id")), "A3", "super_pod"),
        (without(A3, ("super_pod_list",)), "A3", "super_pod"),
        (changed(A3, ("super_pod_list", 0, "server_list"), []), "unknown", "super_pod"),
        (without(A3, ("super_pod_list", 0, "super_pod_id")), "A3", "super_pod"),
    ],
)
def test_a_table_of_a3_has_its_own_version_and_its_super_pods(table, chip, rule):
    assert {found for _, found, _ in breaches(table, chip)} == {rule}


# --- reading ---


def table_in(content):
    return structured(content, RankTable, "t.json")


def test_a_good_table_is_read():
    table = read_table(text_of(TWO), "t.json", "910A")
    assert table.world_size == 16 and table == table_in(TWO)


def test_a_broken_table_is_refused_in_one_line_with_file_place_and_remedy():
    table = changed(ONE, DEVICE + ("rank_id",), "8")
    with pytest.raises(ZooError) as caught:
        read_table(text_of(table), "t.json", "910A")
    assert str(caught.value) == (
        "rank table t.json, server_list[0].device[3].rank_id: rank 8 among 8 devices: ranks are "
        "not numbered from 0 without gaps; number the ranks 0, 1, 2, … over all servers"
    )


def test_a_table_that_is_only_warned_of_is_read():
    table = without(one_server([2]), ("server_list", 0, "device", 0, "device_ip"))
    assert read_table(text_of(table), "t.json", "910A").server_list[0].device[0].device_ip == ""


# --- this machine's, this job's ---


def addresses(network=168):
    return {device: address(device, network) for device in range(8)}


@pytest.mark.parametrize("network", [168, 169])
def test_a_table_is_this_machines_where_a_server_has_its_addresses(network):
    assert check_addresses(table_in(TWO), addresses(network), "h", "t.json").status == OK


def test_a_table_of_other_machines_is_told_by_the_closest_servers_first_device():
    here = addresses(169)
    here[5] = "10.1.1.1"
    finding = check_addresses(table_in(TWO), here, "hccn.conf", "t.json")
    assert (finding.status, finding.rule, finding.place) == (
        FAIL,
        "hccn",
        "server 10.0.0.2, device 5",
    )
    assert "device 5 is 10.1.1.1 there" in finding.found


def test_a_device_that_this_machine_lacks_makes_the_table_anothers():
    few = {device: address(device) for device in range(4)}
    finding = check_addresses(table_in(ONE), few, "hccn.conf", "t.json")
    assert finding.status == FAIL and "device 4 is missing there" in finding.found


def test_addresses_that_a_table_leaves_out_contradict_nothing():
    table = without(one_server([2, 3]), ("server_list", 0, "device", 0, "device_ip"))
    assert check_addresses(table_in(table), addresses(), "h", "t.json").status == OK


def test_a_table_without_any_address_proves_nothing():
    table = without(one_server([2]), ("server_list", 0, "device", 0, "device_ip"))
    finding = check_addresses(table_in(table), addresses(), "h", "t.json")
    assert finding.status == WARN and "no addresses" in finding.found


@pytest.mark.parametrize(
    "table, world_size, ranks, expected",
    [
        (ONE, 8, [(rank, rank) for rank in range(8)], None),
        (TWO, 16, [(8 + rank, rank) for rank in range(8)], None),
        (one_server([4, 5]), 2, [(0, 4), (1, 5)], None),
        (ONE, 4, [(rank, rank) for rank in range(4)], "it has 8 ranks, and the job 4"),
        (
            one_server([4, 5]),
            2,
            [(0, 0), (1, 1)],
            "it has rank 0 on device 4, and the launch on device 0",
        ),
        (
            two_servers([0, 1], [0, 1]),
            4,
            [(1, 1), (2, 0)],
            "this machine's ranks are on 10.0.0.1 and 10.0.0.2 there",
        ),
    ],
)
def test_each_ranks_device_has_its_number_in_the_table(table, world_size, ranks, expected):
    assert disagreement(table_in(table), world_size, ranks) == expected
