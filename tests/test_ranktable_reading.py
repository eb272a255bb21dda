"""Where a rank table's addresses come from: hccn.conf, hccn_tool's output, host lists."""

from __future__ import annotations

import json
import socket

import pytest

from common.ascend.hccn import (
    ServerAddresses,
    read_server,
    read_whole,
    servers_of_hccn,
    servers_of_hosts,
)
from common.ascend.rank_table import RankTable, merged, numbered
from common.core.codec import structured
from common.core.errors import UsageError, ZooError
from tests.rank_tables import TOOL_ANSWER, address, hccn_conf, one_server, table_of
from tests.rank_tables import server as server_entry

ALL = {device: address(device) for device in range(8)}


def tool_output(heading):
    return "".join(
        heading.format(device) + TOOL_ANSWER.format(address(device)) for device in range(8)
    )


def read_addresses(text, where, devices=None):
    return read_server("a", text, where, devices).addresses


TWO_ANSWERS = TOOL_ANSWER.format("10.0.0.1") + TOOL_ANSWER.format("10.0.0.2")


@pytest.mark.parametrize(
    "text, devices, addresses",
    [
        (hccn_conf(), None, ALL),
        (hccn_conf(), [4, 6], {4: address(4), 6: address(6)}),
        (  # other lines are passed over
            "# by hand\n\nnetdetect_0=10.0.0.9\ngateway_0=10.0.0.8\r\n address_0 = 10.0.0.1 \r\n",
            None,
            {0: "10.0.0.1"},
        ),
        ("\ufeffaddress_0=10.0.0.1\n", None, {0: "10.0.0.1"}),  # an editor's mark
        ("address_0=10.0.0.1\naddress_0=10.0.0.1\n", None, {0: "10.0.0.1"}),
        # hccn_tool speaks of the device that a heading names.
        *[
            (tool_output(heading), None, ALL)
            for heading in (
                "device {}\n",
                "=== Device {} ===\n",
                "device: {}\n",
                "root@server:~# /usr/local/Ascend/driver/tools/hccn_tool -i {} -ip -g\n",
            )
        ],
        (TWO_ANSWERS, [4, 5], {4: "10.0.0.1", 5: "10.0.0.2"}),
        (  # a call that failed shifts no other
            "device 0\ndevice ip not configured\ndevice 1\n" + TOOL_ANSWER.format("10.0.0.2"),
            None,
            {1: "10.0.0.2"},
        ),
    ],
)
def test_each_devices_address_is_read(text, devices, addresses):
    assert read_addresses(text, "h", devices) == addresses


NOT_SAID = "doesn't say which devices its 2 ipaddr: lines belong to"


@pytest.mark.parametrize(
    "text, devices, problem",
    [
        ("address_0=10.0.0\n", None, "h line 1: '10.0.0' is no IP address"),
        ("address_0=10.0.0.1\naddress_0=10.0.0.2\n", None, "h line 2: device 0 has two addresses"),
        ("address_0=\n", None, "h has no address for any device"),
        ("address_0=10.0.0.1 # first\n", None, "h line 1: 'address_0=10.0.0.1 # first' is not"),
        ("\naddress_x=10.0.0.1\n", None, "h line 2"),
        ("address_0=127.0.0.1\n", None, "'127.0.0.1' is no IP address of a network card"),
        ("", None, "neither address_<i>= lines nor hccn_tool's"),
        ("hello\n", None, "neither address_<i>= lines nor hccn_tool's"),
        (hccn_conf([0, 1]), [0, 5], "h has no address for device 5; it has those of 0, 1"),
        ("device 0\nipaddr:none\n", None, "h line 2: 'none' is no IP address"),
        # Nothing is guessed.
        *[(TWO_ANSWERS, devices, NOT_SAID) for devices in (None, [4], [4, 5, 6])],
        ("device 0\n" + TWO_ANSWERS, None, "doesn't say which devices"),
    ],
)
def test_what_is_wrong_with_addresses_is_told(text, devices, problem):
    with pytest.raises(ZooError, match=problem):
        read_addresses(text, "h", devices)


# --- host lists ---


@pytest.mark.parametrize(
    "text, problem",
    [
        ("# nobody\n", "hosts names no server"),
        ("10.0.0.1\n", "hosts line 1: '' is no list of addresses"),
        ("\na 0=10.1.0.1 1\n", "hosts line 2: '0=10.1.0.1 1' is no list"),
        ("a x=10.1.0.1\n", "'x=10.1.0.1' is no list"),
        ("a 0=10.1\n", "'10.1' is no IP address"),
        ("a 0=10.1.0.1 0=10.1.0.2\n", "device 0 has two addresses"),
    ],
)
def test_what_is_wrong_with_a_host_list_is_told(tmp_path, text, problem):
    (tmp_path / "hosts").write_text(text)
    with pytest.raises(ZooError, match=problem):
        servers_of_hosts(str(tmp_path / "hosts"), None)


