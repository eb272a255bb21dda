"""Numbers read a column at a time are those that Python reads one by one."""

from __future__ import annotations

import datetime
import random
from typing import List, Tuple

import numpy as np
import pytest

from common.evidence.logs.blocks import block_of
from common.evidence.logs.number_columns import (
    scan_durations,
    scan_integers,
    scan_numbers,
    stands_alone,
)


def laid_out(texts: List[str]) -> Tuple[np.ndarray, np.ndarray]:
    """The texts, one a line, and where each begins."""
    lengths = [len(text) + 1 for text in texts]
    return block_of("\n".join(texts).encode("ascii") + b"\n").array, np.cumsum([0] + lengths[:-1])


def spelled(chance: random.Random) -> str:
    """A finite number in one of the ways in which programs write it."""
    value = chance.choice(
        [
            chance.gauss(0, 1),
            chance.random() * 10 ** chance.randrange(-20, 20),
            float(chance.randrange(-(10**6), 10**6)),
        ]
    )
    return chance.choice(
        ["{!r}", "{:.6f}", "{:.4f}", "{:e}", "{:g}", "{:+.3f}", "{:.17g}", "{:.20f}", "{:E}"]
    ).format(value)


def test_every_number_is_the_float_nearest_to_its_text() -> None:
    chance = random.Random(0)
    texts = [spelled(chance) for _ in range(20000)]
    found = scan_numbers(*laid_out(texts))
    assert found.good.all() and found.given.all()
    assert found.values.tolist() == [float(text) for text in texts]


@pytest.mark.parametrize(
    "text",
    [
        "0",
        "7",
        "-0.0",
        "1e-05",
        "1.",
        ".5",
        "-.5",
        "9007199254740993",
        "123456789012345678901234567890",
        "inf",
        "-inf",
        "+Infinity",
        "1E5",
        "0000000000000000000000000.1",
        "-1.5e+10",
        "1e999",
    ],
)
def test_odd_spellings_are_read(text: str) -> None:
    found = scan_numbers(*laid_out([text]))
    assert found.good[0] and repr(found.values[0].item()) == repr(float(text))
    assert found.ends[0] == len(text)


@pytest.mark.parametrize("text", ["nan", "NaN", "-nan", '"nan"'])
def test_no_number_is_read_as_no_number(text: str) -> None:
    found = scan_numbers(*laid_out([text]))
    assert found.good[0] and found.given[0] and np.isnan(found.values[0])


def test_null_is_read_and_is_no_value() -> None:
    found = scan_numbers(*laid_out(["null", "1"]))
    assert found.good.tolist() == [True, True] and found.given.tolist() == [False, True]


@pytest.mark.parametrize("text", ["", "-", "+", ".", "e5", "--1", "x1", "none", "-.", "na", '"1"'])
def test_what_is_no_number_is_not_read(text: str) -> None:
    assert not scan_numbers(*laid_out([text])).good[0]


@pytest.mark.parametrize("text", ["0.05Step", "0.05.1", "0.05_", "1,234", "0x1F", "0.05/", "3-4"])
def test_a_number_that_goes_on_does_not_stand_alone(text: str) -> None:
    array, starts = laid_out([text])
    assert not stands_alone(array, scan_numbers(array, starts).ends)[0]


@pytest.mark.parametrize("text", ["0.05", "0.05 s", "0.05, 7", "0.05%", "0.05)", "0.05;", "7}"])
def test_a_number_before_space_or_punctuation_stands_alone(text: str) -> None:
    array, starts = laid_out([text])
    assert stands_alone(array, scan_numbers(array, starts).ends)[0]


def test_durations_are_those_of_timedelta() -> None:
    chance = random.Random(1)
    spans = [
        datetime.timedelta(
            seconds=chance.randrange(10 ** chance.randrange(1, 8)),
            microseconds=chance.choice([0, 0, chance.randrange(10**6)]),
        )
        for _ in range(5000)
    ]
    found = scan_durations(*laid_out([str(span) for span in spans]))
    assert found.good.all()
    assert found.values.tolist() == [span.total_seconds() for span in spans]


@pytest.mark.parametrize(
    "text, seconds",
    [
        ("2 days, 20:26:42.837634", 246402.837634),
        ("1 day, 0:00:00", 86400.0),
        ("-1 day, 23:59:59.5", -0.5),
        ("100:00:00", 360000.0),
        ("0:00:00.25", 0.25),
    ],
)
def test_a_duration_is_in_seconds(text: str, seconds: float) -> None:
    found = scan_durations(*laid_out([text]))
    assert found.good[0] and found.values[0] == seconds and found.ends[0] == len(text)


@pytest.mark.parametrize(
    "text",
    [
        "1:2:3",
        "12:34",
        "2 weeks, 1:00:00",
        "2 days 1:00:00",
        "1:00:0",
        "-1:00:00",
        "1:00:123",
        "1:00:+12.5",
        "::",
        "",
        "1:00:",
        "a:00:00",
        "99999999999999:00:00.123456",
    ],
)
def test_what_is_no_duration_is_not_read(text: str) -> None:
    assert not scan_durations(*laid_out([text])).good[0]


@pytest.mark.parametrize("text", ["", "x", "1234567890123456"])
def test_what_is_no_step_is_not_read(text: str) -> None:
    assert not scan_integers(*laid_out([text])).good[0]
