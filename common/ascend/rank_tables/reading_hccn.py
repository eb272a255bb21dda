"""Addresses of a server's devices: from hccn.conf, or from what hccn_tool prints."""

from __future__ import annotations

import ipaddress
import re
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

from common.core.errors import ZooError

USUAL_PLACE = "/etc/hccn.conf"
TOOL_LOOP = 'for i in 0 1 2 3 4 5 6 7; do echo "device $i"; hccn_tool -i $i -ip -g; done'
_CONF_LINE = re.compile(r"^\s*address_")
_CONF_ENTRY = re.compile(r"^\s*address_(\d{1,4})\s*=\s*(\S*)\s*$")
_TOOL_LINE = re.compile(r"^\s*ipaddr\s*:\s*(\S+)\s*$", re.IGNORECASE)
# "device 3", "=== Device 3 ===", or the command itself as `bash -x` echoes it.
_HEADING = re.compile(r"(?:\bdevice\s*:?\s*|\bhccn_tool\b.*?\s-i\s+)(\d{1,4})\b", re.IGNORECASE)
Entry = Tuple[str, Optional[int], str]  # where it is said, device, address


def is_address(text: str) -> bool:
    """Whether a text is an IPv4 or IPv6 address that a network card can have."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return not (address.is_loopback or address.is_unspecified or address.is_multicast)


def read_addresses(
    text: str, where: str, devices: Optional[Sequence[int]] = None
) -> Dict[int, str]:
    """The addresses by physical device number, of the devices asked for or of all.

    Args:
        text: an hccn.conf, or the output of `hccn_tool -i N -ip -g` for several devices.
        where: the file's name, for errors.
        devices: physical numbers. Output of hccn_tool without headings belongs to these, in order.

    Raises:
        ZooError: nothing of the kind is in the text, a line is wrong, or a device is missing.
    """
    text = text.lstrip("\ufeff")  # the mark of an editor's UTF-8
    if any(_CONF_LINE.match(line) for line in text.splitlines()):
        return selected(addresses_of_conf(text, where), devices, where)
    return selected(_by_device(_tool_entries(text, where, devices)), devices, where)


def addresses_of_conf(text: str, where: str) -> Dict[int, str]:
    """The `address_<i>=` lines of an hccn.conf.

    Raises:
        ZooError: such a line has something else than an address, or a device has two.
    """
    entries: List[Entry] = []
    for number, line in enumerate(text.splitlines(), 1):
        match, place = _CONF_ENTRY.match(line), f"{where} line {number}"
        if match is None and _CONF_LINE.match(line):
            shown = repr(line.strip()[:80])
            raise ZooError(f"{place}: {shown} is not address_<i>=<IP address>; mend the file")
        if match and match.group(2):  # else a device that was given none yet
            entries.append((place, int(match.group(1)), match.group(2)))
    return _by_device(entries)


def _tool_entries(text: str, where: str, devices: Optional[Sequence[int]]) -> List[Entry]:
    """The `ipaddr:` lines that hccn_tool prints, each below a line that names its device.

    hccn_tool itself doesn't say which device it speaks of: without headings the devices must be
    given, and as many as there are addresses, so that a call that failed shifts no address.
    """
    found: List[Entry] = []
    device: Optional[int] = None
    for number, line in enumerate(text.splitlines(), 1):
        address, heading = _TOOL_LINE.match(line), _HEADING.search(line)
        if address:
            found.append((f"{where} line {number}", device, address.group(1)))
            device = None  # a heading speaks of one address only
        elif heading:
            device = int(heading.group(1))
    if not found:
        raise ZooError(
            f"{where} holds neither address_<i>= lines nor hccn_tool's ipaddr: lines; "
            f"give a copy of {USUAL_PLACE}"
        )
    if all(device is not None for _, device, _ in found):
        return found
    if devices is None or len(devices) != len(found):
        raise ZooError(
            f"{where} doesn't say which devices its {len(found)} ipaddr: lines belong to; "
            f"give as many --devices, or make it with: {TOOL_LOOP}"
        )
    return [(where, number, address) for number, (_, _, address) in zip(devices, found)]


def _by_device(entries: Sequence[Entry]) -> Dict[int, str]:
    found: Dict[int, str] = {}
    for where, device, address in entries:
        if not is_address(address):
            raise ZooError(
                f"{where}: {address!r} is no IP address of a network card; mend the file"
            )
        if device is not None and found.setdefault(device, address) != address:
            both = f"{found[device]} and {address}"
            raise ZooError(f"{where}: device {device} has two addresses, {both}; keep one")
    return found


def selected(
    addresses: Mapping[int, str], devices: Optional[Sequence[int]], where: str
) -> Dict[int, str]:
    """The addresses of the devices asked for, of all where none were.

    Raises:
        ZooError: a device has no address, or there is none at all.
    """
    if not addresses:
        raise ZooError(
            f"{where} has no address for any device; set them with hccn_tool -i N -ip -s "
            "address A netmask M"
        )
    missing = sorted(set(devices or ()) - set(addresses))
    if missing:
        known = ", ".join(str(number) for number in sorted(addresses))
        raise ZooError(f"{where} has no address for device {missing[0]}; it has those of {known}")
    return {number: addresses[number] for number in (addresses if devices is None else devices)}
