"""What is put into a made-up log comes out of it, and nothing else ever does."""

from __future__ import annotations

import functools
import gzip
import random
import re
from pathlib import Path
from typing import Callable, Dict, List, Set

import numpy as np
import pytest

from common.evidence.logs import reading
from common.evidence.logs.reading import known_formats, read_blocks, read_log, without_codes
from common.evidence.logs.series import ParsedLog, Restart
from tests.generated_logs import MAKERS, SLOT_ATTENTION, MadeUp, mutated, with_noise

FORMATS = known_formats(Path(__file__).resolve().parent.parent)
EACH_FORMAT = pytest.mark.parametrize("name", sorted(MAKERS))


def parsed(path: Path, text: bytes, **named: object) -> ParsedLog:
    path.write_bytes(text)
    return read_log(path, formats=FORMATS, **named)  # type: ignore[arg-type]


def assert_holds(log: ParsedLog, points: Dict[str, List]) -> None:
    assert sorted(log.series) == sorted(points)
    for name, expected in points.items():
        steps, values = zip(*expected)
        np.testing.assert_array_equal(log.series[name].steps, steps, name)
        np.testing.assert_array_equal(log.series[name].values, values, name)


WAYS: Dict[str, Callable[[MadeUp], bytes]] = {
    "noise": lambda made: with_noise(made, 0).text(),
    "more noise": lambda made: with_noise(made, 1).text(),
    "windows": lambda made: made.text(b"\r\n"),
    "bar": lambda made: made.text(b"\r"),
    "blank lines": lambda made: made.text(b"\n\n"),
    "gzip": lambda made: gzip.compress(made.text()),
    "utf-16": lambda made: made.text().decode("ascii").encode("utf-16"),
}


@EACH_FORMAT
@pytest.mark.parametrize("way", list(WAYS))
def test_every_point_comes_out_exactly_whatever_is_around_it(
    name: str, way: str, tmp_path: Path
) -> None:
    made = MAKERS[name](1, 200)
    log = parsed(tmp_path / "a.log", WAYS[way](made))
    assert (log.format, log.restarts, log.notes) == (name, (), ())
    assert_holds(log, made.points)


@EACH_FORMAT
@pytest.mark.parametrize("size", [61, 1000])
def test_block_borders_anywhere_change_nothing(
    name: str, size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "read_blocks", functools.partial(read_blocks, size=size))
    made = with_noise(MAKERS[name](2, 40), 2)
    log = parsed(tmp_path / "a.log", made.text(), format=name)
    assert_holds(log, made.points)


@EACH_FORMAT
def test_a_last_line_that_is_cut_gives_no_half_number(name: str, tmp_path: Path) -> None:
    text = MAKERS[name](4, 30).text()
    whole = parsed(tmp_path / "a.log", text)
    for cut in range(1, 160):
        log = parsed(tmp_path / "a.log", text[:-cut])
        for series in log.series.values():
            in_whole = {repr(value) for value in whole.series[series.name].values.tolist()}
            assert {repr(value) for value in series.values.tolist()} <= in_whole, cut


RESUMED_AFTER = {"slot_attention_port": 4500, "protoattend_port": 45, "3d_attention_net": 5 * 97}


@EACH_FORMAT
def test_a_restart_is_told_and_replaces_what_came_after_it(name: str, tmp_path: Path) -> None:
    earlier = MAKERS[name](5, 90)
    later = MAKERS[name](6, 90, first=RESUMED_AFTER[name])
    first = later.points["loss"][0][0]
    log = parsed(tmp_path / "a.log", earlier.text() + b"W restarted\n" + later.text())
    assert first < earlier.points["loss"][-1][0]
    assert log.restarts == (Restart(first, earlier.points["loss"][-1][0]),)
    assert f"began again at step {first:,}" in log.notes[0]
    assert_holds(ParsedLog("", "", log.lives[0]), earlier.points)
    assert_holds(ParsedLog("", "", log.lives[1]), later.points)
    kept = {
        name: [point for point in points if point[0] < first]
        for name, points in earlier.points.items()
    }
    assert_holds(log, {name: kept[name] + points for name, points in later.points.items()})


