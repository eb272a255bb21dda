"""Series with known truth: noise that depends on its neighbours, around a falling curve."""

from __future__ import annotations

import datetime
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
    times = seconds_a_line * (1 + (np.zeros(len(losses)) if jitter is None else jitter))
    for number, (loss, elapsed) in enumerate(zip(losses, 90.0 + np.cumsum(times)), 1):
        time = datetime.timedelta(seconds=float(elapsed))
        lines.append(f"I1119 09:26] Step: {100 * number}, Loss: {loss:.6f}, Time: {time}")
    path.write_text("\n".join(lines) + "\n")
    return path
