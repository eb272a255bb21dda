"""HCCL's rank tables of format 1.0, and of 1.2 for A3: made, read, held to the rules."""

from __future__ import annotations

import re
from typing import (  # fmt: skip
    Any,
    Dict,
    Iterable,
    Iterator,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
)

import attrs

from common.ascend.hccn import USUAL_PLACE, ServerAddresses, is_address
from common.core.codec import json_text, parse_json
from common.core.errors import FAIL, OK, WARN, ZooError
from common.core.text import quoted

CHIP_910A, CHIP_A2, CHIP_A3, CHIP_UNKNOWN = "910A", "A2", "A3", "unknown"
CHIPS = (CHIP_910A, CHIP_A2, CHIP_A3, CHIP_UNKNOWN)
VERSION, VERSION_OF_A3 = "1.0", "1.2"
LONGEST_SERVER_ID = 64
MAKE_ONE = "make one of format 1.0: zoo ranktable make"
_DEVICE_COUNTS, _HALF = (1, 2, 4, 8), 4
_NUMBER = re.compile(r"0|[1-9][0-9]{0,8}")
_NUMBER_RANKS = "number the ranks 0, 1, 2, … over all servers"
Content = Mapping[str, Any]


# --- a table ---


@attrs.frozen
class Device:
    """One NPU of a server.

    Attributes:
        device_id: its physical number on the server (of a die, on A3).
        device_ip: the RoCE address of its network card, "" where the table has none.
        rank_id: the rank that runs on it, counted over all servers.
        super_device_id: its number within the super pod of an A3, "" elsewhere.
    """

    device_id: int
    device_ip: str
    rank_id: int
    super_device_id: str = ""


@attrs.frozen
class Server:
    """One machine: its name, its devices, and on A3 the super pod it belongs to."""

    server_id: str
    devices: Tuple[Device, ...]
    super_pod: str = ""


@attrs.frozen
class RankTable:
    """Who runs where, for the whole job."""

    servers: Tuple[Server, ...]

    @property
    def world_size(self) -> int:
        """How many ranks the job has."""
        return sum(len(server.devices) for server in self.servers)


def numbered(servers: Sequence[ServerAddresses]) -> RankTable:
    """The table of these servers: ranks follow their order, then the devices' numbers.

    Raises:
        ZooError: two servers have the same name.
    """
    return _renumbered(
        Server(
            server.server_id,
            tuple(
                Device(number, address, 0, server.super_devices.get(number, ""))
                for number, address in sorted(server.addresses.items())
            ),
            server.super_pod,
        )
        for server in servers
    )


def merged(tables: Sequence[RankTable]) -> RankTable:
    """One table of several: servers in the order given, ranks counted anew, in their old order.

    Raises:
        ZooError: two servers have the same name.
    """

    def rank(device: Device) -> int:
        return device.rank_id

    return _renumbered(
        attrs.evolve(server, devices=tuple(sorted(server.devices, key=rank)))
        for table in tables
        for server in sorted(table.servers, key=lambda server: min(map(rank, server.devices)))
    )


def _renumbered(servers: Iterable[Server]) -> RankTable:
    made: Dict[str, Server] = {}
    rank = 0
    for server in servers:
        if server.server_id in made:
            raise ZooError(f"server {server.server_id} comes twice; name each server once")
        devices = [attrs.evolve(one, rank_id=rank + n) for n, one in enumerate(server.devices)]
        made[server.server_id] = attrs.evolve(server, devices=tuple(devices))
        rank += len(devices)
    return RankTable(tuple(made.values()))


def as_json(table: RankTable) -> str:
    """The file's text; HCCL wants every value as a string."""

    def filled(**values: str) -> Dict[str, str]:
        return {name: value for name, value in values.items() if value}

    pods: Dict[str, List[Dict[str, str]]] = {}
    for server in table.servers:
        if server.super_pod:
            pods.setdefault(server.super_pod, []).append({"server_id": server.server_id})
    content: Dict[str, Any] = {
        "version": VERSION_OF_A3 if pods else VERSION,
        "status": "completed",
        "server_count": str(len(table.servers)),
        "server_list": [
            {
                "server_id": server.server_id,
                "device": [
                    filled(
                        device_id=str(device.device_id),
                        device_ip=device.device_ip,
                        super_device_id=device.super_device_id,
                        rank_id=str(device.rank_id),
                    )
                    for device in server.devices
                ],
            }
            for server in table.servers
        ],
    }
    if pods:
        content["super_pod_list"] = [
            {"super_pod_id": pod, "server_list": names} for pod, names in pods.items()
        ]
    return json_text(content)