@EACH_FORMAT
@pytest.mark.parametrize(
    "mark", ["[rank{}]: ", "[{}]: ", "[1,{}]<stdout>:", "[default{}]:", "{}: ", "rank {} | "]
)
def test_of_marked_ranks_the_lowest_is_read_and_any_can_be(
    name: str, mark: str, tmp_path: Path
) -> None:
    ranks = [MAKERS[name](seed, 40) for seed in range(3)]
    lines = []
    for number in range(len(ranks[0].lines)):
        for rank, made in reversed(list(enumerate(ranks))):
            lines.append(mark.format(rank).encode() + made.lines[number])
    text = b"\n".join(lines) + b"\n"
    log = parsed(tmp_path / "a.log", text)
    assert log.ranks == (0, 1, 2) and log.restarts == ()
    assert "lines of ranks 0, 1, 2; rank 0 is read" in log.notes
    assert_holds(log, ranks[0].points)
    assert_holds(parsed(tmp_path / "a.log", text, rank=2), ranks[2].points)


@pytest.mark.parametrize("order", ["in turn", "at random"])
def test_unmarked_ranks_are_no_restarts(order: str, tmp_path: Path) -> None:
    chance = random.Random(0)
    ranks = [list(MAKERS[SLOT_ATTENTION](seed, 60).lines) for seed in range(4)]
    lines = []
    while any(ranks):
        left = [rank for rank in ranks if rank]
        longest = max(len(rank) for rank in left)
        # None runs far ahead of the others: the job's steps wait for all.
        near = [rank for rank in left if len(rank) >= longest - 1]
        lines.append((near[0] if order == "in turn" else chance.choice(near)).pop(0))
    log = parsed(tmp_path / "a.log", b"\n".join(lines) + b"\n")
    assert log.restarts == ()
    assert log.series["loss"].steps.tolist() == list(range(100, 6001, 100))
    assert "180 step line(s) out of order" in log.notes[0]


_NUMBER = re.compile(
    rb"(?:[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[-+]?(?:nan|inf))(?![A-Za-z0-9_.])",
    re.IGNORECASE,
)
_DURATION = re.compile(rb"(?:([-+]?[0-9]+) days?, )?([0-9]+):([0-9]{2}):([0-9]{2}(?:\.[0-9]*)?)")


def numbers_in(text: bytes) -> Set[float]:
    """Every number and duration of a text, to 12 digits."""
    found = {float(token) for token in _NUMBER.findall(text)}
    found |= {value * 100 for value in found}  # the best accuracy's scale
    for days, hours, minutes, seconds in _DURATION.findall(text):
        found.add(int(days or 0) * 86400 + int(hours) * 3600 + int(minutes) * 60 + float(seconds))
    return {float(f"{value:.12g}") for value in found}


def check_mutated_lines(name: str, count: int, seed: int, folder: Path) -> int:
    """Reads damaged lines; returns how many losses were read in spite of it."""
    chance = random.Random(seed)
    lines = MAKERS[name](seed, 200).lines
    chosen = [lines[number * len(lines) // count] for number in range(count)]  # steps rise
    damaged = b"\n".join(mutated(line, lines, chance) for line in chosen) + b"\n"
    log = parsed(folder / "a.log", damaged, format=name)
    numbers = numbers_in(without_codes(damaged))
    for life in log.lives:
        for series in life.values():
            values = {float(f"{value:.12g}") for value in series.values if value == value}
            assert values <= numbers, (series.name, sorted(values - numbers)[:5])
    return sum(len(life["loss"]) for life in log.lives if "loss" in life)


@EACH_FORMAT
def test_damaged_lines_give_no_number_that_is_not_there(name: str, tmp_path: Path) -> None:
    assert check_mutated_lines(name, 1700, 7, tmp_path) > 20


@pytest.mark.slow
@EACH_FORMAT
def test_a_hundred_thousand_damaged_lines_give_no_such_number(name: str, tmp_path: Path) -> None:
    for seed in range(100):
        check_mutated_lines(name, 334, seed, tmp_path)
