"""`zoo ranktable make|check`: where addresses come from, each rule of a table, how commands end."""

from __future__ import annotations

import io
import json
import os
import socket
from pathlib import Path

import pytest

from common.ascend.hccn import ServerAddresses, read_server, servers_of_hccn, servers_of_hosts
from common.ascend.rank_table import numbered
from common.ascend.rank_table_rules import check_text, read_table
from common.commands.program import main
from common.core.errors import FAIL, OK, WARN, ZooError
from tests.rank_tables import (
    TOOL_ANSWER,
    address,
    changed,
    hccn_conf,
    one_server,
    server,
    table_of,
    text_of,
    two_servers,
    without,
)

ONE, TWO = one_server(), two_servers()
FIRST, SECOND = ("server_list", 0), ("server_list", 1)
DEVICE = FIRST + ("device", 3)
RULES = (
    "form version status server_count server_id device_id device_ip rank_id super_pod server_size "
    "topology"
)


# --- each rule: what keeps it, what breaks it, and where it is said ---


def found_in(table, chip="910A"):
    text = table if table is None or isinstance(table, str) else text_of(table)
    return check_text(text, "t.json", chip)


def breaches(table, chip="910A"):
    """What is not ok, as (status, rule, place)."""
    found = found_in(table, chip)
    assert all(one.remedy and "\n" not in one.remedy for one in found if one.status != OK)
    return [(one.status, one.rule, one.place) for one in found if one.status != OK]


SWAPPED = changed(changed(ONE, DEVICE + ("rank_id",), "4"), FIRST + ("device", 4, "rank_id"), "3")


@pytest.mark.parametrize(
    "table",
    [
        ONE,
        TWO,
        one_server([5]),
        one_server([0, 3]),
        two_servers([0, 1], [6, 7]),
        SWAPPED,  # ranks may come in any order
        changed(ONE, FIRST + ("server_id",), "node-α"),
        changed(TWO, DEVICE + ("device_ip",), "fd00::3"),
    ],
)
def test_a_good_table_has_one_ok_finding_a_rule(table):
    assert [(one.status, one.rule) for one in found_in(table)] == [
        (OK, rule) for rule in RULES.split()
    ]
    assert json.loads(read_table(text_of(table), "t.json").as_json()) == table


