"""Fields are read as what Python reads, and only where they are whole."""

from __future__ import annotations

import datetime
import random
from typing import List, Optional

import pytest

from common.cards.log_format import LineRule
from common.evidence.logs.lines import DeclaredLine


def read(text: str, kind: str = "number") -> List[Optional[float]]:
    """The value of each line of a text that says `value is …`; None where it says null."""
    line = DeclaredLine(LineRule(f"value is {{value:{kind}}}"))
    found = line.find(f"value is {text}\n".encode("ascii"))
    return [dict(line.values(match)).get("value") for match in found]


def test_every_number_is_the_float_nearest_to_its_text() -> None:
    chance = random.Random(0)
    forms = ["{!r}", "{:.6f}", "{:.4f}", "{:e}", "{:g}", "{:+.3f}", "{:.17g}", "{:.20f}", "{:E}"]
    texts = []
    for _ in range(2000):
        near, far = chance.gauss(0, 1), chance.random() * 10 ** chance.randrange(-20, 20)
        value = chance.choice([near, far, float(chance.randrange(-(10**6), 10**6))])
        texts.append(chance.choice(forms).format(value))
    assert read("\nvalue is ".join(texts)) == [float(text) for text in texts]


ODD = ["-0.0", "1.", ".5", "-.5", "9007199254740993", "123456789012345678901234567890", "-inf"]
ODD += ["+Infinity", "1E5", "0000000000000000000000000.1", "1e999", "   7", "\t7", "nan", "-nan"]


@pytest.mark.parametrize("text", ODD)
def test_odd_spellings_are_read(text: str) -> None:
    assert [repr(value) for value in read(text)] == [repr(float(text))]


def test_null_is_no_value_and_quoted_nan_is_one() -> None:
    assert read('null\nvalue is 1\nvalue is "-inf"') == [None, 1.0, float("-inf")]


NO_NUMBERS = ["", "-", "+", ".", "e5", "--1", "x1", "none", "-.", "na", '"1"', "0.05Step"]
NO_NUMBERS += ["0.05.1", "0.05_", "1,234", "0x1F", "0.05/", "3-4"]
NO_DURATIONS = ["1:2:3", "12:34", "2 weeks, 1:00:00", "2 days 1:00:00", "1:00:0", "-1:00:00"]
NO_DURATIONS += ["1:00:123", "1:00:+12.5", "::", "1:00:", "a:00:00", "99999999999999:00:00.123456"]
NONE = [("number", text) for text in NO_NUMBERS] + [("duration", text) for text in NO_DURATIONS]
NONE += [("integer", text) for text in ("", "x", "-1", "1234567890123456")]


@pytest.mark.parametrize(("kind", "text"), NONE)
def test_what_is_none_of_the_kind_or_goes_on_is_not_read(kind: str, text: str) -> None:
    assert read(text, kind) == []


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
    told = read("-1 day, 23:59:59.5\nvalue is 100:00:00\nvalue is 0:00:00.25", "duration")
    assert told == [-0.5, 360000.0, 0.25]
