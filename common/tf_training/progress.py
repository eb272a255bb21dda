"""The human log of training: what is done, how fast, how long it will take."""

from __future__ import annotations

import datetime
import time
from typing import Mapping, Optional


def passes_multiple(before: int, after: int, every: int) -> bool:
    """Whether steps after `before`, up to `after`, hold a multiple of `every`; 0 is never."""
    return every > 0 and after // every > before // every


class ProgressLines:
    """Prints plain lines from the first rank; a step's line begins as the original port's."""

    def __init__(self, steps: int, global_batch: int, log_every: int, speaks: bool) -> None:
        self.steps, self.global_batch, self.log_every = steps, global_batch, log_every
        self.speaks = speaks
        self._first_step = 0
        self._began = time.time()
        self._smoothed: Optional[float] = None

    def say(self, text: str) -> None:
        """Prints one line at once, from the first rank only."""
        if self.speaks:
            print(text, flush=True)

    def begin(self, first_step: int) -> None:
        """Starts the clock at the step from which training goes on."""
        self._first_step = first_step
        self._began = time.time()

    def step(self, before: int, step: int, loss: float, learning_rate: float,
             seconds: float) -> None:
        """Prints a step that is due, with samples per second of the whole job and the time left.

        Args:
            before: the step that the run of the session began after.
        """
        self._smoothed = seconds if self._smoothed is None \
            else 0.9 * self._smoothed + 0.1 * seconds
        if not passes_multiple(before, step, self.log_every) and step < self.steps:
            return
        since = datetime.timedelta(seconds=time.time() - self._began)
        self.say("Step: {}, Loss: {:.6f}, Time: {}, Learning rate: {:.6g}, FPS: {:.1f}, ETA: {}"
                 .format(step, loss, since, learning_rate,
                         self.global_batch / max(1e-9, self._smoothed), self.time_left(step)))

    def time_left(self, step: int) -> str:
        """H:MM:SS to the last step, at the mean pace since training began."""
        pace = (time.time() - self._began) / max(1, step - self._first_step)
        return str(datetime.timedelta(seconds=int(pace * (self.steps - step))))

    def evaluation(self, step: int, split: str, role: str, n: int,
                   metrics: Mapping[str, float]) -> None:
        """Prints the metrics of one evaluation with the number of samples behind them."""
        self.say("Evaluation at step {} ({} weights) on {} samples of {}: {}".format(
            step, "best" if role == "best" else "current", n, split,
            ", ".join("{} {:.4f}".format(name, value) for name, value in metrics.items())))
