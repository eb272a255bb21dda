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
_HEADING = re.compile(r"(?:\bdevice\s*:?\s*|\bhccn_tool\b.*?\s-i\s+)(\d+)\b", re.IGNORECASE)


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
        found = addresses_of_conf(text, where)
    else:
        found = addresses_of_tool(text, where, devices)
    return selected(found, devices, where)


def addresses_of_conf(text: str, where: str) -> Dict[int, str]:
    """The `address_<i>=` lines of an hccn.conf.

    Raises:
        ZooError: such a line has something else than an address, or a device has two.
    """
    found: Dict[int, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not _CONF_LINE.match(line):
            continue
        place = f"{where} line {number}"
        match = _CONF_ENTRY.match(line)
        if match is None:
            raise ZooError(
                f"{place}: {line.strip()[:80]!r} is not address_<i>=<IP address>; mend the file"
            )
        if match.group(2):  # a device that was given none yet
            _add(found, int(match.group(1)), match.group(2), place)
    return found


def addresses_of_tool(
    text: str, where: str, devices: Optional[Sequence[int]] = None
) -> Dict[int, str]:
    """The `ipaddr:` lines that hccn_tool prints, each below a line that names its device.

    hccn_tool itself doesn't say which device it speaks of: without headings the devices must be
    given, and as many as there are addresses, so that a call that failed shifts no address.

    Raises:
        ZooError: it can't be told which device an address belongs to.
    """
    lines = _tool_lines(text)
    if not lines:
        raise ZooError(
            f"{where} holds neither address_<i>= lines nor hccn_tool's ipaddr: lines; "
            f"give a copy of {USUAL_PLACE}"
        )
    if any(device is None for _, device, _ in lines):
        return _in_order([address for _, _, address in lines], where, devices)
    found: Dict[int, str] = {}
    for number, device, address in lines:
        if device is not None:
            _add(found, device, address, f"{where} line {number}")
    return found


def _tool_lines(text: str) -> List[Tuple[int, Optional[int], str]]:
    """Each address with its line's number and the device that the last heading named."""
    found: List[Tuple[int, Optional[int], str]] = []
    device: Optional[int] = None
    for number, line in enumerate(text.splitlines(), 1):
        address, heading = _TOOL_LINE.match(line), _HEADING.search(line)
        if address:
            found.append((number, device, address.group(1)))
            device = None  # a heading speaks of one address only
        elif heading:
            device = int(heading.group(1))
    return found


def _in_order(
    addresses: Sequence[str], where: str, devices: Optional[Sequence[int]]
) -> Dict[int, str]:
    if devices is None or len(devices) != len(addresses):
        raise ZooError(
            f"{where} doesn't say which devices its {len(addresses)} ipaddr: lines "
            "belong to; give as many "
            f"--devices, or make it with: {TOOL_LOOP}"
        )
    found: Dict[int, str] = {}
    for device, address in zip(devices, addresses):
        _add(found, device, address, where)
    return found


def _add(found: Dict[int, str], device: int, address: str, where: str) -> None:
    if not is_address(address):
        raise ZooError(f"{where}: {address!r} is no IP address of a network card; mend the file")
    if found.setdefault(device, address) != address:
        raise ZooError(
            f"{where}: device {device} has two addresses, {found[device]} and {address}; keep one"
        )


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
        raise ZooError(
            "{} has no address for device {}; it has those of {}".format(
                where, missing[0], ", ".join(str(number) for number in sorted(addresses))
            )
        )
    return {number: addresses[number] for number in (addresses if devices is None else devices)}
