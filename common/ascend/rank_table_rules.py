"""The rules of HCCL's rank tables, and what they say of a file."""

from __future__ import annotations

import re
from typing import Any, Callable, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple

import attrs

from common.ascend.hccn import USUAL_PLACE, is_address
from common.ascend.rank_table import (
    CHIP_910A,
    CHIP_A2,
    CHIP_A3,
    CHIP_UNKNOWN,
    VERSION,
    VERSION_OF_A3,
    Device,
    RankTable,
    Server,
)
from common.core.codec import ContentError, parse_json, structured
from common.core.errors import FAIL, OK, WARN, ZooError
from common.core.text import quoted

LONGEST_SERVER_ID = 64
MAKE_ONE = "make one of format 1.0: zoo ranktable make"
_NUMBER = re.compile(r"0|[1-9][0-9]{0,8}")
_NUMBER_RANKS = "number the ranks 0, 1, 2, … over all servers"

# --- its rules: a function each, which yields its breaches (place, what is there, remedy and, where
# it is no failure, the status); its docstring is what is said where it holds ---

Problem = Tuple[str, ...]
Problems = Iterator[Problem]


def _version(table: RankTable, chip: str) -> Problems:
    """1.0, on A3 1.2"""
    legal = VERSION_OF_A3 if chip == CHIP_A3 else VERSION
    if table.version != legal and (chip, table.version) != (CHIP_UNKNOWN, VERSION_OF_A3):
        told = f'{_is("version", table.version)}, not "{legal}", which this chip has'
        yield "version", told, f'write "version": "{legal}", or say another --chip'


def _status(table: RankTable, chip: str) -> Problems:
    """completed"""
    if table.status != "completed":
        told = _is("status", table.status) + ", not 'completed': HCCL would wait for ever"
        yield "status", told, "wait until the table is complete, or make one"


def _server_count(table: RankTable, chip: str) -> Problems:
    """as many as server_list has"""
    count = str(len(table.server_list))
    if table.server_count != count:
        told = f"{_is('server_count', table.server_count)}, and server_list has {count}"
        yield "server_count", told, f'write "server_count": "{count}"'


def _server_id(table: RankTable, chip: str) -> Problems:
    """a unique name each, at most 64 characters"""
    first: Dict[str, str] = {}
    for server_place, server in _servers(table):
        place, name, told = server_place + ".server_id", server.server_id, ""
        if not name.strip() or not name.isprintable() or len(name) > LONGEST_SERVER_ID:
            told = f"the name {quoted(name)} is empty, too long or not printable"
        elif first.setdefault(name, place) != place:
            told = f"{name} is the name at {first[name]} too"
        if told:
            remedy = f"write the host's address or a unique name of at most {LONGEST_SERVER_ID}"
            yield place, told, remedy + " characters"


def _device_id(table: RankTable, chip: str) -> Problems:
    """physical numbers, one process per device or port"""
    first: Dict[Any, str] = {}
    for place, device in _devices(table, "device_id"):
        key = place.partition(".")[0], device.device_id, device.device_port
        before = first.setdefault(key, place)
        if not _NUMBER.fullmatch(device.device_id):
            told = _is("device_id", device.device_id) + ", no device's number"
            yield place, told, "write the physical number, 0 for the first device"
        elif before != place:
            told = f"device {device.device_id} is at {before} too, and takes one process"
            yield place, told, "list each device of a server once, or give each a device_port"


def _device_ip(table: RankTable, chip: str) -> Problems:
    """an address of its own for each device"""
    matters = FAIL if len(table.server_list) > 1 else WARN  # one server may do without
    first: Dict[Any, str] = {}
    for place, device in _devices(table, "device_ip"):
        address = device.device_ip
        before, told = first.setdefault((address, device.device_port), place), ""
        if not address:
            told = "the device has no address"
        elif not is_address(address):
            told = f"{quoted(address)} is no IP address of a network card"
        elif before != place:
            told = f"{address} is the address at {before} too"
        if told:
            yield place, told, f"write address_<device_id> of that server's {USUAL_PLACE}", matters