def of_json(content: Content) -> RankTable:
    """The table that a checked file's content describes."""
    pods = {
        server["server_id"]: str(pod["super_pod_id"])
        for pod in content.get("super_pod_list", ())
        for server in pod["server_list"]
    }
    return RankTable(
        tuple(
            Server(
                str(server["server_id"]),
                tuple(
                    Device(
                        int(device["device_id"]),
                        str(device.get("device_ip", "")),
                        int(device["rank_id"]),
                        str(device.get("super_device_id", "")),
                    )
                    for device in server["device"]
                ),
                pods.get(server["server_id"], ""),
            )
            for server in content["server_list"]
        )
    )


def disagreement(
    table: RankTable, world_size: int, ranks: Sequence[Tuple[int, int]]
) -> Optional[str]:
    """What speaks against running these ranks of a job with this table, None where nothing does.

    A rank's number has to be the rank_id of the device it runs on.

    Args:
        ranks: this machine's: each rank's number with its device's physical number.
    """
    if table.world_size != world_size:
        return f"it has {table.world_size} ranks, and the job {world_size}"
    places = {
        device.rank_id: (server.server_id, device.device_id)
        for server in table.servers
        for device in server.devices
    }
    hosts = sorted({places[rank][0] for rank, _ in ranks})
    if len(hosts) > 1:
        return f"this machine's ranks are on {' and '.join(hosts)} there"
    for rank, device in ranks:
        if places[rank][1] != device:
            there = f"it has rank {rank} on device {places[rank][1]}"
            return f"{there}, and the launch on device {device}"
    return None


# --- its rules: a function each, which yields its breaches ---


class Problem(NamedTuple):
    """A broken rule: where, what is there, what to do; warn where it may still work."""

    place: str
    found: str
    remedy: str
    status: str = FAIL


def _version(content: Content, chip: str) -> Iterator[Problem]:
    found = _word(content.get("version"))
    legal = {CHIP_A3: (VERSION_OF_A3,), CHIP_UNKNOWN: (VERSION, VERSION_OF_A3)}
    if found == VERSION_OF_A3 and chip in (CHIP_910A, CHIP_A2):
        text = f"1.2 is the format of A3, with super_device_id, and not of {chip}"
        yield Problem("version", text, "make the table for this chip, or say --chip A3")
    elif found not in legal.get(chip, (VERSION,)):
        right = legal.get(chip, (VERSION,))[0]
        text = f'{_is(content, "version")}, not "{right}"'
        yield Problem("version", text, f'write "version": "{right}"')


def _status(content: Content, chip: str) -> Iterator[Problem]:
    if content.get("status") == "initializing":
        found = "status is 'initializing', not 'completed': HCCL would wait for ever"
        yield Problem("status", found, "wait until the table is complete, or make one")
    elif content.get("status") != "completed":
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
    first: Dict[str, str] = {}
    for server_place, server in _servers(content):
        place, name = server_place + ".server_id", _word(server.get("server_id")) or ""
        found, remedy = "", "write the host's address or a unique name"
        if not name.strip():
            found = "the server has no name"
        elif not name.isprintable():
            found = f"the name {quoted(name)} has characters that can't be printed"
        elif len(name) > LONGEST_SERVER_ID:
            found = f"the name has {len(name)} characters"
            remedy = f"use at most {LONGEST_SERVER_ID}"
        elif first.setdefault(name, place) != place:
            found = f"{name} is the name at {first[name]} too"
        if found:
            yield Problem(place, found, remedy)


def _device_id(content: Content, chip: str) -> Iterator[Problem]:
    """Several processes may share a device where each has a device_port."""
    first: Dict[Any, str] = {}
    for place, device in _devices(content, "device_id"):
        number = _number(device.get("device_id"))
        server = place.split(".")[0]
        if number is None:
            found = _is(device, "device_id") + ", no device's number"
            yield Problem(place, found, "write the physical number, 0 for the first device")
        elif first.setdefault((server, number, device.get("device_port")), place) != place:
            before = first[server, number, device.get("device_port")]
            found = f"device {number} is at {before} too, and takes one process"
            remedy = "list each device of a server once, or give each a device_port"
            yield Problem(place, found, remedy)


