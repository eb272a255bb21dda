"""The files a rank table is made from: hccn.conf, folders of .info files, host lists, tables."""

from __future__ import annotations

import re
import socket
import sys
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

from common.ascend.rank_tables.checking import read_table
from common.ascend.rank_tables.reading_hccn import (
    USUAL_PLACE,
    is_address,
    read_addresses,
    selected,
)
from common.ascend.rank_tables.rules import CHIP_UNKNOWN, LONGEST_SERVER_ID
from common.ascend.rank_tables.table import RankTable, ServerAddresses
from common.core.errors import UsageError, ZooError
from common.machine.devices import read_text

STANDARD_INPUT = "-"
HOST_LINE = "SERVER_ID FILE, or SERVER_ID 0=192.168.100.101 1=192.168.101.101 (device=address)"
_INFO_FILE = re.compile(r"server_(?P<server_id>.+)_(?P<index>\d+)\.info")
Devices = Optional[Sequence[int]]


def servers_of_hccn(
    paths: Sequence[str], names: Sequence[str], devices: Devices
) -> List[ServerAddresses]:
    """A server for each file, named in the files' order.

    Args:
        paths: copies of hccn.conf or hccn_tool's output, `-` for the standard input; or folders of
            such copies, called server_<name>_<index>.info.
        names: the servers' names; without any a folder's files name theirs, and a single file is
            this machine's.
        devices: physical numbers to take from each server, None for all.

    Raises:
        ZooError: a file can't be read or understood; UsageError: names and files don't match.
    """
    files = [file for path in paths for file in _files_of(path)]
    if names and len(names) != len(files):
        raise UsageError(
            f"--servers names {len(names)} servers and --hccn has {len(files)} files; "
            "name one for each file"
        )
    if not names and len(files) > 1 and not all(name for name, _ in files):
        raise UsageError("several --hccn files need --servers NAME,NAME,…, in the files' order")
    return [
        ServerAddresses(
            names[index] if names else name or this_machine(),
            read_addresses(read_whole(path), path, devices),
        )
        for index, (name, path) in enumerate(files)
    ]


def this_machine() -> str:
    """The host's name, which needs no choice among its network cards."""
    return socket.gethostname()[:LONGEST_SERVER_ID]


def _files_of(path: str) -> List[Tuple[str, str]]:
    """A file without a name, or a folder's .info files with theirs, by their index."""
    if path == STANDARD_INPUT or not Path(path).is_dir():
        return [("", path)]
    matches = [(_INFO_FILE.fullmatch(file.name), str(file)) for file in Path(path).iterdir()]
    found = sorted(
        (int(match.group("index")), match.group("server_id"), file)
        for match, file in matches
        if match
    )
    if not found:
        raise ZooError(
            f"{path} has no server_<name>_<index>.info; copy each server's {USUAL_PLACE} there"
        )
    return [(name, file) for _, name, file in found]


def servers_of_hosts(path: str, devices: Devices) -> List[ServerAddresses]:
    """The servers of a host list, a line each; `#` begins a comment, files lie beside the list.

    Raises:
        ZooError: the list or a file it names can't be read or understood.
    """
    servers: List[ServerAddresses] = []
    for number, line in enumerate(read_whole(path).splitlines(), 1):
        name, *words = line.split("#", 1)[0].split() or [""]
        if not name:
            continue
        if len(words) == 1 and "=" not in words[0]:
            file = str(Path(path).parent / words[0])
            addresses = read_addresses(read_whole(file), file, devices)
        else:
            here = _addresses_of_line(name, words, f"{path} line {number}")
            addresses = selected(here, devices, f"{path}, server {name}")
        servers.append(ServerAddresses(name, addresses))
    if not servers:
        raise ZooError(f"{path} names no server; write a line for each: {HOST_LINE}")
    return servers


def _addresses_of_line(name: str, words: Sequence[str], where: str) -> Dict[int, str]:
    found: Dict[int, str] = {}
    for word in words:
        device, _, address = word.partition("=")
        number = int(device) if re.fullmatch("[0-9]{1,4}", device) else None
        if number is None or number in found or not is_address(address):
            raise ZooError(f"{where}: {word!r} is no new device=address; write {HOST_LINE}")
        found[number] = address
    if not found:
        raise ZooError(f"{where}: {name} has no addresses; write {HOST_LINE}")
    return found


def read_table_file(path: str) -> RankTable:
    """The rank table in a file.

    Raises:
        ZooError: it is missing, or breaks a rule.
    """
    return read_table(table_text(path), path, CHIP_UNKNOWN)


def table_text(path: str) -> Optional[str]:
    """A file's text, None where it can't be read or is empty."""
    return read_text(Path(path)) or None


def read_whole(path: str) -> str:
    """A file's text, the standard input's for `-`.

    Raises:
        ZooError: it can't be read.
    """
    if path == STANDARD_INPUT:
        return sys.stdin.read()
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except PermissionError as error:
        raise ZooError(
            f"no permission for {path}; as root copy it, or give what hccn_tool -i N -ip -g prints"
        ) from error
    except OSError as error:
        raise ZooError(f"can't read {path} ({error.strerror}); check the path") from error
