"""The files a rank table is made from: hccn.conf, what hccn_tool and npu-smi print, host lists."""

from __future__ import annotations

import ipaddress
import re
import socket
import sys
from pathlib import Path
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

import attrs

from common.core.errors import UsageError, ZooError

USUAL_PLACE = "/etc/hccn.conf"
STANDARD_INPUT = "-"
TOOL_LOOP = 'for i in 0 1 2 3 4 5 6 7; do echo "device $i"; hccn_tool -i $i -ip -g; done'
HOST_LINE = "SERVER_ID FILE, or SERVER_ID 0=192.168.100.101 1=192.168.101.101 (device=address)"
_LONGEST_NAME = 64
_CONF_LINE = re.compile(r"^\s*address_(?:(\d{1,4})\s*=\s*(\S*)\s*$)?")
_TOOL_LINE = re.compile(r"^\s*ipaddr\s*:\s*(\S+)\s*$", re.IGNORECASE)
# What `npu-smi info -t spod-info` prints on A3: the die's number in its super pod, and the pod's.
_SUPER_DEVICE = re.compile(r"^\s*SDID\s*:\s*(\d+)\s*$", re.IGNORECASE)
_SUPER_POD = re.compile(r"^\s*Super Pod ID\s*:\s*(\d+)\s*$", re.IGNORECASE)
# "device 3", "=== Device 3 ===", or the command itself as `bash -x` echoes it.
_HEADING = re.compile(r"(?:\bdevice\s*:?\s*|\bhccn_tool\b.*?\s-i\s+)(\d{1,4})\b", re.IGNORECASE)
Devices = Optional[Sequence[int]]  # physical numbers, None for all there are


@attrs.frozen
class ServerAddresses:
    """What a machine says of itself.

    Attributes:
        server_id: its name; addresses: its devices' by physical number.
        super_devices: on A3 the dies' numbers in their super pod; super_pod: its number.
    """

    server_id: str
    addresses: Mapping[int, str]
    super_devices: Mapping[int, str] = attrs.field(factory=dict)
    super_pod: str = ""


def is_address(text: str) -> bool:
    """Whether a text is an IPv4 or IPv6 address that a network card can have."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return not (address.is_loopback or address.is_unspecified or address.is_multicast)


# --- one server's text ---


def read_server(name: str, text: str, where: str, devices: Devices = None) -> ServerAddresses:
    """A server by its hccn.conf, or by what hccn_tool -i N -ip -g prints for several devices.

    hccn_tool itself doesn't say which device it speaks of: a line above each answer does. Without
    such lines the devices must be given, and as many as there are answers, so that a call that
    failed shifts no address. npu-smi's lines on an A3's super pod stand below the same headings.

    Args:
        where: the file's name, for errors.
        devices: those asked for; None for all.

    Raises:
        ZooError: nothing of the kind is in the text, a line is wrong, or a device is missing.
    """
    told: List[Tuple[str, Optional[int], str]] = []  # where it is said, device, address
    super_devices: Dict[int, str] = {}
    device, unused, super_pod, is_conf = None, False, "0", False
    for number, line in enumerate(text.lstrip("\ufeff").splitlines(), 1):
        place, heading = f"{where} line {number}", _HEADING.search(line)
        conf, answer = _CONF_LINE.match(line), _TOOL_LINE.match(line)
        super_device, own_pod = _SUPER_DEVICE.match(line), _SUPER_POD.match(line)
        if conf:
            is_conf = True
            if conf.group(1) is None:
                shown = repr(line.strip()[:80])
                raise ZooError(f"{place}: {shown} is not address_<i>=<IP address>; mend the file")
            if conf.group(2):  # else a device that was given none yet
                told.append((place, int(conf.group(1)), conf.group(2)))
        elif answer and not is_conf:
            told.append((place, device if unused else None, answer.group(1)))
            unused = False  # a heading speaks of one address only
        elif super_device and device is not None:
            super_devices[device] = super_device.group(1)
        elif own_pod:
            super_pod = own_pod.group(1)
        elif heading:
            device, unused = int(heading.group(1)), True
    if any(number is None for _, number, _ in told):
        if devices is None or len(devices) != len(told):
            raise ZooError(
                f"{where} doesn't say which devices its {len(told)} ipaddr: lines belong to; "
                f"give as many --devices, or make it with: {TOOL_LOOP}"
            )
        told = [(where, number, address) for number, (_, _, address) in zip(devices, told)]
    addresses = _selected(told, devices, where)
    return ServerAddresses(name, addresses, super_devices, super_pod if super_devices else "")


def _selected(
    told: Sequence[Tuple[str, Optional[int], str]], devices: Devices, where: str
) -> Dict[int, str]:
    found: Dict[int, str] = {}
    for place, device, address in told:
        if not is_address(address):
            raise ZooError(
                f"{place}: {address!r} is no IP address of a network card; mend the file"
            )
        if device is not None and found.setdefault(device, address) != address:
            both = f"{found[device]} and {address}"
            raise ZooError(f"{place}: device {device} has two addresses, {both}; keep one")
    missing = [str(number) for number in sorted(set(devices or ()) - set(found))]
    if missing or not found:
        raise ZooError(
            f"{where} has no address for device {missing[0] if missing else 0}, as address_<i>= or "
            f"ipaddr: lines; it has those of {', '.join(map(str, sorted(found))) or 'none'}"
        )
    return {number: found[number] for number in (found if devices is None else devices)}


# --- all servers ---


def servers_of_hccn(
    paths: Sequence[str], names: Sequence[str], devices: Devices
) -> List[ServerAddresses]:
    """A server for each file, named in the files' order.

    Args:
        paths: copies of hccn.conf or the tools' output, `-` for the standard input.
        names: the servers' names; without any a single file is this machine's.

    Raises:
        ZooError: a file can't be read or understood; UsageError: names and files don't match.
    """
    if len(names) != len(paths) and (names or len(paths) > 1):
        raise UsageError(
            f"--hccn has {len(paths)} files and --servers names {len(names)} servers; give "
            "--servers NAME,NAME,…, one for each file, in their order"
        )
    this_machine = socket.gethostname()[:_LONGEST_NAME]  # needs no choice among network cards
    return [
        read_server(name, read_whole(path), path, devices)
        for name, path in zip(names or [this_machine], paths)
    ]


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
        where = f"{path} line {number}"
        if len(words) == 1 and "=" not in words[0]:
            where = str(Path(path).parent / words[0])
            text = read_whole(where)
        elif words and all(re.fullmatch(r"\d{1,4}=\S+", word) for word in words):
            text = "\n".join("address_" + word for word in words)
        else:
            raise ZooError(
                f"{where}: {' '.join(words)!r} is no list of addresses; write {HOST_LINE}"
            )
        servers.append(read_server(name, text, where, devices))
    if not servers:
        raise ZooError(f"{path} names no server; write a line for each: {HOST_LINE}")
    return servers


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
