"""Versions are compared as numbers; what a library prints while it is imported is withheld."""

from __future__ import annotations

import os

import pytest

from common.core.terminal import without_chatter
from common.core.text import version_numbers


@pytest.mark.parametrize(
    "text, numbers",
    [
        ("1.8.1+cpu", (1, 8, 1)),
        ("2.13.0a0+git", (2, 13, 0)),
        ("v2", (2,)),
        ("unknown", ()),
    ],
)
def test_the_leading_numbers_of_a_version_count(text, numbers):
    assert version_numbers(text) == numbers


def test_chatter_is_withheld_unless_the_import_fails(capfd):
    with without_chatter():
        os.write(2, b"chatter\n")
    with pytest.raises(ImportError), without_chatter():
        os.write(2, b"reason\n")
        raise ImportError("broken")
    assert capfd.readouterr().err == "reason\n"
