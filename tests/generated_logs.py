"""Logs of the three upstream formats, made up from a seed, with what was put into them."""

from __future__ import annotations

import dataclasses
import datetime
import random
from typing import Callable, Dict, List, Tuple

Points = List[Tuple[int, float]]

SLOT_ATTENTION, PROTOATTEND, RESIDUAL_ATTENTION = (
    "slot_attention_port",
    "protoattend_port",
    "3d_attention_net",
)


@dataclasses.dataclass
class MadeUp:
    """Lines without their ends, and the (step, value) points that are in them, by series."""

    lines: List[bytes]
    points: Dict[str, Points]

    def put(self, line: str, step: int, **values: float) -> None:
        self.lines.append(line.encode("ascii"))
        for name, value in values.items():
            self.points.setdefault(name, []).append((step, value))

    def text(self, end: bytes = b"\n") -> bytes:
        return b"".join(line + end for line in self.lines)


def loss_text(chance: random.Random) -> str:
    """A loss as such logs print it: negative, tiny, huge, no number at all."""
    kind = chance.random()
    if kind < 0.05:
        return chance.choice(["nan", "inf", "-inf", "1e-05", "-3.2e-07", "1.5e+10", "0.0", "7"])
    if kind < 0.2:
        return repr(chance.gauss(0, 1))
    return "{:.{}f}".format(chance.gauss(0.1, 1), chance.choice([4, 6]))


def slot_attention(seed: int, steps: int, first: int = 0) -> MadeUp:
    """The port of Slot Attention: a line every 100 steps, at last days after the beginning."""
    chance, made = random.Random(seed), MadeUp([], {})
    elapsed = datetime.timedelta(seconds=1)
    for step in range(first + 100, first + 100 * steps + 1, 100):
        elapsed += datetime.timedelta(seconds=chance.choice([79.7, 0.5, 40000]) * chance.random())
        loss = loss_text(chance)
        line = f"I1119 09:26:23.02 1400 train.py:125] Step: {step}, Loss: {loss}, Time: {elapsed}"
        made.put(line, step, loss=float(loss), elapsed_seconds=elapsed.total_seconds())
        if step % 1000 == 0:
            made.lines.append(b"I1119 09:26:24.1 140038154852096 train.py:132] Saved checkpoint: P")
    return made


def protoattend(seed: int, steps: int, first: int = 0) -> MadeUp:
    """The port of ProtoAttend: every step, two figures at the end."""
    chance, made = random.Random(seed), MadeUp([], {})
    for step in range(first + 1, first + steps + 1):
        loss, seconds = loss_text(chance), f"{chance.random():.4f}"
        line = f"Step : {step}----loss : {loss}----cost_time : {seconds}"
        made.put(line, step, loss=float(loss), step_seconds=float(seconds))
    made.put("min loss = -0.0123", first + steps, minimum_loss=-0.0123)
    last = {"validation_accuracy": 0.9312, "evaluation_seconds": 12.3}
    made.put("Final Val Accuracy = 0.9312 , cost_time : 12.3", first + steps, **last)
    return made


def residual_attention(seed: int, steps: int, first: int = 0) -> MadeUp:
    """The port of the Residual Attention Network: 97 steps an epoch, a line every 20."""
    chance, made = random.Random(seed), MadeUp([], {})
    best = 0.0
    for epoch in range(first // 97 + 1, first // 97 + max(1, steps // 9) + 1):
        for iteration in (20, 40, 60, 80):
            loss, step = loss_text(chance), (epoch - 1) * 97 + iteration
            line = f"Epoch [{epoch}/300], Iter [{iteration}/97] Loss: {loss}"
            made.put(line, step, loss=float(loss), epoch=epoch)
        seconds, rate = (f"{chance.random() * most:.1f}" for most in (50, 2000))
        accuracy, step = f"{chance.random() * 100:.2f}", epoch * 97
        made.put(f"the epoch {epoch} takes time: {seconds}", step, epoch_seconds=float(seconds))
        made.put(f"epoch {epoch} FPS: {rate}", step, fps=float(rate))
        line = f"Accuracy of the model(on device: 0) on the test images: {accuracy} %"
        made.put(line, step, test_accuracy=float(accuracy))
        best = max(best, float(accuracy))
        told = f"{best / 100:.4f}"
        made.put(f"current best acc, {told}", step, best_test_accuracy=float(told) * 100)
    return made


MAKERS: Dict[str, Callable[..., MadeUp]] = {
    SLOT_ATTENTION: slot_attention,
    PROTOATTEND: protoattend,
    RESIDUAL_ATTENTION: residual_attention,
}

_NOISE = [
    b"WARNING:tensorflow:From train.py:60: The name tf.random.set_random_seed is deprecated.",
    b"2021-11-19 09:24:48.433172: I tensorflow/stream_executor/dso_loader.cc:44] opened libcuda",
    b"",
    b"Instructions for updating:",
    b"name: Tesla V100-SXM2-16GB major: 7 minor: 0",
    "\u8bad\u7ec3\u5f00\u59cb Loss: \u672a\u77e5".encode("gbk"),
    b"\xff\xfe broken \xc3( text",
    b"Step: soon, Loss: falling, Time: flies",
    b"Epoch [one/300], Iter [20/97] Loss: 2.1",
    b"Step : 12----loss : ----cost_time : 0.1",
    b"the epoch takes time",
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
        kind = chance.random()
        if kind < 0.1:
            line = b"\x1b[32m" + line + b"\x1b[0m"
        elif kind < 0.2:
            line = b" 30%|###       | 30/100\r" + line
        lines.append(line)
    return MadeUp(lines, made.points)


_ODD = [b"\x1b[0m", b"9" * 40, b"1e999", b" days, ", b"{}", b"rank 3: ", b"\xb3\xcc", b"null"]


def mutated(line: bytes, lines: List[bytes], chance: random.Random) -> bytes:
    """A line, damaged: bytes changed, lost or put in, cut, doubled or run into another."""
    for _ in range(chance.choice([1, 1, 2, 5])):
        at, letter = (
            chance.randrange(len(line) + 1),
            chance.choice(b"0123456789.,-+eE :[]/\r\n%nai"),
        )
        other = chance.choice(lines)[chance.randrange(20) :]
        puts = [b"", b"", bytes([chance.randrange(256)]), bytes([letter]), line[:at], other]
        lost = chance.choice([0, 0, 1, 1, len(line)])
        line = line[:at] + chance.choice([*puts, chance.choice(_ODD)]) + line[at + lost :]
    return line