GONE = object()
RANK, NUMBER, NAME = DEVICE + ("rank_id",), DEVICE + ("device_id",), FIRST + ("server_id",)
BROKEN_AT = [  # rule, where it is broken and told, values that break it
    ("form", ("server_list",), [[], ["10.0.0.1"], GONE]),
    ("form", FIRST + ("device",), [[], GONE]),
    ("form", DEVICE, ["3"]),
    ("form", ("server_count",), [1, GONE]),
    ("form", RANK, [3, GONE]),
    ("version", ("version",), ["1.1"]),
    ("status", ("status",), ["initializing", "Completed"]),
    ("server_count", ("server_count",), ["2"]),
    ("server_id", NAME, ["n" * 65, " ", "a\nb", "a\0b"]),
    ("rank_id", RANK, ["8", "2", "03", "-1"]),
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
    place = place_of(path) + ("[0]" if value == ["10.0.0.1"] else "")
    assert breaches(table) == [(FAIL, rule, place)]


INTERLEAVED = two_servers(range(4), range(4))  # HCCL's own example: {0, 1, 2, 7}, {3, 4, 5, 6}
for path, rank in ((FIRST + ("device", 3), "7"), (SECOND + ("device", 3), "3")):
    INTERLEAVED = changed(INTERLEAVED, path + ("rank_id",), rank)


@pytest.mark.parametrize(
    "table, rule, place",
    [
        (None, "form", ""),
        ("", "form", ""),
        ('{"version":\n "1.0",}', "form", ""),
        ("[" * 100000, "form", ""),
        ("[1]", "form", "the top level"),
        (text_of(ONE).replace('"0"', "9" * 5000, 1), "form", ""),
        (changed(ONE, NAME, "\ud800"), "form", ""),
        ('{"status": "completed", "status": "initializing"}', "form", ""),
        ({"board_id": "0", "group_list": [{}]}, "form", "group_list"),  # an older format
        (changed(TWO, SECOND + NAME[2:], "10.0.0.1"), "server_id", "server_list[1].server_id"),
        (INTERLEAVED, "rank_id", "server_list[0].device"),
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
@pytest.mark.parametrize("value", ["", "192.168.100", "127.0.0.1", "::1", "224.0.0.1", address(2)])
def test_device_addresses_of_network_cards_are_needed_between_servers_only(table, status, value):
    path, place = DEVICE + ("device_ip",), "server_list[0].device[3].device_ip"
    assert breaches(changed(table, path, value)) == [(status, "device_ip", place)]
    if not value:
        assert breaches(without(table, path)) == [(status, "device_ip", place)]


@pytest.mark.parametrize(
    "chip, topology, size",
    [("910A", [FAIL], FAIL), ("unknown", [WARN], WARN), ("A2", [], WARN)],
)
def test_only_a_910a_limits_the_devices_of_a_server(chip, topology, size):
    assert [status for status, _, _ in breaches(one_server([0, 1, 2]), chip)] == topology
    told = (size, "server_size", "server_list[1].device")
    assert breaches(two_servers([0, 1], [0]), chip) == [told]


def of_a3(table):
    """The same table in format 1.2."""
    servers = []
    for one in table["server_list"]:
        devices = [
            dict(device, super_device_id=str(100 + int(device["rank_id"])))
            for device in one["device"]
        ]
        servers.append(dict(one, device=devices))
    names = [{"server_id": one["server_id"]} for one in servers]
    pods = [{"super_pod_id": "0", "server_list": names}]
    return dict(table, version="1.2", server_list=servers, super_pod_list=pods)


A3 = of_a3(two_servers([0, 1, 2], [0, 1, 2]))


@pytest.mark.parametrize(
    "table, chip, rules",
    [
        (A3, "A3", set()),
        (A3, "unknown", set()),
        (A3, "A2", {"version"}),
        (ONE, "A3", {"version"}),
        (without(A3, FIRST + ("device", 1, "super_device_id")), "A3", {"super_pod"}),
        (without(A3, ("super_pod_list",)), "A3", {"super_pod"}),
        (changed(A3, ("super_pod_list", 0, "server_list"), []), "unknown", {"super_pod"}),
        (without(A3, ("super_pod_list", 0, "super_pod_id")), "A3", {"form"}),
    ],
)
def test_a_table_of_a3_has_its_own_version_and_its_super_pods(table, chip, rules):
    assert {rule for _, rule, _ in breaches(table, chip)} == rules
    if not rules:
        assert json.loads(read_table(text_of(table), "t.json").as_json()) == table


def test_a_broken_table_is_refused_in_one_line_with_file_place_and_remedy():
    with pytest.raises(ZooError) as caught:
        read_table(text_of(changed(ONE, RANK, "8")), "t.json", "910A")
    assert str(caught.value) == (
        "rank table t.json, server_list[0].device[3].rank_id: rank 8 among 8 devices: ranks are "
        "not numbered from 0 without gaps; number the ranks 0, 1, 2, … over all servers"
    )


# --- addresses: hccn.conf, hccn_tool's output, host lists ---


ALL = {device: address(device) for device in range(8)}
TWO_ANSWERS = TOOL_ANSWER.format("10.0.0.1") + TOOL_ANSWER.format("10.0.0.2")


def tool_output(heading="device {}\n"):
    return "".join(
        heading.format(device) + TOOL_ANSWER.format(address(device)) for device in range(8)
    )


@pytest.mark.parametrize(
    "text, devices, addresses",
    [
        (hccn_conf(), None, ALL),
        (hccn_conf(), [4, 6], {4: address(4), 6: address(6)}),
        (  # other lines, and an editor's mark, are passed over
            "\ufeff# by hand\n\nnetdetect_0=10.0.0.9\r\n address_0 = 10.0.0.1 \r\n",
            None,
            {0: "10.0.0.1"},
        ),
        ("address_0=10.0.0.1\naddress_0=10.0.0.1\n", None, {0: "10.0.0.1"}),
        # hccn_tool speaks of the device that a heading names.
        (tool_output(), None, ALL),
        (tool_output("=== Device {} ===\n"), None, ALL),
        (tool_output("root@server:~# /usr/local/hccn_tool -i {} -ip -g\n"), None, ALL),
        (TWO_ANSWERS, [4, 5], {4: "10.0.0.1", 5: "10.0.0.2"}),
        (  # a call that failed shifts no other
            "device 0\ndevice ip not configured\ndevice 1\n" + TOOL_ANSWER.format("10.0.0.2"),
            None,
            {1: "10.0.0.2"},
        ),
    ],
)
def test_each_devices_address_is_read(text, devices, addresses):
    assert read_server("a", text, "h", devices).addresses == addresses


NOT_SAID = "doesn't say which devices its 2 ipaddr: lines belong to"


@pytest.mark.parametrize(
    "text, devices, problem",
    [
        ("address_0=10.0.0\n", None, "h line 1: '10.0.0' is no IP address"),
        ("address_0=10.0.0.1\naddress_0=10.0.0.2\n", None, "h line 2: device 0 has two addresses"),
        ("address_0=\n", None, "h has no address for device 0"),
        ("address_0=10.0.0.1 # first\n", None, "h line 1: 'address_0=10.0.0.1 # first' is not"),
        ("\naddress_x=10.0.0.1\n", None, "h line 2"),
        ("hello\n", None, "device 0, as address_<i>= or ipaddr: lines"),
        (hccn_conf([0, 1]), [0, 5], "h has no address for device 5, .*it has those of 0, 1"),
        ("device 0\nipaddr:none\n", None, "h line 2: 'none' is no IP address"),
        *[(TWO_ANSWERS, devices, NOT_SAID) for devices in (None, [4, 5, 6])],  # nothing is guessed
        ("device 0\n" + TWO_ANSWERS, None, "doesn't say which devices"),
    ],
)
def test_what_is_wrong_with_addresses_is_told(text, devices, problem):
    with pytest.raises(ZooError, match=problem):
        read_server("a", text, "h", devices)


def test_the_files_of_a_host_list_lie_beside_it(tmp_path):
    (tmp_path / "b.conf").write_text(hccn_conf())
    (tmp_path / "hosts").write_text("# the cluster\na 0=10.1.0.1 1=10.1.0.2  # first\n\nb b.conf\n")
    assert servers_of_hosts(str(tmp_path / "hosts"), [0]) == [
        ServerAddresses("a", {0: "10.1.0.1"}),
        ServerAddresses("b", {0: address(0)}),
    ]


@pytest.mark.parametrize(
    "text, problem",
    [
        ("# nobody\n", "hosts names no server"),
        ("10.0.0.1\n", "hosts line 1: '' is no list of addresses"),
        ("\na 0=10.1.0.1 1\n", "hosts line 2: '0=10.1.0.1 1' is no list"),
        ("a x=10.1.0.1\n", "'x=10.1.0.1' is no list"),
        ("a 0=10.1\n", "'10.1' is no IP address"),
        ("a 1=10.1.0.1\n", "hosts line 1 has no address for device 0"),
    ],
)
def test_what_is_wrong_with_a_host_list_is_told(tmp_path, text, problem):
    (tmp_path / "hosts").write_text(text)
    with pytest.raises(ZooError, match=problem):
        servers_of_hosts(str(tmp_path / "hosts"), [0])


def test_on_a3_the_super_pod_is_read_below_each_die(tmp_path):
    """What hccn_tool and npu-smi info -t spod-info print, a heading for each die."""
    text = "".join(
        f"device {die}\nipaddr:{address(die)}\n\tSDID : {1000 + die}\n\tSuper Pod ID : 11\n"
        for die in range(2)
    )
    (tmp_path / "a").write_text(text)
    servers = servers_of_hccn([str(tmp_path / "a")], ["10.0.0.1"], None)
    assert servers[0].super_devices == {0: "1000", 1: "1001"}
    content = json.loads(numbered(servers).as_json())
    assert content["version"] == "1.2"
    assert content["super_pod_list"] == [
        {"super_pod_id": "11", "server_list": [{"server_id": "10.0.0.1"}]}
    ]


def test_a_file_that_only_root_may_read_is_told_with_the_way_round(monkeypatch, capsys):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.read_text", refuse)
    assert main(["ranktable", "make", "--chip=910A"]) == 1
    assert "no permission for /etc/hccn.conf; as root copy it" in capsys.readouterr().err


# --- the commands ---


@pytest.fixture()
def folder(tmp_path, monkeypatch):
    """The current folder, with the hccn.conf of two servers."""
    (tmp_path / "a.conf").write_text(hccn_conf())
    (tmp_path / "b.conf").write_text(hccn_conf(network=169))
    (tmp_path / "hosts").write_text("10.0.0.1 a.conf\n10.0.0.2 b.conf\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", io.StringIO(tool_output()))
    monkeypatch.delenv("RANK_TABLE_FILE", raising=False)
    return tmp_path


def zoo(*words):
    return main(["ranktable"] + list(words))


HOST = table_of([server(socket.gethostname()[:64], range(8))])


@pytest.mark.parametrize(
    "words, table",
    [
        ("--hccn a.conf", HOST),  # one file is this machine's
        ("--hccn a.conf b.conf --servers=10.0.0.1,10.0.0.2", TWO),
        ("--hccn - --servers=10.0.0.1", ONE),
        ("--hosts hosts", TWO),
        ("--hccn a.conf --servers=10.0.0.1 --devices=4-5,6,7", one_server([4, 5, 6, 7])),
        ("--hccn a.conf --servers=10.0.0.1 --devices=0-2 --chip=A2", one_server([0, 1, 2])),
    ],
)
def test_a_table_is_made_of_the_servers_and_devices_that_are_named(folder, capsys, words, table):
    assert zoo("make", *words.split(), "--output=new/t.json") == 0
    assert json.loads(Path("new/t.json").read_text()) == table
    path = f"export RANK_TABLE_FILE={folder / 'new/t.json'}\n"
    assert capsys.readouterr().out.endswith(path)


def test_tables_of_single_servers_become_one_and_their_ranks_count_on(folder):
    mixed = table_of([server("b", [0, 1], first_rank=2), server("a", [1, 0], network=169)])
    Path("a.json").write_text(text_of(mixed))
    Path("b.json").write_text(text_of(table_of([server("c", [0, 1], network=170)])))
    assert zoo("make", "--tables", "a.json", "b.json") == 0
    last = server("c", [0, 1], first_rank=4, network=170)
    expected = table_of([*mixed["server_list"], last])
    assert json.loads(Path("rank_table.json").read_text()) == expected
    assert zoo("make", "--tables", "a.json", "a.json", "--output=c.json") == 1  # a server twice


@pytest.mark.parametrize(
    "words, code",
    [
        ("--hccn a.conf --servers=x --devices=0-2", 1),
        ("--hccn a.conf --servers=" + "x" * 65, 1),
        ("--hccn a.conf a.conf --servers=x,y", 1),
        ("--hccn a.conf b.conf --servers=x,x", 1),
        ("--hccn nowhere.conf", 1),
        ("--tables a.conf", 1),
        ("--hccn a.conf b.conf", 64),
        ("--hccn a.conf --servers=x,y", 64),
        ("--hosts hosts --servers=x", 64),
        ("--tables a.conf --devices=0", 64),
        ("--hccn a.conf --hosts hosts", 64),
        ("--hccn a.conf --output=.", 64),
        *[(f"--hccn a.conf --devices={devices}", 64) for devices in ("", "3-1", "0,0", "x", "64")],
    ],
)
def test_what_the_check_would_fail_or_nobody_can_mean_is_not_written(folder, capsys, words, code):
    before = sorted(os.listdir("."))
    assert zoo("make", "--chip=910A", *words.split()) == code
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ") and captured.err.count("\n") == 1
    assert not captured.out and sorted(os.listdir(".")) == before


def test_what_the_check_warns_of_is_said_and_another_table_is_never_overwritten(folder, capsys):
    words = ["make", "--hccn", "a.conf", "--devices=0-2", "--chip=unknown"]
    assert zoo(*words) == 0
    assert capsys.readouterr().err.startswith("warn: server_list[0].device 3 devices")
    Path("rank_table.json").write_text("mine")
    assert zoo(*words) == 1
    assert "is there and another table" in capsys.readouterr().err
    assert Path("rank_table.json").read_text() == "mine"


def test_check_tells_each_rule_of_each_file_and_fails_by_the_worst(folder, monkeypatch, capsys):
    Path("good.json").write_text(text_of(ONE))
    Path("bad.json").write_text(text_of(changed(ONE, ("version",), "2")))
    assert zoo("check", "good.json", "--chip=910A") == 0
    assert capsys.readouterr().out.count("ok ") == len(RULES.split())
    assert zoo("check", "good.json", "bad.json", "missing.json", "--chip=910A") == 1
    printed = capsys.readouterr().out
    assert "good.json\nok " in printed and "\n\nmissing.json\nfail" in printed
    assert zoo("check", "bad.json", "--json", "--chip=910A") == 1
    found = json.loads(capsys.readouterr().out)
    assert [entry for entry in found if entry["status"] != "ok"] == [
        {
            "status": "fail",
            "rule": "version",
            "file": "bad.json",
            "place": "version",
            "found": "version is '2', not \"1.0\", which this chip has",
            "remedy": 'write "version": "1.0", or say another --chip',
        }
    ]
    assert zoo("check") == 64 and "RANK_TABLE_FILE is not set" in capsys.readouterr().err
    monkeypatch.setenv("RANK_TABLE_FILE", "good.json")
    assert zoo("check", "--chip=910A") == 0


@pytest.mark.parametrize(
    "table, conf, status, told",
    [
        (TWO, hccn_conf(network=169), OK, "10.0.0.2 has the addresses"),
        (ONE, hccn_conf(network=169), FAIL, "device 0 is 192.169.100.100 there"),
        (ONE, hccn_conf(range(4)), FAIL, "device 4 is missing there"),
        # What a table leaves out contradicts nothing, and a table without any proves nothing.
        (without(one_server([2, 3]), FIRST + ("device", 0, "device_ip")), hccn_conf(), OK, "10.0"),
        (without(one_server([2]), FIRST + ("device", 0, "device_ip")), hccn_conf(), WARN, "no ad"),
    ],
)
def test_the_machines_own_addresses_are_compared(folder, capsys, table, conf, status, told):
    Path("t.json").write_text(text_of(table))
    Path("own.conf").write_text(conf)
    assert zoo("check", "t.json", "--hccn=own.conf", "--json") == int(status == FAIL)
    last = json.loads(capsys.readouterr().out)[-1]
    assert (last["rule"], last["status"]) == ("hccn", status) and told in last["found"]
