"""`zoo ranktable make|check`: what is written, what is printed, how it ends."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import pytest

from common.commands.program import main
from tests.rank_tables import (
    TOOL_ANSWER,
    address,
    changed,
    hccn_conf,
    one_server,
    text_of,
    two_servers,
)


@pytest.fixture()
def folder(tmp_path, monkeypatch):
    """The current folder, with the hccn.conf of two servers."""
    (tmp_path / "a.conf").write_text(hccn_conf())
    (tmp_path / "b.conf").write_text(hccn_conf(network=169))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RANK_TABLE_FILE", raising=False)
    return tmp_path


def zoo(*words):
    return main(["ranktable"] + list(words))


def written(path="rank_table.json"):
    return json.loads(Path(path).read_text())


# --- make ---


BOTH = ["a.conf", "b.conf", "--servers=10.0.0.1,10.0.0.2"]
ONE = ["--hccn", "a.conf", "--servers=10.0.0.1"]


@pytest.mark.parametrize(
    "words, table",
    [
        (ONE, one_server()),
        (["--hccn", *BOTH], two_servers()),
        (["--hosts", "hosts"], two_servers()),
        ([*ONE, "--devices=4-5,6,7"], one_server([4, 5, 6, 7])),
        ([*ONE, "--devices=0-2", "--chip=A2"], one_server([0, 1, 2])),
    ],
)
def test_a_table_is_made_of_the_servers_and_devices_that_are_named(folder, capsys, words, table):
    Path("hosts").write_text("10.0.0.1 a.conf\n10.0.0.2 b.conf\n")
    assert zoo("make", *words, "--output=new/t.json") == 0
    assert written("new/t.json") == table
    told = capsys.readouterr().out
    assert told.startswith(f"new/t.json: {len(table['server_list'])} server")
    assert told.endswith(f"; use it by: export RANK_TABLE_FILE={folder / 'new' / 't.json'}\n")


def test_the_tools_output_comes_through_a_pipe(folder, monkeypatch):
    answers = "".join(
        f"device {device}\n" + TOOL_ANSWER.format(address(device)) for device in range(8)
    )
    monkeypatch.setattr("sys.stdin", io.StringIO(answers))
    assert zoo("make", "--hccn", "-", "--servers=10.0.0.1") == 0
    assert written() == one_server()


def test_tables_of_single_servers_become_one(folder):
    for name, host in (("a", "10.0.0.1"), ("b", "10.0.0.2")):
        zoo("make", "--hccn", name + ".conf", "--servers", host, "--output", name + ".json")
    assert zoo("make", "--tables", "a.json", "b.json") == 0
    assert written() == two_servers()


@pytest.mark.parametrize(
    "words",
    [
        ["--hccn", "a.conf", "--servers=x", "--devices=0-2"],
        ["--hccn", "a.conf", "--servers=" + "x" * 65],
        ["--hccn", "a.conf", "a.conf", "--servers=x,y"],
        ["--hccn", "a.conf", "b.conf", "--servers=x,x"],
        ["--hccn", "nowhere.conf"],
        ["--tables", "a.conf"],
    ],
)
def test_a_table_that_the_check_would_fail_is_not_written(folder, capsys, words):
    assert zoo("make", *words) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ") and captured.err.count("\n") == 1
    assert not captured.out and sorted(os.listdir(".")) == ["a.conf", "b.conf"]


def test_what_the_check_warns_of_is_said_and_the_table_written(folder, capsys):
    assert zoo("make", "--hccn", "a.conf", "--devices=0-2", "--chip=unknown") == 0
    assert capsys.readouterr().err.startswith("warn: server_list[0].device 3 devices")
    assert Path("rank_table.json").exists()


def test_another_table_is_never_overwritten(folder, capsys):
    Path("rank_table.json").write_text("mine")
    assert zoo("make", "--hccn", "a.conf") == 1
    assert "is there and another table" in capsys.readouterr().err
    assert Path("rank_table.json").read_text() == "mine"


@pytest.mark.parametrize(
    "words",
    [
        *([f"--devices={wrong}"] for wrong in ("0-", "x", "1,1", "3-1", "64", "3-1,0", "3,0")),
        ["--hccn", "a.conf", "--output=."],
        ["--chip=910Z"],
        ["--hccn", "a.conf", "--hosts", "h"],
        ["--hosts", "h", "--servers=a"],
        ["--tables", "a.json", "--devices=0"],
        ["--hccn", "a.conf", "b.conf"],
        ["a.conf"],
    ],
)
def test_a_command_line_that_makes_no_sense_ends_with_64(folder, words):
    assert zoo("make", *words) == 64
    assert not Path("rank_table.json").exists()


# --- check ---


def check(table, *words):
    Path("t.json").write_text(text_of(table))
    return zoo("check", "t.json", *words)


def test_a_table_is_told_line_by_line_and_a_failure_ends_with_1_with_place_and_remedy(
    folder, capsys
):
    assert check(two_servers()) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "t.json" and lines[-1] == "13 checks, 0 fail, 0 warn"
    assert all(line.startswith("ok ") for line in lines[1:-1])
    assert check(changed(one_server(), ("status",), "initializing")) == 1
    lines = capsys.readouterr().out.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("fail"))
    assert lines[at].split()[:3] == ["fail", "status", "status:"]
    assert lines[at + 1].strip().startswith("-> wait until the table is complete")
    assert check(one_server([0, 1, 2]), "--chip=unknown") == 0
    assert capsys.readouterr().out.endswith("13 checks, 0 fail, 1 warn\n")


def test_json_has_every_field_of_every_finding(folder, capsys):
    check(changed(one_server(), ("version",), "2"), "--json")
    found = json.loads(capsys.readouterr().out)
    assert [entry for entry in found if entry["status"] == "fail"] == [
        {
            "status": "fail",
            "rule": "version",
            "file": "t.json",
            "place": "version",
            "found": "version is '2', not \"1.0\", which this chip has",
            "remedy": 'write "version": "1.0", or say another --chip',
        }
    ]
    assert len(found) == 13


def test_one_bad_file_among_several_fails_the_command(folder, capsys):
    Path("good.json").write_text(text_of(one_server()))
    assert zoo("check", "good.json", "missing.json") == 1
    printed = capsys.readouterr().out
    assert "good.json\nok " in printed and "\n\nmissing.json\nfail" in printed


def test_the_table_of_the_environment_is_the_default(folder, monkeypatch, capsys):
    assert zoo("check") == 64
    assert "RANK_TABLE_FILE is not set" in capsys.readouterr().err
    Path("a,b.json").write_text(text_of(one_server()))
    monkeypatch.setenv("RANK_TABLE_FILE", "a,b.json")
    assert zoo("check") == 0
    assert capsys.readouterr().out.startswith("a,b.json\n")


@pytest.mark.parametrize("conf, code", [("a.conf", 0), ("b.conf", 1)])
def test_the_machines_own_addresses_are_compared(folder, capsys, conf, code):
    assert check(one_server(), "--hccn", conf) == code
    assert ("fail  hccn" in capsys.readouterr().out) is bool(code)
