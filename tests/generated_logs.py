"""Logs of the upstream Slot Attention port, made up from a seed, with what was put into them."""

from __future__ import annotations

import dataclasses
import datetime
import random
from typing import Dict, List, Tuple

FORMAT = "slot_attention_port"


@dataclasses.dataclass
class MadeUp:
    """Lines without their ends, and the (step, value) points that are in them, by series."""

    lines: List[bytes]
    points: Dict[str, List[Tuple[int, float]]]

    def text(self, end: bytes = b"\n") -> bytes:
        return b"".join(line + end for line in self.lines)


def made_up(seed: int, steps: int, first: int = 0) -> MadeUp:
    """A line every 100 steps, at last days after the beginning; losses of all kinds."""
    chance, made = random.Random(seed), MadeUp([], {"loss": [], "elapsed_seconds": []})
    elapsed = datetime.timedelta(seconds=1)
    for step in range(first + 100, first + 100 * steps + 1, 100):
        elapsed += datetime.timedelta(seconds=chance.choice([79.7, 0.5, 40000]) * chance.random())
        loss = chance.choice([repr(chance.gauss(0, 1)), f"{chance.gauss(0.1, 1):.6f}"])
        if chance.random() < 0.05:
            loss = chance.choice(["nan", "inf", "-inf", "1e-05", "-3.2e-07", "1.5e+10", "7"])
        line = f"I1119 09:26:23.02 1400 train.py:125] Step: {step}, Loss: {loss}, Time: {elapsed}"
        made.lines.append(line.encode("ascii"))
        made.points["loss"].append((step, float(loss)))
        made.points["elapsed_seconds"].append((step, elapsed.total_seconds()))
        if step % 1000 == 0:
            made.lines.append(b"I1119 09:26:24.1 140038154852096 train.py:132] Saved checkpoint: P")
    return made


_NOISE = [
    b"2021-11-19 09:24:48.433172: I tensorflow/stream_executor/dso_loader.cc:44] opened libcuda",
    b"",
    "\u8bad\u7ec3\u5f00\u59cb Loss: \u672a\u77e5".encode("gbk"),
    b"\xff\xfe broken \xc3( text",
    b"Step: soon, Loss: falling, Time: flies",
    b"\x00\x00\x00",
    b"\x1b[31mE1119 error in red\x1b[0m",
    b"\x1b]0;title of the window\x07 after the title",
    b" 10%|#         | 10/100 [00:01<00:09]\r 20%|##        | 20/100 [00:02<00:08]\r",
]


def with_noise(made: MadeUp, seed: int) -> MadeUp:
    """The same points between warnings, bars and broken text, some of the lines in colour."""
    chance, lines = random.Random(seed), []
    for line in made.lines:
        lines += [chance.choice(_NOISE) for _ in range(chance.choice([0, 0, 0, 1, 3]))]
        before, after = chance.choice(
            [(b"", b"")] * 8 + [(b"\x1b[32m", b"\x1b[0m"), (b" 30%\r", b"")]
        )
        lines.append(before + line + after)
    return MadeUp(lines, made.points)
