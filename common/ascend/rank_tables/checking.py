"""The rules of a rank table of format 1.0, each a finding with the place and the remedy."""

from __future__ import annotations

from typing import Any, Iterator, List, Mapping, Optional, Sequence, Tuple

import attrs

from common.ascend.rank_tables.rules import FILE_RULES, Problem, device_rules
from common.ascend.rank_tables.table import RankTable, of_json
from common.core.codec import parse_json
from common.core.errors import ZooError
from common.core.findings import FAIL, OK, WARN

MAKE_ONE = "make one of format 1.0: zoo ranktable make"
_TEMPLATE_2 = '"template 2" (group_list with board_id, chip_info, deploy_mode)'
# The keys that give the two formats before 1.0 away, so that they can be named.
_OLD_FORMATS = {
    "pod_name": "the Kubernetes variant (group_list with pod_name)",
    "board_id": _TEMPLATE_2,
    "chip_info": _TEMPLATE_2,
    "deploy_mode": _TEMPLATE_2,
    "group_list": "a table of groups (group_list)",
}


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

    def holds(rule: str, meaning: str, problems: Sequence[Problem]) -> bool:
        for place, problem, remedy, status in problems:
            found.append(TableFinding(status, rule, file, place, problem, remedy))
        if not problems:
            found.append(TableFinding(OK, rule, file, "", meaning))
        return not problems

    content, problem = _parsed(text)
    if not holds("json", "a JSON object, no key twice", [problem] if problem else []):
        return found
    if not holds("format", "it has a server_list", list(_format_problems(content))):
        return found
    sound = [
        holds(rule.name, rule.meaning, list(rule.problems(content, chip))) for rule in FILE_RULES
    ]
    for rule in device_rules(chip) if sound[-1] else ():  # without a list of servers there are none
        holds(rule.name, rule.meaning, list(rule.problems(content, chip)))
    return found


def first_failure(findings: Sequence[TableFinding]) -> Optional[TableFinding]:
    """The first finding that makes a table unusable, None without one."""
    return next((finding for finding in findings if finding.status == FAIL), None)


def read_table(text: Optional[str], file: str, chip: str) -> RankTable:
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

    def finding(status: str, place: str, found: str, remedy: str = "") -> TableFinding:
        return TableFinding(status, "hccn", file, place, found, remedy)

    if not any(device.device_ip for server in table.servers for device in server.devices):
        found = "it has no addresses, so nothing tells whether it is this machine's"
        return finding(WARN, "", found, f"zoo ranktable make --hccn {source} writes them")
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
        return finding(OK, "", f"server {name} has the addresses of {source}")
    there = f"device {numbers[0]} is {addresses.get(numbers[0], 'missing')} there"
    return finding(
        FAIL,
        f"server {name}, device {numbers[0]}",
        f"no server has the addresses of {source}: {there}",
        f"make the table on its own machines: zoo ranktable make --hccn {source}",
    )


# --- before any rule ---


def _parsed(text: Optional[str]) -> Tuple[Mapping[str, Any], Optional[Problem]]:
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


def _format_problems(content: Mapping[str, Any]) -> Iterator[Problem]:
    if "server_list" in content:
        return
    places = dict(reversed(list(_keys(content, ""))))  # the first place of each key
    for key, name in _OLD_FORMATS.items():
        if key in places:
            yield Problem(places[key], f"this is {name}, an older format, not 1.0", MAKE_ONE)
            return
    yield Problem("", "there is no server_list: this is not format 1.0", MAKE_ONE)


def _keys(value: Any, place: str) -> Iterator[Tuple[str, str]]:
    """Every key, however deep, with its place."""
    if isinstance(value, dict):
        for key, below in value.items():
            path = f"{place}.{key}" if place else key
            yield key, path
            yield from _keys(below, path)
    elif isinstance(value, list):
        for index, below in enumerate(value):
            yield from _keys(below, f"{place}[{index}]")
