"""Data out of pickles without running them."""

from __future__ import annotations

import io

import pytest

from common.data.safe_pickle import AllowListUnpickler, ForbiddenName


@pytest.mark.parametrize(
    "content",
    [
        b"cos\nsystem\n(S'true'\ntR.",
        b"cbuiltins\neval\n(S'1'\ntR.",
        b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x04true\x85R.",
        b"(S'true'\nios\nsystem\n.",
        b"\x80\x04\x8c\x05numpy\x8c\x11ndarray.__class__\x93.",
    ],
)
def test_a_name_that_is_not_in_the_list_is_refused(content):
    with pytest.raises(ForbiddenName):
        AllowListUnpickler(io.BytesIO(content)).load()


def test_a_large_number_of_a_memos_place_takes_no_memory():
    content = b"\x80\x02Nr\xff\xff\xff\x7f."  # LONG_BINPUT of 2^31 - 1
    assert AllowListUnpickler(io.BytesIO(content)).load() is None