def _rank_id(table: RankTable, chip: str) -> Problems:
    """from 0 without gaps, one server's after another's"""
    devices = list(_devices(table, "rank_id"))
    first: Dict[int, str] = {}
    for place, device in devices:
        if not _NUMBER.fullmatch(device.rank_id):
            yield place, _is("rank_id", device.rank_id) + ", no rank's number", _NUMBER_RANKS
        elif first.setdefault(int(device.rank_id), place) != place:
            told = f"rank {device.rank_id} is at {first[int(device.rank_id)]} too"
            yield place, told, _NUMBER_RANKS
    beyond = min((number for number in first if number >= len(devices)), default=None)
    if beyond is not None:
        told = f"rank {beyond} among {len(devices)} devices: ranks are not numbered from 0"
        yield first[beyond], told + " without gaps", _NUMBER_RANKS
    for place, server in _servers(table) if len(first) == len(devices) else ():
        ranks = sorted(int(device.rank_id) for device in server.device)
        if beyond is None and ranks[-1] - ranks[0] >= len(ranks):
            told = f"ranks {', '.join(map(str, ranks))}: another server's lie between them"
            yield place + ".device", told, "number one server's ranks after another's"


def _super_pod(table: RankTable, chip: str) -> Problems:
    """on A3, each device's and each server's"""
    if table.version != VERSION_OF_A3:
        return
    remedy = "make it on the A3: zoo ranktable make --chip A3"
    for place, device in _devices(table, "super_device_id"):
        if not _NUMBER.fullmatch(device.super_device_id):
            yield place, _is("super_device_id", device.super_device_id) + ", no number", remedy
    named = [one.server_id for pod in table.super_pod_list for one in pod.server_list]
    if sorted(named) != sorted(server.server_id for server in table.server_list):
        yield "super_pod_list", "it doesn't name each server once", remedy


def _server_size(table: RankTable, chip: str) -> Problems:
    """the same number of devices on each server"""
    sizes = [(place, len(server.device)) for place, server in _servers(table)]
    for place, size in sizes:
        if size != sizes[0][1]:
            told = f"{size} devices, and the first server has {sizes[0][1]}"
            yield place + ".device", told, "use the same number on each server", _weight(chip)


def _topology(table: RankTable, chip: str) -> Problems:
    """devices that may work together"""
    if chip in (CHIP_A2, CHIP_A3) or table.version == VERSION_OF_A3:
        return
    for place, server in _servers(table):
        words = {device.device_id for device in server.device}
        told = topology_fault(sorted(map(int, words))) if all(map(_NUMBER.fullmatch, words)) else ""
        if told:
            remedy = "choose such devices, or say --chip A2 where this is no 910A"
            yield place + ".device", told, remedy, _weight(chip)


def topology_fault(numbers: List[int]) -> str:
    """What a 910A server of two halves of 4 has against these devices, "" where nothing."""
    if numbers[-1] > 7:
        return f"device {numbers[-1]}: a 910A server has devices 0 to 7"
    if len(numbers) not in (1, 2, 4, 8):
        return f"{len(numbers)} devices: a 910A server works with 1, 2, 4 or 8"
    if len(numbers) < 8 and numbers[0] // 4 != numbers[-1] // 4:
        named = ", ".join(map(str, numbers))
        return f"devices {named}: on a 910A, 2 or 4 lie inside 0-3 or inside 4-7"
    return ""


def _weight(chip: str) -> str:
    return FAIL if chip == CHIP_910A else WARN


_RULES: Sequence[Callable[[RankTable, str], Problems]] = (
    _version,
    _status,
    _server_count,
    _server_id,
    _device_id,
    _device_ip,
    _rank_id,
    _super_pod,
    _server_size,
    _topology,
)


def _is(field: str, value: str) -> str:
    return f"{field} is {quoted(value) if value else 'missing'}"


def _servers(table: RankTable) -> Iterator[Tuple[str, Server]]:
    for index, server in enumerate(table.server_list):
        yield f"server_list[{index}]", server


