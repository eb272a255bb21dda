"""Versions are compared as numbers."""

import pytest

from common.core.versions import version_numbers


@pytest.mark.parametrize(
    "text, numbers",
    [
        ("1.8.1", (1, 8, 1)),
        ("1.8.1+cpu", (1, 8, 1)),
        ("2.13.0a0+git", (2, 13, 0)),
        ("v2", (2,)),
        ("0.1+ascend", (0, 1)),
        ("unknown", ()),
        ("", ()),
    ],
)
def test_the_leading_numbers_count(text, numbers):
    assert version_numbers(text) == numbers


def test_1_10_is_newer_than_1_8():
    assert version_numbers("1.10.0") > version_numbers("1.8.1")
