"""A host list: one server a line, with its devices' addresses or the file that has them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Sequence, Tuple

from common.ascend.rank_tables.reading_hccn import is_address
from common.core.errors import ZooError

FORM = "SERVER_ID FILE, or SERVER_ID 0=192.168.100.101 1=192.168.101.101 (device=address)"


@dataclass(frozen=True)
class Host:
    """A line of the list: a server with addresses by physical device number, or with a file."""

    server_id: str
    addresses: Tuple[Tuple[int, str], ...]
    file: str


def read_host_list(text: str, where: str) -> Tuple[Host, ...]:
    """The hosts in the list's order; `#` begins a comment.

    Raises:
        ZooError: a line is of neither form, or there are none.
    """
    hosts: Tuple[Host, ...] = ()
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split("#", 1)[0].split()
        if words:
            hosts += (_host(words, f"{where} line {number}"),)
    if not hosts:
        raise ZooError(f"{where} names no server; write a line for each: {FORM}")
    return hosts


def _host(words: Sequence[str], where: str) -> Host:
    if len(words) == 2 and "=" not in words[1]:
        return Host(words[0], (), words[1])
    found: Dict[int, str] = {}
    for word in words[1:]:
        device, _, address = word.partition("=")
        if not device.isdecimal() or not is_address(address) or int(device) in found:
            raise ZooError(f"{where}: {word!r} is no new device=address; write {FORM}")
        found[int(device)] = address
    if not found:
        raise ZooError(f"{where}: {words[0]} has no addresses; write {FORM}")
    return Host(words[0], tuple(sorted(found.items())), "")
