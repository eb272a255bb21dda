"""Addresses: this machine's own, those behind names, the way from one to another."""

import pytest

from common.launch.network import address_towards, is_own_address, resolved

NOWHERE = "no.such.host.invalid"


def test_the_address_towards_this_machine_is_its_own():
    assert address_towards("127.0.0.1") == "127.0.0.1"


def test_no_way_to_a_host_is_no_address():
    assert address_towards(NOWHERE) == ""


@pytest.mark.parametrize("host, address", [
    ("localhost", "127.0.0.1"), ("10.9.8.7", "10.9.8.7"), (NOWHERE, "")])
def test_a_name_becomes_an_address(host, address):
    assert resolved(host) == address


@pytest.mark.parametrize("host, own", [
    ("127.0.0.1", True), ("localhost", True), ("192.0.2.7", False), (NOWHERE, False)])
def test_an_own_address_is_one_that_this_machine_can_listen_at(host, own):
    assert is_own_address(host) is own
