"""Series with known truth: noise that depends on its neighbours, around a falling curve."""

from __future__ import annotations

from pathlib import Path
from typing import Optional, Sequence

import numpy as np

from common.evidence.logs.series import Series


def first_order_noise(coefficient: float, count: int, runs: int, seed: int) -> np.ndarray:
    """AR(1) noise of mean 0 and variance 1 from its first value on: (runs, count)."""
    generator = np.random.RandomState(seed)
    fresh = generator.standard_normal((runs, count))
    noise = np.empty_like(fresh)
    noise[:, 0] = fresh[:, 0]
    for place in range(1, count):
        noise[:, place] = (
            coefficient * noise[:, place - 1] + np.sqrt(1 - coefficient**2) * fresh[:, place]
        )
    return noise


def series(
    values: Sequence[float], every: int = 100, name: str = "loss", first: Optional[int] = None
) -> Series:
    """A series logged every so many steps."""
    start = every if first is None else first
    steps = start + every * np.arange(len(values), dtype=np.int64)
    return Series(name, steps, np.asarray(values, np.float64))


def write_log(
    path: Path,
    losses: Sequence[float],
    seconds_a_line: float,
    jitter: Optional[np.ndarray] = None,
) -> Path:
    """Writes a log as the upstream Slot Attention port does, a line every 100 steps."""
    lines = ["WARNING:tensorflow:From train.py:60: something is deprecated."]
    elapsed = 90.0
    for number, loss in enumerate(losses):
        elapsed += seconds_a_line * (1 if jitter is None else 1 + jitter[number])
        lines.append(
            "I1119 09:26:23.028696 140038154852096 train.py:125] Step: "
            f"{100 * (number + 1)}, Loss: {loss:.6f}, "
            f"Time: {_clock(elapsed)}"
        )
        if (number + 1) % 10 == 0:
            lines.append("I1119 09:26:23.4 140038154852096 train.py:132] Saved checkpoint: PATH")
    path.write_text("\n".join(lines) + "\n")
    return path


def _clock(seconds: float) -> str:
    days, rest = divmod(seconds, 86400)
    clock = f"{int(rest // 3600)}:{int(rest // 60 % 60):02d}:{rest % 60:09.6f}"
    return "{} day{}, {}".format(int(days), "s" if days > 1 else "", clock) if days else clock
