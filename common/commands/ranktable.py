"""`zoo ranktable make|check`: HCCL's rank tables, of format 1.0 and of A3's 1.2."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from pathlib import Path
from typing import List, Tuple

import attrs

from common.ascend.hccn import (
    USUAL_PLACE,
    read_server,
    read_whole,
    servers_of_hccn,
    servers_of_hosts,
)
from common.ascend.rank_table import CHIP_910A, CHIP_A2, CHIP_A3, CHIPS, merged, numbered
from common.ascend.rank_table_rules import (
    TableFinding,
    check_addresses,
    check_text,
    first_failure,
    read_table,
)
from common.commands.doctor import as_text
from common.core.command_line import add_debug_flag
from common.core.errors import WARN, Finding, UsageError, ZooError
from common.core.files import make_folder, write_atomically
from common.machine import devices

EXAMPLES = """
  sudo zoo ranktable make --output=rank_table.json         this machine, all devices
  zoo ranktable make --hccn a.conf b.conf --servers=10.0.0.1,10.0.0.2 --devices=0-3
  zoo ranktable make --hosts=hosts.txt
  zoo ranktable make --tables first.json second.json --output=both.json
  zoo ranktable check rank_table.json
"""
MOST_DEVICES = 64


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the two actions, each with flags of its own."""
    parser.epilog = "examples:" + EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    actions = parser.add_subparsers(metavar="make|check", dest="action", required=True)
    text = "makes a table from hccn.conf, hccn_tool's output, a host list or other tables"
    make = actions.add_parser("make", help=text, description=text)
    text = "every rule of the format, with the place and the remedy of what is wrong"
    check = actions.add_parser("check", help=text, description=text)
    for action, run_action in ((make, _make), (check, _check)):
        add_debug_flag(action)
        text = (
            "a 910A limits which devices may work together, A3 has format 1.2 (default: this "
            "machine's, else 910A)"
        )
        action.add_argument("--chip", choices=CHIPS, help=text)
        action.set_defaults(run=run_action)
    source = make.add_mutually_exclusive_group()
    text = "hccn.conf or hccn_tool's output, one file a server; - for the standard input"
    source.add_argument("--hccn", nargs="+", default=[USUAL_PLACE], metavar="FILE", help=text)
    text = "a host list: SERVER_ID FILE, or SERVER_ID 0=192.168.100.101 …, a line for each server"
    source.add_argument("--hosts", metavar="FILE", help=text)
    text = "tables to put together, in the order of the ranks"
    source.add_argument("--tables", nargs="+", metavar="FILE", help=text)
    text = (
        "names of the --hccn files' servers: the hosts' addresses or any unique names (default "
        "for one: the host's name)"
    )
    make.add_argument("--servers", type=_names, default=[], metavar="NAME,…", help=text)
    text = "physical numbers of the devices to use on each server (default: all)"
    make.add_argument("--devices", type=_device_numbers, metavar="0-3,6", help=text)
    text = "where the table is written"
    make.add_argument("--output", default="rank_table.json", metavar="FILE", help=text)
    text = "rank tables (default: $RANK_TABLE_FILE)"
    check.add_argument("files", nargs="*", metavar="FILE", help=text)
    text = (
        "this machine's hccn.conf, or hccn_tool's output: one of the table's servers must have "
        "its addresses"
    )
    check.add_argument("--hccn", metavar="FILE", help=text)
    check.add_argument("--json", action="store_true", help="print the findings as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Runs one action; returns the exit code."""
    if arguments.chip is None:
        name = devices.npu_name()
        here = CHIP_A2 if devices.npu_has_bfloat16(name) else CHIP_910A
        arguments.chip = CHIP_A3 if devices.npu_is_a3(name) else here
    return int(arguments.run(arguments))


def _make(arguments: argparse.Namespace) -> int:
    """Writes a table that the check would pass; prints what it would warn of."""
    if arguments.servers and (arguments.hosts or arguments.tables):
        raise UsageError("--servers names the files of --hccn; leave it out")
    if arguments.tables and arguments.devices is not None:
        raise UsageError("--tables takes each table whole; leave --devices out")
    if arguments.tables:
        table = merged([read_table(_table_text(path), path) for path in arguments.tables])
    elif arguments.hosts:
        table = numbered(servers_of_hosts(arguments.hosts, arguments.devices))
    else:
        given = (arguments.hccn, arguments.servers, arguments.devices)
        table = numbered(servers_of_hccn(*given))
    text, output, path = table.as_json(), arguments.output, Path(arguments.output)
    read_table(text, output, arguments.chip)
    for finding in check_text(text, output, arguments.chip):
        if finding.status == WARN:
            print(f"warn: {finding.place} {finding.found}; {finding.remedy}", file=sys.stderr)
    if path.is_dir():
        raise UsageError(f"--output {path} is a folder; name a file in it")
    if path.exists() and _table_text(output) != text:
        raise ZooError(f"{path} is there and another table; move it away or give another --output")
    make_folder(path.parent, "--output")
    write_atomically(path, text)
    servers, ranks = len(table.server_list), table.world_size
    print(
        f"{output}: {servers} server{'s' * (servers > 1)}, {ranks} rank{'s' * (ranks > 1)}; "
        f"use it by: export RANK_TABLE_FILE={os.path.abspath(output)}"
    )
    return 0


def _names(text: str) -> List[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _device_numbers(text: str) -> Tuple[int, ...]:
    """The type of --devices: "0-3,6" as (0, 1, 2, 3, 6)."""
    found: List[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"([0-9]{1,2})(?:-([0-9]{1,2}))?", part.strip())
        if match is None:
            raise argparse.ArgumentTypeError(f"expected numbers such as 0-3,6, not {text!r}")
        first, last = int(match.group(1)), int(match.group(2) or match.group(1))
        found += range(first, last + 1) if first <= last else [first, last]
    if found != sorted(set(found)) or max(found) >= MOST_DEVICES:
        raise argparse.ArgumentTypeError(
            f"expected each number once, ascending and below {MOST_DEVICES}, not {text!r}"
        )
    return tuple(found)


def _check(arguments: argparse.Namespace) -> int:
    """Prints the findings for each file, as the doctor prints its own."""
    files = arguments.files or [os.environ.get("RANK_TABLE_FILE", "")]
    if not files[0]:
        raise UsageError("zoo ranktable check needs a file: RANK_TABLE_FILE is not set")
    findings = [_findings(file, arguments) for file in files]
    if arguments.json:
        found = [attrs.asdict(finding) for part in findings for finding in part]
        print(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        told = [as_text([_line(one) for one in part]) for part in findings]
        print("\n\n".join(map("{}\n{}".format, files, told)))
    return int(any(map(first_failure, findings)))


def _findings(file: str, arguments: argparse.Namespace) -> List[TableFinding]:
    text = _table_text(file)
    found = check_text(text, file, arguments.chip)
    if arguments.hccn and first_failure(found) is None:
        table = read_table(text, file, arguments.chip)
        here = read_server("", read_whole(arguments.hccn), arguments.hccn)
        found.append(check_addresses(table, here.addresses, arguments.hccn, file))
    return found


def _table_text(path: str) -> str:
    """A file's text, "" where it can't be read."""
    return devices.read_text(Path(path))


def _line(finding: TableFinding) -> Finding:
    place = f"{finding.place}: " if finding.place else ""
    return Finding(finding.status, finding.rule, place + finding.found, finding.remedy)
