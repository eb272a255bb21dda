"""What is put into a made-up log comes out of it, whatever is around it."""

from __future__ import annotations

import functools
import gzip
import random
from pathlib import Path
from typing import Callable, Dict, List

import numpy as np
import pytest

from common.evidence.logs import reading
from common.evidence.logs.reading import known_formats, read_blocks, read_log
from common.evidence.logs.series import ParsedLog, Restart
from tests.generated_logs import FORMAT, MadeUp, made_up, with_noise

FORMATS = known_formats(Path(__file__).resolve().parent.parent)


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
    "windows": lambda made: made.text(b"\r\n"),
    "bar": lambda made: made.text(b"\r"),
    "blank lines": lambda made: made.text(b"\n\n"),
    "gzip": lambda made: gzip.compress(made.text()),
    "utf-16": lambda made: made.text().decode("ascii").encode("utf-16"),
}


@pytest.mark.parametrize("way", list(WAYS))
def test_every_point_comes_out_exactly_whatever_is_around_it(way: str, tmp_path: Path) -> None:
    made = made_up(1, 200)
    log = parsed(tmp_path / "a.log", WAYS[way](made))
    assert (log.format, log.restarts, log.notes) == (FORMAT, (), ())
    assert_holds(log, made.points)


@pytest.mark.parametrize("size", [61, 1000])
def test_block_borders_anywhere_change_nothing(
    size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "read_blocks", functools.partial(read_blocks, size=size))
    made = with_noise(made_up(2, 40), 2)
    assert_holds(parsed(tmp_path / "a.log", made.text(), format=FORMAT), made.points)


def test_a_last_line_that_is_cut_gives_no_half_number(tmp_path: Path) -> None:
    text = made_up(4, 30).text()
    whole = parsed(tmp_path / "a.log", text)
    for cut in range(1, 160):
        log = parsed(tmp_path / "a.log", text[:-cut])
        for series in log.series.values():
            in_whole = {repr(value) for value in whole.series[series.name].values.tolist()}
            assert {repr(value) for value in series.values.tolist()} <= in_whole, cut


def test_a_restart_is_told_and_replaces_what_came_after_it(tmp_path: Path) -> None:
    earlier, later = made_up(5, 90), made_up(6, 90, first=4500)
    log = parsed(tmp_path / "a.log", earlier.text() + b"W restarted\n" + later.text())
    assert log.restarts == (Restart(4600, 9000),) and "began again at step 4,600" in log.notes[0]
    for life, made in zip(log.lives, (earlier, later)):
        assert_holds(ParsedLog("", "", life), made.points)
    assert_holds(log, {name: earlier.points[name][:45] + later.points[name] for name in log.series})


@pytest.mark.parametrize(
    "mark", ["[rank{}]: ", "[{}]: ", "[1,{}]<stdout>:", "[default{}]:", "{}: ", "rank {} | "]
)
def test_of_marked_ranks_the_lowest_is_read_and_any_can_be(mark: str, tmp_path: Path) -> None:
    ranks = [made_up(seed, 40) for seed in range(3)]
    lines = [
        mark.format(rank).encode() + line
        for of_all in zip(*(made.lines for made in ranks))
        for rank, line in reversed(list(enumerate(of_all)))
    ]
    text = b"\n".join(lines) + b"\n"
    log = parsed(tmp_path / "a.log", text)
    assert log.ranks == (0, 1, 2) and log.restarts == ()
    assert "lines of ranks 0, 1, 2; rank 0 is read" in log.notes
    assert_holds(log, ranks[0].points)
    assert_holds(parsed(tmp_path / "a.log", text, rank=2), ranks[2].points)


@pytest.mark.parametrize("order", ["in turn", "at random"])
def test_unmarked_ranks_are_no_restarts(order: str, tmp_path: Path) -> None:
    chance = random.Random(0)
    ranks = [list(made_up(seed, 60).lines) for seed in range(4)]
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
