"""`zoo ranktable make|check`: HCCL's rank tables, of format 1.0 and of A3's 1.2."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from pathlib import Path
from typing import Dict, List, Tuple

import attrs

from common.ascend.hccn import (
    USUAL_PLACE,
    read_addresses,
    read_whole,
    servers_of_hccn,
    servers_of_hosts,
)
from common.ascend.rank_table import (
    CHIP_910A,
    CHIP_A2,
    CHIP_A3,
    CHIPS,
    RankTable,
    TableFinding,
    as_json,
    check_addresses,
    check_text,
    first_failure,
    merged,
    numbered,
    read_table,
)
from common.commands.doctor import as_text
from common.core.command_line import add_debug_flag
from common.core.errors import UsageError, ZooError
from common.core.files import make_folder, write_atomically
from common.core.findings import WARN, Finding
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
    for name, (add_flags, run_action, text) in _ACTIONS.items():
        action = actions.add_parser(name, help=text, description=text)
        add_debug_flag(action)
        action.add_argument(
            "--chip",
            choices=CHIPS,
            help="a 910A limits which devices may work together, A3 has format 1.2 (default: this "
            "machine's, else 910A)",
        )
        add_flags(action)
        action.set_defaults(run=run_action)


def run(arguments: argparse.Namespace) -> int:
    """Runs one action; returns the exit code."""
    arguments.chip = arguments.chip or _chip_here()
    return int(arguments.run(arguments))


def _chip_here() -> str:
    name = devices.npu_name()
    if devices.npu_is_a3(name):
        return CHIP_A3
    return CHIP_A2 if devices.npu_has_bfloat16(name) else CHIP_910A


# --- make ---


def _make(arguments: argparse.Namespace) -> int:
    if arguments.servers and (arguments.hosts or arguments.tables):
        raise UsageError("--servers names the files of --hccn; leave it out")
    if arguments.tables and arguments.devices is not None:
        raise UsageError("--tables takes each table whole; leave --devices out")
    table = _table_of(arguments)
    text = as_json(table)
    _refuse_unusable(text, arguments.output, arguments.chip)
    _write_new(Path(arguments.output), text)
    print(
        "{}: {} server{}, {} rank{}; use it by: export RANK_TABLE_FILE={}".format(
            arguments.output,
            len(table.servers),
            "s" * (len(table.servers) > 1),
            table.world_size,
            "s" * (table.world_size > 1),
            os.path.abspath(arguments.output),
        )
    )
    return 0


def _add_make_flags(parser: argparse.ArgumentParser) -> None:
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--hccn",
        nargs="+",
        default=[USUAL_PLACE],
        metavar="FILE",
        help="hccn.conf or hccn_tool's output, one file a server; or a folder of "
        "server_<name>_<index>.info; - for the standard input",
    )
    source.add_argument(
        "--hosts",
        metavar="FILE",
        help="a host list: SERVER_ID FILE, or "
        "SERVER_ID 0=192.168.100.101 …, a line for each server",
    )
    source.add_argument(
        "--tables",
        nargs="+",
        metavar="FILE",
        help="tables to put together, in the order of the ranks",
    )
    parser.add_argument(
        "--servers",
        type=_names,
        default=[],
        metavar="NAME,…",
        help="names of the --hccn files' servers: the hosts' addresses or any "
        "unique names (default for one: the host's name)",
    )
    parser.add_argument(
        "--devices",
        type=device_numbers,
        metavar="0-3,6",
        help="physical numbers of the devices to use on each server (default: all)",
    )
    parser.add_argument(
        "--output", default="rank_table.json", metavar="FILE", help="where the table is written"
    )


def _names(text: str) -> List[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def device_numbers(text: str) -> Tuple[int, ...]:
    """The type of --devices: "0-3,6" as (0, 1, 2, 3, 6).

    Raises:
        argparse.ArgumentTypeError: it is no such list, or a number comes twice.
    """
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


def _table_of(arguments: argparse.Namespace) -> RankTable:
    if arguments.tables:
        return merged([read_table(table_text(path), path) for path in arguments.tables])
    if arguments.hosts:
        return numbered(servers_of_hosts(arguments.hosts, arguments.devices))
    return numbered(servers_of_hccn(arguments.hccn, arguments.servers, arguments.devices))


def table_text(path: str) -> str:
    """A file's text, "" where it can't be read."""
    return devices.read_text(Path(path))


def _refuse_unusable(text: str, output: str, chip: str) -> None:
    """Raises ZooError for a table that `check` would fail; prints what it would warn of."""
    read_table(text, output, chip)
    for finding in check_text(text, output, chip):
        if finding.status == WARN:
            print(f"warn: {finding.place} {finding.found}; {finding.remedy}", file=sys.stderr)


def _write_new(path: Path, text: str) -> None:
    if path.is_dir():
        raise UsageError(f"--output {path} is a folder; name a file in it")
    if path.exists() and table_text(str(path)) != text:
        raise ZooError(f"{path} is there and another table; move it away or give another --output")
    make_folder(path.parent, "--output")
    write_atomically(path, text)


# --- check ---


def _add_check_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "files", nargs="*", metavar="FILE", help="rank tables (default: $RANK_TABLE_FILE)"
    )
    parser.add_argument(
        "--hccn",
        metavar="FILE",
        help="this machine's hccn.conf, or hccn_tool's "
        "output: one of the table's servers must have its addresses",
    )
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")


def _check(arguments: argparse.Namespace) -> int:
    files = arguments.files or [os.environ.get("RANK_TABLE_FILE", "")]
    if not files[0]:
        raise UsageError("zoo ranktable check needs a file: RANK_TABLE_FILE is not set")
    findings = {file: _findings(file, arguments) for file in files}
    print(_as_json(findings) if arguments.json else _as_text(findings))
    return int(any(first_failure(found) for found in findings.values()))


def _findings(file: str, arguments: argparse.Namespace) -> List[TableFinding]:
    text = table_text(file)
    found = check_text(text, file, arguments.chip)
    if arguments.hccn and first_failure(found) is None:
        table = read_table(text, file, arguments.chip)
        addresses = read_addresses(read_whole(arguments.hccn), arguments.hccn)
        found.append(check_addresses(table, addresses, arguments.hccn, file))
    return found


def _as_json(findings: Dict[str, List[TableFinding]]) -> str:
    return json.dumps(
        [attrs.asdict(finding) for found in findings.values() for finding in found],
        indent=2,
        ensure_ascii=False,
    )


def _as_text(findings: Dict[str, List[TableFinding]]) -> str:
    """Each file's name, then its findings as the doctor prints its own."""
    return "\n\n".join(
        f"{file}\n{as_text([_line(finding) for finding in found])}"
        for file, found in findings.items()
    )


def _line(finding: TableFinding) -> Finding:
    place = f"{finding.place}: " if finding.place else ""
    return Finding(finding.status, finding.rule, place + finding.found, finding.remedy)


_ACTIONS = {
    "make": (
        _add_make_flags,
        _make,
        "makes a table from hccn.conf, hccn_tool's output, a host list or other tables",
    ),
    "check": (
        _add_check_flags,
        _check,
        "every rule of the format, with the place and the remedy of what is wrong",
    ),
}