def test_the_files_of_a_host_list_lie_beside_it(tmp_path):
    (tmp_path / "b.conf").write_text(hccn_conf())
    (tmp_path / "hosts").write_text("# the cluster\na 0=10.1.0.1 1=10.1.0.2  # first\n\nb b.conf\n")
    assert servers_of_hosts(str(tmp_path / "hosts"), [0]) == [
        ServerAddresses("a", {0: "10.1.0.1"}),
        ServerAddresses("b", {0: address(0)}),
    ]


def test_a_host_that_lacks_a_device_is_named(tmp_path):
    (tmp_path / "hosts").write_text("a 0=10.1.0.1\n")
    with pytest.raises(ZooError, match="hosts line 1 has no address for device 1"):
        servers_of_hosts(str(tmp_path / "hosts"), [1])


# --- files ---


def test_one_file_is_this_machines(tmp_path):
    (tmp_path / "hccn.conf").write_text(hccn_conf())
    servers = servers_of_hccn([str(tmp_path / "hccn.conf")], [], None)
    assert servers == [ServerAddresses(socket.gethostname(), ALL)]


def test_a_folder_of_info_files_names_its_servers_in_their_order(tmp_path):
    for name in (
        "server_10.0.0.2_2.info",
        "server_10.0.0.9_0.info",
        "server_10.0.0.3_10.info",
        "server_10.0.0.4_1.info.old",
    ):
        (tmp_path / name).write_text(hccn_conf([0]))
    assert [server.server_id for server in servers_of_hccn([str(tmp_path)], [], None)] == [
        "10.0.0.9",
        "10.0.0.2",
        "10.0.0.3",
    ]


def test_a_folder_without_info_files_is_refused(tmp_path):
    with pytest.raises(ZooError, match=r"has no server_<name>_<index>\.info"):
        servers_of_hccn([str(tmp_path)], [], None)


@pytest.mark.parametrize(
    "names, problem",
    [
        ([], "several --hccn files need --servers"),
        (["a"], "names 1 servers and --hccn has 2 files"),
    ],
)
def test_several_files_need_a_name_each(tmp_path, names, problem):
    files = [tmp_path / "a", tmp_path / "b"]
    for file in files:
        file.write_text(hccn_conf())
    with pytest.raises(UsageError, match=problem):
        servers_of_hccn([str(file) for file in files], names, None)


def test_a_file_that_is_not_there_is_told():
    with pytest.raises(ZooError, match="can't read /nowhere/hccn.conf .No such file"):
        read_whole("/nowhere/hccn.conf")


def test_a_file_that_only_root_may_read_is_told_with_the_way_round(monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.read_text", refuse)
    with pytest.raises(ZooError, match="no permission for /etc/hccn.conf; as root copy it"):
        read_whole("/etc/hccn.conf")


# --- the table ---


def test_ranks_follow_the_servers_then_the_devices_numbers():
    table = numbered(
        [
            ServerAddresses("b", {1: "10.0.0.2", 0: "10.0.0.1"}),
            ServerAddresses("a", {4: "10.0.1.1", 5: "10.0.1.2"}),
        ]
    )
    assert [
        (server.server_id, device.device_id, device.rank_id)
        for server in table.server_list
        for device in server.device
    ] == [("b", "0", "0"), ("b", "1", "1"), ("a", "4", "2"), ("a", "5", "3")]


def test_the_file_is_of_format_1_0_and_every_value_a_string():
    table = numbered([ServerAddresses("10.0.0.1", {0: address(0), 1: address(1)})])
    assert json.loads(table.as_json()) == one_server([0, 1])


def table_in(*servers):
    return structured(table_of(list(servers)), RankTable, "t")


def test_merging_counts_the_ranks_on_and_keeps_their_order_inside_a_table():
    mixed = table_in(server_entry("b", [0, 1], first_rank=2), server_entry("a", [1, 0]))
    last = table_in(server_entry("c", [0, 1]))
    assert merged([mixed, last]) == table_in(
        server_entry("b", [0, 1], first_rank=2),
        server_entry("a", [1, 0]),
        server_entry("c", [0, 1], first_rank=4),
    )


def test_a_server_that_comes_twice_is_refused():
    table = structured(one_server(), RankTable, "t")
    with pytest.raises(ZooError, match=r"server 10\.0\.0\.1 comes twice"):
        merged([table, table])


def test_on_a3_the_super_pod_is_read_below_each_die(tmp_path):
    """What hccn_tool and npu-smi info -t spod-info print, a heading for each die."""
    text = "".join(
        f"device {die}\nipaddr:{address(die)}\n\tSDID : {1000 + die}\n\tSuper Pod ID : 11\n"
        for die in range(2)
    )
    (tmp_path / "a").write_text(text)
    (server,) = servers_of_hccn([str(tmp_path / "a")], ["10.0.0.1"], None)
    assert server.super_devices == {0: "1000", 1: "1001"} and server.super_pod == "11"
    content = json.loads(numbered([server]).as_json())
    assert content["version"] == "1.2"
    assert content["super_pod_list"] == [
        {"super_pod_id": "11", "server_list": [{"server_id": "10.0.0.1"}]}
    ]
