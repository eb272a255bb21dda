"""Fields are read as what Python reads, and only where they are whole."""

from __future__ import annotations

import datetime
import random
from typing import List, Optional

import pytest

from common.cards.log_format import LineRule
from common.evidence.logs.lines import DeclaredLine


def read(*texts: str, kind: str = "number") -> List[Optional[float]]:
    """The values of lines that say `value is …`; None where one says null."""
    line = DeclaredLine(LineRule(f"value is {{value:{kind}}}"))
    found = line.find("".join(f"value is {text}\n" for text in texts).encode("ascii"))
    return [dict(line.values(match)).get("value") for match in found]


ODD = ["-0.0", "1.", ".5", "-.5", "9007199254740993", "123456789012345678901234567890", "-inf"]
ODD += ["+Infinity", "1E5", "0000000000000000000000000.1", "1e999", "   7", "\t7", "nan", "-nan"]


def test_every_number_is_the_float_nearest_to_its_text() -> None:
    chance = random.Random(0)
    forms = ["{!r}", "{:.6f}", "{:.4f}", "{:e}", "{:g}", "{:+.3f}", "{:.17g}", "{:.20f}", "{:E}"]
    values = [chance.random() * 10 ** chance.randrange(-20, 20) - 1 for _ in range(2000)]
    texts = ODD + [chance.choice(forms).format(value) for value in values]
    assert list(map(repr, read(*texts))) == [repr(float(text)) for text in texts]
    assert read("null", "1", '"-inf"') == [None, 1.0, float("-inf")]


NO_NUMBERS = ["", "-", "+", ".", "e5", "--1", "x1", "none", "-.", "na", '"1"', "0.05Step"]
NO_NUMBERS += ["0.05.1", "0.05_", "1,234", "0x1F", "0.05/", "3-4"]
NO_DURATIONS = ["1:2:3", "12:34", "2 weeks, 1:00:00", "2 days 1:00:00", "1:00:0", "-1:00:00"]
NO_DURATIONS += ["1:00:123", "1:00:+12.5", "::", "1:00:", "a:00:00", "99999999999999:00:00.123456"]
NO_INTEGERS = ["", "x", "-1", "1234567890123456"]


@pytest.mark.parametrize(
    ("kind", "texts"),
    [("number", NO_NUMBERS), ("duration", NO_DURATIONS), ("integer", NO_INTEGERS)],
)
def test_what_is_none_of_the_kind_or_goes_on_is_not_read(kind: str, texts: List[str]) -> None:
    assert [text for text in texts if read(text, kind=kind)] == []


def test_a_number_before_space_or_punctuation_is_whole() -> None:
    assert read(*("0.05" + rest for rest in ["", " s", ", 7", "%", ")", ";", "}"])) == [0.05] * 7


def test_durations_are_those_of_timedelta() -> None:
    chance = random.Random(1)
    spans = [
        datetime.timedelta(
            seconds=chance.randrange(10 ** chance.randrange(1, 8)),
            microseconds=chance.choice([0, chance.randrange(10**6)]),
        )
        for _ in range(1000)
    ]
    assert read(*map(str, spans), kind="duration") == [span.total_seconds() for span in spans]
    odd = read("-1 day, 23:59:59.5", "100:00:00", "0:00:00.25", kind="duration")
    assert odd == [-0.5, 360000.0, 0.25]
