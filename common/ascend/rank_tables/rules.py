"""What has to hold in a rank table of format 1.0: a function a rule, which yields its breaches."""

from __future__ import annotations

import re
from typing import Any, Callable, Dict, Iterator, List, Mapping, NamedTuple, Optional, Tuple

from common.ascend.rank_tables.reading_hccn import USUAL_PLACE, is_address
from common.ascend.rank_tables.table import COMPLETED, VERSION
from common.core.findings import FAIL, WARN
from common.core.text import quoted

CHIP_910A, CHIP_A2, CHIP_UNKNOWN = "910A", "A2", "unknown"
CHIPS = (CHIP_910A, CHIP_A2, CHIP_UNKNOWN)
LONGEST_SERVER_ID = 63
DEVICE_COUNTS = (1, 2, 4, 8)
DEVICES_OF_A_HALF = 4
_NUMBER = re.compile(r"0|[1-9][0-9]{0,5}")
_NUMBER_RANKS = "number the ranks 0, 1, 2, … over all servers"
Content = Mapping[str, Any]


class Problem(NamedTuple):
    """A broken rule: where, what is there, what to do; warn where it may still work."""

    place: str
    found: str
    remedy: str
    status: str = FAIL


class Rule(NamedTuple):
    """A rule's name, what it means where it holds, and the function that finds its breaches."""

    name: str
    meaning: str
    problems: Callable[[Content, str], Iterator[Problem]]


# --- of the whole file ---


def _version(content: Content, chip: str) -> Iterator[Problem]:
    found = _word(content.get("version"))
    if found == "1.2":
        remedy = "this ModelZoo reads 1.0, of Atlas training servers and A2"
        yield Problem("version", "1.2 is the format of A3, with super_device_id", remedy)
    elif found != VERSION:
        found = _is(content, "version") + ', not "1.0"'
        yield Problem("version", found, 'write "version": "1.0"')


def _status(content: Content, chip: str) -> Iterator[Problem]:
    if content.get("status") == "initializing":
        found = "status is 'initializing', not 'completed': HCCL would wait for ever"
        yield Problem("status", found, "wait until the table is complete, or make one")
    elif content.get("status") != COMPLETED:
        found = _is(content, "status") + ", not 'completed'"
        yield Problem("status", found, 'write "status": "completed"')


def _server_list(content: Content, chip: str) -> Iterator[Problem]:
    if not _is_list_of_objects(content.get("server_list")):
        found = "server_list is not a list of servers, or an empty one"
        yield Problem("server_list", found, "list every server of the job")
        return
    for place, server in _servers(content):
        if not _is_list_of_objects(server.get("device")):
            found = "the server's device is not a list of devices, or an empty one"
            remedy = "list every device that takes part, or leave the server out"
            yield Problem(place + ".device", found, remedy)


# --- of servers and devices ---


def _strings(content: Content, chip: str) -> Iterator[Problem]:
    wrong = [(place, value) for place, value in leaves(content) if not isinstance(value, str)]
    if wrong:
        more = f" (and {len(wrong) - 1} more values)" if len(wrong) > 1 else ""
        found = f"{quoted(wrong[0][1])} is no string{more}"
        yield Problem(wrong[0][0], found, "put quotes around every value")


def _server_count(content: Content, chip: str) -> Iterator[Problem]:
    count = str(len(content["server_list"]))
    if _word(content.get("server_count")) != count:
        found = f"{_is(content, 'server_count')}, and server_list has {count}"
        yield Problem("server_count", found, f'write "server_count": "{count}"')


def _server_id(content: Content, chip: str) -> Iterator[Problem]:
    unique = "write the host's address or a unique name"
    first: Dict[str, str] = {}
    for server_place, server in _servers(content):
        place, name = server_place + ".server_id", _word(server.get("server_id")) or ""
        if not name.strip():
            yield Problem(place, "the server has no name", unique)
        elif not name.isprintable():
            found = f"the name {quoted(name)} has characters that can't be printed"
            yield Problem(place, found, unique)
        elif len(name) > LONGEST_SERVER_ID:
            found = f"the name has {len(name)} characters"
            yield Problem(place, found, f"use at most {LONGEST_SERVER_ID}")
        elif first.setdefault(name, place) != place:
            found = f"{name} is the name at {first[name]} too"
            yield Problem(place, found, "give each server a name of its own")


def _device_id(content: Content, chip: str) -> Iterator[Problem]:
    for server_place, server in _servers(content):
        first: Dict[int, str] = {}
        for place, device in _devices_of(server_place, server, "device_id"):
            number = _number(device.get("device_id"))
            if number is None:
                found = _is(device, "device_id") + ", no device's number"
                remedy = "write the physical number, 0 for the first device"
                yield Problem(place, found, remedy)
            elif first.setdefault(number, place) != place:
                found = f"device {number} is at {first[number]} too, and takes one process"
                yield Problem(place, found, "list each device of a server once")


def _device_ip(content: Content, chip: str) -> Iterator[Problem]:
    """One server may do without addresses."""
    matters = FAIL if len(content["server_list"]) > 1 else WARN
    remedy = f"write address_<device_id> of that server's {USUAL_PLACE}"
    first: Dict[str, str] = {}
    for place, device in _devices(content, "device_ip"):
        address = _word(device.get("device_ip")) or ""
        if not address:
            yield Problem(place, "the device has no address", remedy, matters)
        elif not is_address(address):
            found = f"{quoted(address)} is no IP address of a network card"
            yield Problem(place, found, remedy, matters)
        elif first.setdefault(address, place) != place:
            found = f"{address} is the address at {first[address]} too"
            yield Problem(place, found, remedy, matters)