def _device_ip(content: Content, chip: str) -> Iterator[Problem]:
    """One server may do without addresses."""
    matters = FAIL if len(content["server_list"]) > 1 else WARN
    remedy = f"write address_<device_id> of that server's {USUAL_PLACE}"
    first: Dict[Tuple[str, Any], str] = {}
    for place, device in _devices(content, "device_ip"):
        address = _word(device.get("device_ip")) or ""
        if not address:
            yield Problem(place, "the device has no address", remedy, matters)
        elif not is_address(address):
            found = f"{quoted(address)} is no IP address of a network card"
            yield Problem(place, found, remedy, matters)
        else:
            before = first.setdefault((address, device.get("device_port")), place)
            if before != place:
                yield Problem(place, f"{address} is the address at {before} too", remedy, matters)


def _rank_id(content: Content, chip: str) -> Iterator[Problem]:
    """From 0 without gaps, and no server's ranks between those of another."""
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
    for place, server in _servers(content) if len(first) == len(devices) else ():
        ranks = sorted(int(device["rank_id"]) for device in server["device"])
        if beyond is None and ranks[-1] - ranks[0] >= len(ranks):
            found = f"ranks {', '.join(map(str, ranks))}: another server's lie between them"
            yield Problem(place + ".device", found, "number one server's ranks after another's")


def _super_pods(content: Content, chip: str) -> Iterator[Problem]:
    """In format 1.2 each device has a number in its super pod, each server a pod."""
    if _word(content.get("version")) != VERSION_OF_A3:
        return
    remedy = "make it on the A3: zoo ranktable make --chip A3"
    for place, device in _devices(content, "super_device_id"):
        if _number(device.get("super_device_id")) is None:
            yield Problem(place, _is(device, "super_device_id") + ", no number", remedy)
    named: List[Any] = []
    for pod in _objects(content.get("super_pod_list")):
        named += [one.get("server_id") for one in _objects(pod.get("server_list"))]
        if not _word(pod.get("super_pod_id")):
            yield Problem("super_pod_list", "a super pod has no super_pod_id", remedy)
    if sorted(map(str, named)) != sorted(str(one.get("server_id")) for _, one in _servers(content)):
        yield Problem("super_pod_list", "it doesn't name each server once", remedy)


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
    if chip in (CHIP_A2, CHIP_A3) or _word(content.get("version")) == VERSION_OF_A3:
        return
    for place, server in _servers(content):
        numbers = [_number(device.get("device_id")) for device in server["device"]]
        known = sorted({number for number in numbers if number is not None})
        wrong = topology_fault(known) if len(known) == len(numbers) else ""
        if wrong:
            remedy = "choose such devices, or say --chip A2 where this is no 910A"
            yield Problem(place + ".device", wrong, remedy, _weight(chip))


