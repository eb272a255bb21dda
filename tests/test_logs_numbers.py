"""Fields are read as what Python reads, and only where they are whole."""

from __future__ import annotations

import datetime
import random
from typing import List, Optional

import numpy as np
import pytest

from common.cards.log_format import LineRule
from common.evidence.logs.lines import DeclaredLine


def read(text: str, kind: str = "number") -> List[Optional[float]]:
    """The value of each line of a text that says `value is …`; None where it says null."""
    template = f"value is {{value:{kind}}}"
    line = DeclaredLine(LineRule(template))
    return [
        dict(line.values(match)).get("value")
        for match in line.find(f"value is {text}\n".encode("ascii"))
    ]


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
    texts = [spelled(chance) for _ in range(2000)]
    assert read("\nvalue is ".join(texts)) == [float(text) for text in texts]


@pytest.mark.parametrize(
    "text",
    [
        "-0.0",
        "1.",
        ".5",
        "-.5",
        "9007199254740993",
        "123456789012345678901234567890",
        "-inf",
        "+Infinity",
        "1E5",
        "0000000000000000000000000.1",
        "1e999",
        "   7",
        "\t7",
    ],
)
def test_odd_spellings_are_read(text: str) -> None:
    assert [repr(value) for value in read(text)] == [repr(float(text))]


@pytest.mark.parametrize("text", ["nan", "NaN", "-nan", '"nan"'])
def test_no_number_is_read_as_no_number(text: str) -> None:
    assert np.isnan(read(text)[0])


def test_null_is_read_and_is_no_value() -> None:
    assert read("null\nvalue is 1") == [None, 1.0]


@pytest.mark.parametrize(
    "text",
    ["", "-", "+", ".", "e5", "--1", "x1", "none", "-.", "na", '"1"']
    + ["0.05Step", "0.05.1", "0.05_", "1,234", "0x1F", "0.05/", "3-4"],
)
def test_what_is_no_number_or_goes_on_is_not_read(text: str) -> None:
    assert read(text) == []


@pytest.mark.parametrize("rest", ["", " s", ", 7", "%", ")", ";", "}"])
def test_a_number_before_space_or_punctuation_is_whole(rest: str) -> None:
    assert read("0.05" + rest) == [0.05]


def test_durations_are_those_of_timedelta() -> None:
    chance = random.Random(1)
    spans = [
        datetime.timedelta(
            seconds=chance.randrange(10 ** chance.randrange(1, 8)),
            microseconds=chance.choice([0, 0, chance.randrange(10**6)]),
        )
        for _ in range(1000)
    ]
    told = read("\nvalue is ".join(map(str, spans)), "duration")
    assert told == [span.total_seconds() for span in spans]


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
    assert read(text, "duration") == [seconds]


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
        "1:00:",
        "a:00:00",
        "99999999999999:00:00.123456",
    ],
)
def test_what_is_no_duration_is_not_read(text: str) -> None:
    assert read(text, "duration") == []


@pytest.mark.parametrize("text", ["", "x", "-1", "1234567890123456"])
def test_what_is_no_whole_number_is_not_read(text: str) -> None:
    assert read(text, "integer") == []
