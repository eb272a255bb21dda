"""Addresses: this machine's own, those behind names, the way from one to another."""

import socket

import pytest

from common.launch import network

NOWHERE = "no.such.host.invalid"


@pytest.fixture(autouse=True)
def names(monkeypatch):
    """Names are known from a list: the tests ask no server."""
    ask = socket.getaddrinfo

    def known(host, *rest):
        if host == NOWHERE:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return ask({"node0": "10.9.8.7", "here": "127.0.0.1"}.get(host, host), *rest)

    monkeypatch.setattr(network.socket, "getaddrinfo", known)


def test_the_address_towards_this_machine_is_its_own():
    assert network.address_towards("here") == "127.0.0.1"


def test_no_way_to_a_host_is_no_address():
    assert network.address_towards(NOWHERE) == ""


@pytest.mark.parametrize(
    "host, address",
    [("node0", "10.9.8.7"), ("10.9.8.7", "10.9.8.7"), ("::1", "::1"), (NOWHERE, "")],
)
def test_a_name_becomes_an_address(host, address):
    assert network.resolved(host) == address


@pytest.mark.parametrize(
    "host, own", [("127.0.0.1", True), ("here", True), ("192.0.2.7", False), (NOWHERE, False)]
)
def test_an_own_address_is_one_that_this_machine_can_listen_at(host, own):
    assert network.is_own_address(host) is own


@pytest.mark.parametrize(
    "text, ip",
    [("10.0.0.1", True), ("fd00::1", True), ("fe80::1%eth0", True), ("node0", False), ("", False)],
)
def test_an_ip_address_is_no_name(text, ip):
    assert network.is_ip(text) is ip
