"""What has to hold in a rank table of format 1.0: one pure function a rule."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Tuple

from common.ascend.rank_tables.reading_hccn import USUAL_PLACE, is_address
from common.ascend.rank_tables.table import COMPLETED, VERSION
from common.core.findings import FAIL, WARN

CHIP_910A, CHIP_A2, CHIP_UNKNOWN = "910A", "A2", "unknown"
CHIPS = (CHIP_910A, CHIP_A2, CHIP_UNKNOWN)
LONGEST_SERVER_ID = 63
DEVICE_COUNTS = (1, 2, 4, 8)
DEVICES_OF_A_HALF = 4
_NUMBER = re.compile(r"0|[1-9][0-9]{0,5}")
Content = Mapping[str, Any]


@dataclass(frozen=True)
class Problem:
    """A broken rule: where, what is there, what to do; warn where it may still work."""

    place: str
    found: str
    remedy: str
    status: str = FAIL


@dataclass(frozen=True)
class Rule:
    """A rule's name, what it means where it holds, and the function that finds its breaches."""

    name: str
    meaning: str
    problems: Callable[[Content, str], List[Problem]]


# --- of the whole file ---


def version(content: Content, chip: str) -> List[Problem]:
    """ "1.0" for Atlas training servers and A2; A3's 1.2 is another format."""
    found = _word(content.get("version"))
    if found == VERSION:
        return []
    if found == "1.2":
        return [
            Problem(
                "version",
                "1.2 is the format of A3, with super_device_id",
                "this ModelZoo reads 1.0, of Atlas training servers and A2",
            )
        ]
    return [Problem("version", _is(content, "version") + ', not "1.0"', 'write "version": "1.0"')]


def status(content: Content, chip: str) -> List[Problem]:
    """ "completed": with "initializing" the loader keeps waiting."""
    found = content.get("status")
    if found == COMPLETED:
        return []
    if found == "initializing":
        return [
            Problem(
                "status",
                "status is 'initializing', not 'completed': HCCL would wait for ever",
                "wait until the table is complete, or make one",
            )
        ]
    return [
        Problem(
            "status", _is(content, "status") + ", not 'completed'", 'write "status": "completed"'
        )
    ]


def server_list(content: Content, chip: str) -> List[Problem]:
    """A list of servers, each with a list of devices, none of them empty."""
    servers = content.get("server_list")
    if not _is_list_of_objects(servers):
        return [
            Problem(
                "server_list",
                "server_list is not a list of servers, or an empty one",
                "list every server of the job",
            )
        ]
    return [
        Problem(
            place + ".device",
            "the server's device is not a list of devices, or an empty one",
            "list every device that takes part, or leave the server out",
        )
        for place, server in _servers(content)
        if not _is_list_of_objects(server.get("device"))
    ]


# --- of servers and devices ---


def strings(content: Content, chip: str) -> List[Problem]:
    """Every value is a string."""
    wrong = [(place, value) for place, value in _leaves(content, "") if not isinstance(value, str)]
    if not wrong:
        return []
    place, value = wrong[0]
    more = f" (and {len(wrong) - 1} more values)" if len(wrong) > 1 else ""
    return [Problem(place, f"{value!r} is no string{more}", "put quotes around every value")]


def server_count(content: Content, chip: str) -> List[Problem]:
    """The number of entries of server_list."""
    count = str(len(content["server_list"]))
    if _word(content.get("server_count")) == count:
        return []
    return [
        Problem(
            "server_count",
            "{}, and server_list has {}".format(_is(content, "server_count"), count),
            f'write "server_count": "{count}"',
        )
    ]


def server_id(content: Content, chip: str) -> List[Problem]:
    """The host's address or any unique name, below 64 characters."""
    problems: List[Problem] = []
    first: Dict[str, str] = {}
    for server_place, server in _servers(content):
        place, name = server_place + ".server_id", _word(server.get("server_id")) or ""
        if not name.strip():
            problems.append(
                Problem(
                    place, "the server has no name", "write the host's address or a unique name"
                )
            )
        elif not name.isprintable():
            problems.append(
                Problem(
                    place,
                    f"the name {name[:LONGEST_SERVER_ID]!r} has characters that can't be printed",
                    "write the host's address or a unique name",
                )
            )
        elif len(name) > LONGEST_SERVER_ID:
            problems.append(
                Problem(
                    place,
                    f"the name has {len(name)} characters",
                    f"use at most {LONGEST_SERVER_ID}",
                )
            )
        elif first.setdefault(name, place) != place:
            problems.append(
                Problem(
                    place,
                    f"{name} is the name at {first[name]} too",
                    "give each server a name of its own",
                )
            )
    return problems


def device_id(content: Content, chip: str) -> List[Problem]:
    """The physical number, once on its server: one process per device."""
    problems: List[Problem] = []
    for server_place, server in _servers(content):
        first: Dict[int, str] = {}
        for place, device in _devices_of(server_place, server, "device_id"):
            number = _number(device.get("device_id"))
            if number is None:
                problems.append(
                    Problem(
                        place,
                        _is(device, "device_id") + ", no device's number",
                        "write the physical number, 0 for the first device",
                    )
                )
            elif first.setdefault(number, place) != place:
                problems.append(
                    Problem(
                        place,
                        f"device {number} is at {first[number]} too, and takes one process",
                        "list each device of a server once",
                    )
                )
    return problems


