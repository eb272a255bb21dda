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
_CONF_LINE = re.compile(r"^\s*address_")
_CONF_ENTRY = re.compile(r"^\s*address_(\d{1,4})\s*=\s*(\S*)\s*$")
_TOOL_LINE = re.compile(r"^\s*ipaddr\s*:\s*(\S+)\s*$", re.IGNORECASE)
# What `npu-smi info -t spod-info` prints on A3: the die's number in its super pod, and the pod's.
_SUPER_DEVICE = re.compile(r"^\s*SDID\s*:\s*(\d+)\s*$", re.IGNORECASE)
_SUPER_POD = re.compile(r"^\s*Super Pod ID\s*:\s*(\d+)\s*$", re.IGNORECASE)
# "device 3", "=== Device 3 ===", or the command itself as `bash -x` echoes it.
_HEADING = re.compile(r"(?:\bdevice\s*:?\s*|\bhccn_tool\b.*?\s-i\s+)(\d{1,4})\b", re.IGNORECASE)
_INFO_FILE = re.compile(r"server_(?P<server_id>.+)_(?P<index>\d+)\.info")
Devices = Optional[Sequence[int]]  # physical numbers, None for all there are
Entry = Tuple[str, Optional[int], str]  # where it is said, device, address


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


def read_addresses(text: str, where: str, devices: Devices = None) -> Dict[int, str]:
    """The addresses by physical device number, of the devices asked for or of all.

    Args:
        text: an hccn.conf, or the output of `hccn_tool -i N -ip -g` for several devices.
        where: the file's name, for errors.
        devices: output of hccn_tool without headings belongs to these, in order.

    Raises:
        ZooError: nothing of the kind is in the text, a line is wrong, or a device is missing.
    """
    text = text.lstrip("\ufeff")  # the mark of an editor's UTF-8
    if any(_CONF_LINE.match(line) for line in text.splitlines()):
        return _selected(addresses_of_conf(text, where), devices, where)
    return _selected(_by_device(_tool_entries(text, where, devices)), devices, where)


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


def _tool_entries(text: str, where: str, devices: Devices) -> List[Entry]:
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


def _selected(addresses: Mapping[int, str], devices: Devices, where: str) -> Dict[int, str]:
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


def _super_pod(text: str) -> Tuple[Dict[int, str], str]:
    """The SDID below each device's heading, and the super pod's number; ({}, "") but on A3."""
    found: Dict[int, str] = {}
    device, pod = None, ""
    for line in text.splitlines():
        super_device, own_pod = _SUPER_DEVICE.match(line), _SUPER_POD.match(line)
        heading = _HEADING.search(line)
        if super_device and device is not None:
            found[device] = super_device.group(1)
        elif own_pod:
            pod = own_pod.group(1)
        elif heading:
            device = int(heading.group(1))
    return (found, pod or "0") if found else ({}, "")


def _server(name: str, text: str, where: str, devices: Devices) -> ServerAddresses:
    return ServerAddresses(name, read_addresses(text, where, devices), *_super_pod(text))


# --- all servers ---


def servers_of_hccn(
    paths: Sequence[str], names: Sequence[str], devices: Devices
) -> List[ServerAddresses]:
    """A server for each file, named in the files' order.

    Args:
        paths: copies of hccn.conf or the tools' output, `-` for the standard input; or folders of
            such copies, called server_<name>_<index>.info.
        names: the servers' names; without any a folder's files name theirs, and a single file is
            this machine's.

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
    this_machine = socket.gethostname()[:_LONGEST_NAME]  # needs no choice among network cards
    return [
        _server(names[index] if names else name or this_machine, read_whole(path), path, devices)
        for index, (name, path) in enumerate(files)
    ]


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
            servers.append(_server(name, read_whole(file), file, devices))
        else:
            here = _addresses_of_line(name, words, f"{path} line {number}")
            addresses = _selected(here, devices, f"{path}, server {name}")
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
