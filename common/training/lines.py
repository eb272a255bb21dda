"""The human log of training; a step's line begins as the original ports'."""

from __future__ import annotations

import contextlib
import datetime
import textwrap
import time
from pathlib import Path
from typing import Mapping, NamedTuple, Optional, Sequence

LONGEST_LINE = 139


def passes_multiple(before: int, after: int, every: int) -> bool:
    """Whether steps after `before`, up to `after`, hold a multiple of `every`; 0 is never."""
    return every > 0 and after // every > before // every


class Pace(NamedTuple):
    """A step as its line tells it: samples per second on all ranks, H:MM:SS trained and left."""

    step: int
    loss: float
    learning_rate: float
    samples_per_second: float
    trained: str
    left: str


class TrainingLines:
    """Lines of steps, epochs and evaluations; a network may word its own.

    Args:
        steps: of the whole training; steps_per_epoch: of one pass over the data.
        global_batch: samples of a step on all ranks.
        speaks: whether this process is the first rank, which alone prints.
    """

    def __init__(
        self, steps: int, steps_per_epoch: int, global_batch: int, log_every: int, speaks: bool
    ) -> None:
        self.steps, self.steps_per_epoch = steps, max(1, steps_per_epoch)
        self.global_batch, self.log_every, self.speaks = global_batch, log_every, speaks
        self.log: Optional[Path] = None  # gets every line too, where no launcher keeps them
        self._seconds: Optional[float] = None
        self.begin(0)

    def say(self, text: str) -> None:
        """Prints one line at once."""
        if not self.speaks:
            return
        print(text, flush=True)
        if self.log is not None:
            with contextlib.suppress(OSError), open(str(self.log), "a", encoding="utf-8") as log:
                log.write(text + "\n")

    def begin(self, first_step: int, earlier_seconds: float = 0.0) -> None:
        """Starts the clock at the step from which training goes on, after earlier lives."""
        self._first_step, self._earlier = first_step, earlier_seconds
        self._began = self._epoch_began = time.time()

    def step(
        self, before: int, step: int, loss: float, learning_rate: float, seconds: float
    ) -> None:
        """Prints a step that is due, or the last.

        Args:
            before: the step that the run of the engine began after.
        """
        self._seconds = seconds if self._seconds is None else 0.9 * self._seconds + 0.1 * seconds
        if not passes_multiple(before, step, self.log_every) and step < self.steps:
            return
        elapsed = time.time() - self._began
        left = elapsed / max(1, step - self._first_step) * (self.steps - step)
        self.say(
            self.step_text(
                Pace(
                    step,
                    loss,
                    learning_rate,
                    self.global_batch / max(1e-9, self._seconds),
                    str(datetime.timedelta(seconds=self._earlier + elapsed)),
                    str(datetime.timedelta(seconds=int(left))),
                )
            )
        )

    def epoch(self, epoch: int, steps: int) -> None:
        """Prints what there is to say of an epoch, of which this process did so many steps."""
        seconds = time.time() - self._epoch_began
        for line in self.epoch_text(epoch, seconds, steps * self.global_batch / max(1e-9, seconds)):
            self.say(line)

    def evaluation(
        self, step: int, split: str, role: str, n: int, metrics: Mapping[str, float]
    ) -> None:
        """Prints the metrics of one evaluation; restarts the epoch's clock."""
        weights = "best" if role == "best" else "current"
        self.say(self.evaluation_text(step, split, weights, n, metrics))
        self._epoch_began = time.time()

    # --- wording ---

    def step_text(self, pace: Pace) -> str:
        """The line of a step."""
        return (
            f"Step: {pace.step}, Loss: {pace.loss:.6f}, Time: {pace.trained}, Learning "
            f"rate: {pace.learning_rate:.6g}, FPS: {pace.samples_per_second:.1f}, ETA: {pace.left}"
        )

    def epoch_text(self, epoch: int, seconds: float, samples_per_second: float) -> Sequence[str]:
        """The lines of an epoch."""
        return []

    def evaluation_text(
        self, step: int, split: str, weights: str, n: int, metrics: Mapping[str, float]
    ) -> str:
        """The line of an evaluation, with the number of samples behind it; more lines of many."""
        head = f"Evaluation at step {step} ({weights} weights) on {n} samples of {split}: "
        shown = ", ".join(f"{name}\xa0{value:.4f}" for name, value in metrics.items())
        lines = textwrap.wrap(shown, max(20, LONGEST_LINE - len(head)), break_on_hyphens=False)
        told = [head + line.rstrip(",").replace("\xa0", " ") for line in lines]
        return "\n".join(told or [head])
