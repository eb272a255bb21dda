"""What a real log tells comes out of it whatever is around it, restarted, cut or of many ranks."""

from __future__ import annotations

import functools
import gzip
import random
from pathlib import Path
from typing import Callable, Dict

import numpy as np
import pytest

from common.evidence.logs import reading
from common.evidence.logs.reading import known_formats, read_blocks, read_log
from common.evidence.logs.series import ParsedLog, Restart, Series

FORMATS = known_formats(Path(__file__).resolve().parent.parent)
EXCERPT = Path(__file__).resolve().parent / "fixtures/logs/slot_attention_gpu_excerpt.log.gz"
TEXT = gzip.decompress(EXCERPT.read_bytes())
LINES = [line for line in TEXT.split(b"\n") if b"Step: " in line][:60]  # of steps 100 to 6000
NOISE = [
    "\u8bad\u7ec3\u5f00\u59cb Loss: \u672a\u77e5".encode("gbk"),
    b"\xff\xfe broken \xc3( text",
    b"Step: soon, Loss: falling, Time: flies",
    b"\x00\x00\x00",
    b"\x1b[31mE1119 error in red\x1b[0m",
    b"\x1b]0;title of the window\x07 after the title",
    b" 10%|#         | 10/100 [00:01<00:09]\r 20%|##        | 20/100 [00:02<00:08]\r",
]


def parsed(path: Path, text: bytes, **named: object) -> ParsedLog:
    path.write_bytes(text)
    return read_log(path, formats=FORMATS, **named)  # type: ignore[arg-type]


def assert_holds(found: Dict[str, Series], expected: Dict[str, Series]) -> None:
    assert sorted(found) == sorted(expected) == ["elapsed_seconds", "loss"]
    for name, series in expected.items():
        np.testing.assert_array_equal(found[name].steps, series.steps, name)
        np.testing.assert_array_equal(found[name].values, series.values, name)


def noisy() -> bytes:
    chance, text = random.Random(0), b""
    for line in TEXT.split(b"\n"):
        text += b"\n".join([*chance.sample(NOISE, chance.choice([0, 0, 1, 3])), b""])
        text += (
            chance.choice([line, line, b"\x1b[32m" + line + b"\x1b[0m", b" 30%\r" + line]) + b"\n"
        )
    return text


WAYS: Dict[str, Callable[[], bytes]] = {
    "noise": noisy,
    "windows": lambda: TEXT.replace(b"\n", b"\r\n"),
    "bar": lambda: TEXT.replace(b"\n", b"\r"),
    "plain": lambda: TEXT,
    "utf-16": lambda: TEXT.decode("ascii").encode("utf-16"),
}


@pytest.mark.parametrize("way", list(WAYS))
@pytest.mark.parametrize("size", [61, reading.BLOCK])
def test_every_value_comes_out_whatever_is_around_it_and_wherever_a_block_ends(
    way: str, size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = read_log(EXCERPT, formats=FORMATS)
    monkeypatch.setattr(reading, "read_blocks", functools.partial(read_blocks, size=size))
    log = parsed(tmp_path / "a.log", WAYS[way](), format="slot_attention_port")
    assert (log.restarts, log.notes) == ((), ())
    assert_holds(log.series, expected.series)


def test_a_last_line_that_is_cut_gives_no_half_number(tmp_path: Path) -> None:
    text = b"\n".join(LINES[:5])
    whole = parsed(tmp_path / "a.log", text + b"\n")
    for cut in range(160):
        log = parsed(tmp_path / "a.log", text[: len(text) - cut])
        for name, series in log.series.items():
            assert set(series.values) <= set(whole.series[name].values), cut


def test_a_restart_is_told_and_replaces_what_came_after_it(tmp_path: Path) -> None:
    later = [line.replace(b"Loss: 0.", b"Loss: 1.") for line in LINES[40:]]
    lives = [b"\n".join(lines) + b"\n" for lines in (LINES, later)]
    log = parsed(tmp_path / "a.log", b"W restarted\n".join(lives))
    assert log.restarts == (Restart(4100, 6000),) and "began again at step 4,100" in log.notes[0]
    for life, text in zip(log.lives, lives):
        assert_holds(life, parsed(tmp_path / "b.log", text).series)
    joined = b"\n".join([*LINES[:40], *later]) + b"\n"
    assert_holds(log.series, parsed(tmp_path / "b.log", joined).series)


@pytest.mark.parametrize(
    "mark", ["[rank{}]: ", "[{}]: ", "[1,{}]<stdout>:", "[default{}]:", "{}: ", "rank {} | "]
)
def test_of_marked_ranks_the_lowest_is_read_and_any_can_be(mark: str, tmp_path: Path) -> None:
    ranks = [
        [line.replace(b"Loss: 0.", b"Loss: %d." % rank) for line in LINES] for rank in range(3)
    ]
    text = b"".join(
        mark.format(rank).encode() + line + b"\n"
        for of_all in zip(*ranks)
        for rank, line in reversed(list(enumerate(of_all)))
    )
    log = parsed(tmp_path / "a.log", text)
    assert log.ranks == (0, 1, 2) and log.restarts == ()
    assert "lines of ranks 0, 1, 2; rank 0 is read" in log.notes
    for number, found in ((0, log), (2, parsed(tmp_path / "a.log", text, rank=2))):
        alone = parsed(tmp_path / "b.log", b"\n".join(ranks[number]) + b"\n")
        assert_holds(found.series, alone.series)


@pytest.mark.parametrize("order", ["in turn", "at random"])
def test_unmarked_ranks_are_no_restarts(order: str, tmp_path: Path) -> None:
    chance, ranks = random.Random(0), [list(LINES) for _ in range(4)]
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