def device_ip(content: Content, chip: str) -> List[Problem]:
    """The RoCE address of the device's network card; one server may do without."""
    matters = FAIL if len(content["server_list"]) > 1 else WARN
    remedy = f"write address_<device_id> of that server's {USUAL_PLACE}"
    problems: List[Problem] = []
    first: Dict[str, str] = {}
    for place, device in _devices(content, "device_ip"):
        address = _word(device.get("device_ip")) or ""
        if not address:
            problems.append(Problem(place, "the device has no address", remedy, matters))
        elif not is_address(address):
            problems.append(
                Problem(place, f"{address!r} is no IP address of a network card", remedy, matters)
            )
        elif first.setdefault(address, place) != place:
            problems.append(
                Problem(place, f"{address} is the address at {first[address]} too", remedy, matters)
            )
    return problems


def rank_id(content: Content, chip: str) -> List[Problem]:
    """0 to N-1 over all servers, each once."""
    problems: List[Problem] = []
    first: Dict[int, str] = {}
    count = 0
    for place, device in _devices(content, "rank_id"):
        count += 1
        number = _number(device.get("rank_id"))
        if number is None:
            problems.append(
                Problem(place, _is(device, "rank_id") + ", no rank's number", _NUMBER_RANKS)
            )
        elif first.setdefault(number, place) != place:
            problems.append(
                Problem(place, f"rank {number} is at {first[number]} too", _NUMBER_RANKS)
            )
    beyond = sorted(number for number in first if number >= count)
    if beyond:
        problems.append(
            Problem(
                first[beyond[0]],
                f"rank {beyond[0]} among {count} devices: ranks are not "
                "numbered from 0 without gaps",
                _NUMBER_RANKS,
            )
        )
    return problems


_NUMBER_RANKS = "number the ranks 0, 1, 2, … over all servers"


def server_size(content: Content, chip: str) -> List[Problem]:
    """Clusters use the same number of devices on each server."""
    sizes = [(place, len(server["device"])) for place, server in _servers(content)]
    expected = sizes[0][1]
    return [
        Problem(
            place + ".device",
            f"{size} devices, and the first server has {expected}",
            "use the same number on each server",
            _weight(chip),
        )
        for place, size in sizes
        if size != expected
    ]


def topology(content: Content, chip: str) -> List[Problem]:
    """A 910A server works with 1, 2, 4 or 8 devices; 2 or 4 inside 0-3 or inside 4-7."""
    problems: List[Problem] = []
    for place, server in _servers(content):
        numbers = [_number(device.get("device_id")) for device in server["device"]]
        known = sorted({number for number in numbers if number is not None})
        wrong = topology_fault(known) if len(known) == len(numbers) else ""
        if wrong:
            problems.append(
                Problem(
                    place + ".device",
                    wrong,
                    "choose such devices, or say --chip A2 where this is no 910A",
                    _weight(chip),
                )
            )
    return problems


def topology_fault(numbers: List[int]) -> str:
    """What a 910A server has against these devices, "" where nothing."""
    size = 2 * DEVICES_OF_A_HALF
    if numbers[-1] >= size:
        return f"device {numbers[-1]}: a 910A server has devices 0 to {size - 1}"
    if len(numbers) not in DEVICE_COUNTS:
        return f"{len(numbers)} devices: a 910A server works with 1, 2, 4 or 8"
    halves = {number // DEVICES_OF_A_HALF for number in numbers}
    if len(numbers) < size and len(halves) > 1:
        return "devices {}: on a 910A, 2 or 4 lie inside 0-3 or inside 4-7".format(
            ", ".join(map(str, numbers))
        )
    return ""


def _weight(chip: str) -> str:
    return FAIL if chip == CHIP_910A else WARN


FILE_RULES: Tuple[Rule, ...] = (
    Rule("version", "1.0", version),
    Rule("status", "completed", status),
    Rule("server_list", "servers with devices", server_list),
)
DEVICE_RULES: Tuple[Rule, ...] = (
    Rule("strings", "every value is a string", strings),
    Rule("server_count", "as many as server_list has", server_count),
    Rule("server_id", "a unique name each, below 64 characters", server_id),
    Rule("device_id", "physical numbers, one process per device", device_id),
    Rule("device_ip", "an address of its own for each device", device_ip),
    Rule("rank_id", "from 0 without gaps, over all servers", rank_id),
    Rule("server_size", "the same number of devices on each server", server_size),
    Rule("topology", "devices that may work together", topology),
)


def device_rules(chip: str) -> Tuple[Rule, ...]:
    """The rules of servers and devices; the A2 has no topology that limits a job."""
    return tuple(
        rule for rule in DEVICE_RULES if not (chip == CHIP_A2 and rule.problems is topology)
    )


# --- walking through a file's content ---


def _is_list_of_objects(value: Any) -> bool:
    return (
        isinstance(value, list) and bool(value) and all(isinstance(entry, dict) for entry in value)
    )


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


def _leaves(value: Any, place: str) -> Iterator[Tuple[str, Any]]:
    if isinstance(value, dict):
        for key, below in value.items():
            yield from _leaves(below, f"{place}.{key}" if place else key)
    elif isinstance(value, list):
        for index, below in enumerate(value):
            yield from _leaves(below, f"{place}[{index}]")
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
    return f"{field} is {entry[field]!r}" if field in entry else (f"{field} is missing")