def topology_fault(numbers: List[int]) -> str:
    """What a 910A server has against these devices, "" where nothing."""
    size = 2 * _HALF
    if numbers[-1] >= size:
        return f"device {numbers[-1]}: a 910A server has devices 0 to {size - 1}"
    if len(numbers) not in _DEVICE_COUNTS:
        return f"{len(numbers)} devices: a 910A server works with 1, 2, 4 or 8"
    if len(numbers) < size and len({number // _HALF for number in numbers}) > 1:
        named = ", ".join(map(str, numbers))
        return f"devices {named}: on a 910A, 2 or 4 lie inside 0-3 or inside 4-7"
    return ""


def _weight(chip: str) -> str:
    return FAIL if chip == CHIP_910A else WARN


# Each rule's name, what it means where it holds, and its function.
_FILE_RULES = (
    ("version", "1.0, on A3 1.2", _version),
    ("status", "completed", _status),
    ("server_list", "servers with devices", _server_list),
)
_DEVICE_RULES = (
    ("strings", "every value is a string", _strings),
    ("server_count", "as many as server_list has", _server_count),
    ("server_id", "a unique name each, at most 64 characters", _server_id),
    ("device_id", "physical numbers, one process per device or port", _device_id),
    ("device_ip", "an address of its own for each device", _device_ip),
    ("rank_id", "from 0 without gaps, one server's after another's", _rank_id),
    ("super_pod", "on A3, each device's and each server's", _super_pods),
    ("server_size", "the same number of devices on each server", _server_size),
    ("topology", "devices that may work together", _topology),
)


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
    """Every rule's findings for a file's text; later rules are left out where earlier ones forbid.

    Args:
        text: the file's text, None where it is missing or can't be read.
        file: its name.
        chip: one of CHIPS; the 910A limits which devices of a server may work together.
    """
    found: List[TableFinding] = []

    def holds(rule: str, meaning: str, problems: Iterable[Problem]) -> bool:
        broken = [
            TableFinding(status, rule, file, place, problem, remedy)
            for place, problem, remedy, status in problems
        ]
        found.extend(broken or [TableFinding(OK, rule, file, "", meaning)])
        return not broken

    content, problem = _parsed(text)
    if not holds("json", "a JSON object, no key twice", [problem] if problem else []):
        return found
    if not holds("format", "it has a server_list", _format_problems(content)):
        return found
    sound = [holds(name, meaning, rule(content, chip)) for name, meaning, rule in _FILE_RULES]
    for name, meaning, rule in _DEVICE_RULES if sound[-1] else ():
        holds(name, meaning, rule(content, chip))
    return found


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
    return of_json(parse_json(text or "", file))


def check_addresses(
    table: RankTable, addresses: Mapping[int, str], source: str, file: str
) -> TableFinding:
    """Whether one of the table's servers has the addresses of this machine's hccn.conf.

    Args:
        addresses: by physical device number; source: the file they are from.
        file: the table's.
    """
    if not any(device.device_ip for server in table.servers for device in server.devices):
        found = "it has no addresses, so nothing tells whether it is this machine's"
        remedy = f"zoo ranktable make --hccn {source} writes them"
        return TableFinding(WARN, "hccn", file, "", found, remedy)
    foreign = {
        server.server_id: [
            device.device_id
            for device in server.devices
            if device.device_ip and addresses.get(device.device_id) != device.device_ip
        ]
        for server in table.servers
    }
    name, numbers = min(foreign.items(), key=lambda entry: len(entry[1]))
    if not numbers:
        return TableFinding(OK, "hccn", file, "", f"server {name} has the addresses of {source}")
    there = f"device {numbers[0]} is {addresses.get(numbers[0], 'missing')} there"
    found = f"no server has the addresses of {source}: {there}"
    remedy = f"make the table on its own machines: zoo ranktable make --hccn {source}"
    return TableFinding(FAIL, "hccn", file, f"server {name}, device {numbers[0]}", found, remedy)


def _parsed(text: Optional[str]) -> Tuple[Content, Optional[Problem]]:
    if not text:
        return {}, Problem("", "the file is missing, unreadable or empty", MAKE_ONE)
    try:
        content = parse_json(text, "the file")
    except ZooError as error:
        line = getattr(error.__cause__, "lineno", None)
        return {}, Problem("" if line is None else f"line {line}", str(error), MAKE_ONE)
    if not isinstance(content, dict):
        return {}, Problem("", "the file is no JSON object, so no rank table", MAKE_ONE)
    return content, None


def _format_problems(content: Content) -> Iterator[Problem]:
    if "group_list" in content:
        yield Problem("group_list", "this is an older format (group_list), not 1.0", MAKE_ONE)
    elif "server_list" not in content:
        yield Problem("", "there is no server_list: this is not format 1.0", MAKE_ONE)


def _is_list_of_objects(value: Any) -> bool:
    return isinstance(value, list) and value != [] and all(isinstance(one, dict) for one in value)


def _objects(value: Any) -> List[Content]:
    return list(value) if _is_list_of_objects(value) else []


def _servers(content: Content) -> Iterator[Tuple[str, Content]]:
    for index, server in enumerate(content["server_list"]):
        yield f"server_list[{index}]", server


def _devices(content: Content, field: str) -> Iterator[Tuple[str, Content]]:
    """Each device with the place of one of its fields."""
    for place, server in _servers(content):
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
