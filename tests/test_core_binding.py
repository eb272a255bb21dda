"""Cores for ranks."""

import pytest

from common.core.errors import UsageError
from common.machine.core_binding import shares


def test_cores_are_shared_evenly_inside_the_allowed_set():
    assert shares([8, 3, 9, 2], 2, "auto") == [(2, 3), (8, 9)]


def test_every_core_is_used_when_they_do_not_divide():
    bound = shares(range(7), 3, "auto")
    assert sorted(core for part in bound for core in part) == list(range(7))
    assert max(map(len, bound)) - min(map(len, bound)) <= 1


@pytest.mark.parametrize("wish", ["auto", "true", "false"])
def test_one_rank_is_never_bound(wish):
    assert shares(range(8), 1, wish) == [None]


def test_fewer_cores_than_ranks_are_not_shared():
    assert shares(range(2), 8, "auto") == [None] * 8


def test_fewer_cores_than_ranks_can_not_be_insisted_on():
    with pytest.raises(UsageError, match="8 ranks can't be bound to 2 cores"):
        shares(range(2), 8, "true")


def test_binding_can_be_left_out():
    assert shares(range(8), 2, "false") == [None, None]