def _devices(table: RankTable, field: str) -> Iterator[Tuple[str, Device]]:
    """Each device with the place of one of its fields."""
    for place, server in _servers(table):
        for index, device in enumerate(server.device):
            yield f"{place}.device[{index}].{field}", device


# --- judging a file ---


@attrs.frozen
class TableFinding:
    """What one rule says of a file.

    Attributes:
        status: ok, warn or fail.
        rule: the rule's name.
        file: which file; place: where in it, such as server_list[0].device[3].rank_id.
        found: what is there; remedy: what to do, "" where all is well.
    """

    status: str
    rule: str
    file: str
    place: str
    found: str
    remedy: str = ""


def check_text(text: Optional[str], file: str, chip: str) -> List[TableFinding]:
    """Every rule's findings for a file's text, of one of CHIPS; the form's alone where it is none.

    Args:
        text: None where the file is missing or can't be read; file: its name.
    """
    found: List[TableFinding] = []

    def holds(rule: str, meaning: str, problems: Iterable[Problem]) -> bool:
        broken = [
            TableFinding((*problem, FAIL)[3], rule, file, *problem[:3]) for problem in problems
        ]
        found.extend(broken or [TableFinding(OK, rule, file, "", meaning)])
        return not broken

    table, broken = _parsed(text, file)
    holds("form", "a JSON object of HCCL's form, every value a string", broken)
    if table is None:
        return found
    for rule in _RULES:
        holds(rule.__name__[1:], str(rule.__doc__), rule(table, chip))
    return found


def _parsed(text: Optional[str], file: str) -> Tuple[Optional[RankTable], List[Problem]]:
    """A file's table, or why it is none."""
    if not text:
        return None, [("", "the file is missing, unreadable or empty", MAKE_ONE)]
    try:
        content = parse_json(text, file)
        if isinstance(content, dict) and "group_list" in content:
            return None, [("group_list", "this is an older format (group_list)", MAKE_ONE)]
        return structured(content, RankTable, file), []
    except ContentError as error:
        return None, [(place, told, MAKE_ONE) for place, told in error.mistakes]


def first_failure(findings: Sequence[TableFinding]) -> Optional[TableFinding]:
    """The first finding that makes a table unusable, None without one."""
    return next((finding for finding in findings if finding.status == FAIL), None)


def read_table(text: Optional[str], file: str, chip: str = CHIP_UNKNOWN) -> RankTable:
    """The table in a file's text.

    Raises:
        ZooError: a rule is broken; the message is the first such finding.
    """
    failure = first_failure(check_text(text, file, chip))
    if failure is not None:
        place = f", {failure.place}" if failure.place else ""
        raise ZooError(f"rank table {file}{place}: {failure.found}; {failure.remedy}")
    return structured(parse_json(text or "", file), RankTable, file)


def check_addresses(
    table: RankTable, addresses: Mapping[int, str], source: str, file: str
) -> TableFinding:
    """Whether one of the table's servers has the addresses of this machine's hccn.conf.

    Args:
        addresses: by physical device number; source: the file they are from.
        file: the table's.
    """
    if not any(device.device_ip for server in table.server_list for device in server.device):
        told = "it has no addresses, so nothing tells whether it is this machine's"
        remedy = f"zoo ranktable make --hccn {source} writes them"
        return TableFinding(WARN, "hccn", file, "", told, remedy)
    foreign = {
        server.server_id: [
            int(device.device_id)
            for device in server.device
            if device.device_ip and addresses.get(int(device.device_id)) != device.device_ip
        ]
        for server in table.server_list
    }
    name, numbers = min(foreign.items(), key=lambda entry: len(entry[1]))
    if not numbers:
        return TableFinding(OK, "hccn", file, "", f"server {name} has the addresses of {source}")
    there = f"device {numbers[0]} is {addresses.get(numbers[0], 'missing')} there"
    told = f"no server has the addresses of {source}: {there}"
    remedy = f"make the table on its own machines: zoo ranktable make --hccn {source}"
    return TableFinding(FAIL, "hccn", file, f"server {name}, device {numbers[0]}", told, remedy)