def _rank_id(content: Content, chip: str) -> Iterator[Problem]:
    devices = list(_devices(content, "rank_id"))
    first: Dict[int, str] = {}
    for place, device in devices:
        number = _number(device.get("rank_id"))
        if number is None:
            yield Problem(place, _is(device, "rank_id") + ", no rank's number", _NUMBER_RANKS)
        elif first.setdefault(number, place) != place:
            yield Problem(place, f"rank {number} is at {first[number]} too", _NUMBER_RANKS)
    beyond = min((number for number in first if number >= len(devices)), default=None)
    if beyond is not None:
        found = f"rank {beyond} among {len(devices)} devices: ranks are not numbered from 0"
        yield Problem(first[beyond], found + " without gaps", _NUMBER_RANKS)


def _server_size(content: Content, chip: str) -> Iterator[Problem]:
    """Clusters use the same number of devices on each server."""
    sizes = [(place, len(server["device"])) for place, server in _servers(content)]
    for place, size in sizes:
        if size != sizes[0][1]:
            found = f"{size} devices, and the first server has {sizes[0][1]}"
            remedy = "use the same number on each server"
            yield Problem(place + ".device", found, remedy, _weight(chip))


def _topology(content: Content, chip: str) -> Iterator[Problem]:
    """A 910A server works with 1, 2, 4 or 8 devices; 2 or 4 inside 0-3 or inside 4-7."""
    for place, server in _servers(content) if chip != CHIP_A2 else ():
        numbers = [_number(device.get("device_id")) for device in server["device"]]
        known = sorted({number for number in numbers if number is not None})
        wrong = topology_fault(known) if len(known) == len(numbers) else ""
        if wrong:
            remedy = "choose such devices, or say --chip A2 where this is no 910A"
            yield Problem(place + ".device", wrong, remedy, _weight(chip))


def topology_fault(numbers: List[int]) -> str:
    """What a 910A server has against these devices, "" where nothing."""
    size = 2 * DEVICES_OF_A_HALF
    if numbers[-1] >= size:
        return f"device {numbers[-1]}: a 910A server has devices 0 to {size - 1}"
    if len(numbers) not in DEVICE_COUNTS:
        return f"{len(numbers)} devices: a 910A server works with 1, 2, 4 or 8"
    halves = {number // DEVICES_OF_A_HALF for number in numbers}
    if len(numbers) < size and len(halves) > 1:
        named = ", ".join(map(str, numbers))
        return f"devices {named}: on a 910A, 2 or 4 lie inside 0-3 or inside 4-7"
    return ""


def _weight(chip: str) -> str:
    return FAIL if chip == CHIP_910A else WARN


FILE_RULES = (
    Rule("version", "1.0", _version),
    Rule("status", "completed", _status),
    Rule("server_list", "servers with devices", _server_list),
)
DEVICE_RULES = (
    Rule("strings", "every value is a string", _strings),
    Rule("server_count", "as many as server_list has", _server_count),
    Rule("server_id", "a unique name each, below 64 characters", _server_id),
    Rule("device_id", "physical numbers, one process per device", _device_id),
    Rule("device_ip", "an address of its own for each device", _device_ip),
    Rule("rank_id", "from 0 without gaps, over all servers", _rank_id),
    Rule("server_size", "the same number of devices on each server", _server_size),
    Rule("topology", "devices that may work together", _topology),
)


def device_rules(chip: str) -> Tuple[Rule, ...]:
    """The rules of servers and devices; the A2 has no topology that limits a job."""
    return DEVICE_RULES[:-1] if chip == CHIP_A2 else DEVICE_RULES


# --- walking through a file's content ---


def _is_list_of_objects(value: Any) -> bool:
    return isinstance(value, list) and value != [] and all(isinstance(one, dict) for one in value)


def _servers(content: Content) -> Iterator[Tuple[str, Content]]:
    for index, server in enumerate(content["server_list"]):
        yield f"server_list[{index}]", server


def _devices(content: Content, field: str) -> Iterator[Tuple[str, Content]]:
    for place, server in _servers(content):
        yield from _devices_of(place, server, field)


def _devices_of(place: str, server: Content, field: str) -> Iterator[Tuple[str, Content]]:
    """Each device with the place of one of its fields."""
    for index, device in enumerate(server["device"]):
        yield f"{place}.device[{index}].{field}", device


def leaves(value: Any, place: str = "") -> Iterator[Tuple[str, Any]]:
    """Every value that is neither list nor mapping, with its place."""
    if isinstance(value, dict):
        for key, below in value.items():
            yield from leaves(below, f"{place}.{key}" if place else key)
    elif isinstance(value, list):
        for index, below in enumerate(value):
            yield from leaves(below, f"{place}[{index}]")
    else:
        yield place, value


def _word(value: Any) -> Optional[str]:
    """A value as text; a whole number counts, since that it is no string is a rule of its own."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) else None


def _number(value: Any) -> Optional[int]:
    word = _word(value)
    return int(word) if word is not None and _NUMBER.fullmatch(word) else None


def _is(entry: Content, field: str) -> str:
    """What a field has, in words."""
    return f"{field} is {quoted(entry[field])}" if field in entry else f"{field} is missing"
