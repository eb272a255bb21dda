"""Addresses: this machine's own, those behind names, the way from one to another."""

from __future__ import annotations

import ipaddress
import socket
from typing import Any, Optional, Tuple, Union


def address_towards(host: str) -> str:
    """This machine's own address on the way to a host; "" where there is no way.

    The system's routes decide, so that a machine with several networks takes the right one.
    """
    found = _lookup(host)
    if found is None:
        return ""
    family, place = found
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((place[0], 9))  # no packet leaves: it is a datagram socket
            return str(probe.getsockname()[0])
        except OSError:
            return ""


def resolved(host: str) -> str:
    """A host's IP address, of version 4 where it has one; "" where nobody knows it."""
    found = _lookup(host)
    return "" if found is None else str(found[1][0])


def is_ip(text: str) -> bool:
    """Whether a text is an IP address, not a name."""
    try:
        _parsed(text)
    except ValueError:
        return False
    return True


def is_loopback(address: str) -> bool:
    """Whether an IP address leads back to the machine that uses it."""
    return _parsed(address).is_loopback


def _parsed(address: str) -> Union[ipaddress.IPv4Address, ipaddress.IPv6Address]:
    return ipaddress.ip_address(address.partition("%")[0])  # without a scope


def is_own_address(host: str) -> bool:
    """Whether a host is this machine."""
    found = _lookup(host)
    if found is None:
        return False
    with socket.socket(found[0], socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((found[1][0], 0))  # any port: only an own address can be bound
            return True
        except OSError:
            return False


def _lookup(host: str) -> Optional[Tuple[int, Any]]:
    """The family and socket address of a host, None where nobody knows it."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            return family, socket.getaddrinfo(host, None, family, socket.SOCK_DGRAM)[0][4]
        except (OSError, UnicodeError):
            continue
    return None
