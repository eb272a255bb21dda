"""What every network's human log of training shares: who speaks, how fast, how long yet."""

from __future__ import annotations

import datetime
import time
from typing import Optional


class TrainingLines:
    """Prints plain lines from the first rank, and follows the pace of training.

    Args:
        steps: of the whole training.
        global_batch: samples of a step on all ranks.
        speaks: whether this process is the first rank.
    """

    def __init__(self, steps: int, global_batch: int, speaks: bool) -> None:
        self.steps, self.global_batch, self.speaks = steps, global_batch, speaks
        self._first_step = 0
        self._began = time.time()
        self._earlier = 0.0
        self._seconds: Optional[float] = None

    def say(self, text: str) -> None:
        """Prints one line at once, from the first rank only."""
        if self.speaks:
            print(text, flush=True)

    def begin(self, first_step: int, earlier_seconds: float = 0.0) -> None:
        """Starts the clock at the step from which training goes on, after earlier lives."""
        self._first_step, self._earlier = first_step, earlier_seconds
        self._began = time.time()

    def follow(self, seconds: float) -> None:
        """Takes the seconds of one more step into the smoothed pace."""
        self._seconds = seconds if self._seconds is None else 0.9 * self._seconds + 0.1 * seconds

    def samples_per_second(self) -> float:
        """The smoothed pace of the whole job."""
        return self.global_batch / max(1e-9, self._seconds or 0.0)

    def time_trained(self) -> datetime.timedelta:
        """How long the run has trained, earlier lives included."""
        return datetime.timedelta(seconds=self._earlier + time.time() - self._began)

    def time_left(self, step: int) -> str:
        """H:MM:SS to the last step, at the mean pace since training began."""
        pace = (time.time() - self._began) / max(1, step - self._first_step)
        return str(datetime.timedelta(seconds=int(pace * (self.steps - step))))
