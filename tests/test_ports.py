"""Ports for ranks to meet."""

import socket

import pytest

from common.core.errors import ZooError
from common.machine.ports import is_free, reserve_free_port, reserve_port


def test_a_chosen_port_is_free_and_not_chosen_again():
    kept = [reserve_free_port() for _ in range(20)]
    assert len({reservation.port for reservation in kept}) == 20
    assert all(is_free(reservation.port) for reservation in kept)
    for reservation in kept:
        reservation.release()


def test_a_reserved_port_can_not_be_reserved_twice():
    first = reserve_free_port()
    with pytest.raises(ZooError, match="in use"):
        reserve_port(first.port)
    first.release()
    reserve_port(first.port).release()


def test_a_port_with_a_listener_is_in_use():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(1)
        with pytest.raises(ZooError, match="--master_port"):
            reserve_port(server.getsockname()[1])
