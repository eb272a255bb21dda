"""The human log of training: what is done, how fast, how long it will take."""

from __future__ import annotations

import datetime
import time
from typing import Optional


class ProgressLines:
    """Prints plain lines from the first rank, in the form that the original scripts are read by."""

    def __init__(self, steps: int, steps_per_epoch: int, epochs: int, global_batch: int,
                 speaks: bool) -> None:
        self.steps, self.steps_per_epoch, self.epochs = steps, steps_per_epoch, epochs
        self.global_batch = global_batch
        self.speaks = speaks
        self._first_step = 0
        self._began = time.time()
        self._epoch_began = time.time()
        self._smoothed: Optional[float] = None

    def say(self, text: str) -> None:
        """Prints one line at once, from the first rank only."""
        if self.speaks:
            print(text, flush=True)

    def begin(self, first_step: int) -> None:
        """Starts the clock at the step from which training goes on."""
        self._first_step = first_step
        self._began = self._epoch_began = time.time()

    def step(self, step: int, loss: float, learning_rate: float, seconds: float,
             due: bool) -> None:
        """Prints a step that is due, with images per second of the whole job and the time left."""
        self._smoothed = seconds if self._smoothed is None \
            else 0.9 * self._smoothed + 0.1 * seconds
        if not due and step != self.steps:
            return
        epoch = (step - 1) // self.steps_per_epoch
        self.say("Epoch [{}/{}], Iter [{}/{}] Loss: {:.4f} LR: {:.6g} FPS: {:.1f} ETA: {}".format(
            epoch + 1, self.epochs, step - epoch * self.steps_per_epoch, self.steps_per_epoch,
            loss, learning_rate, self.global_batch / max(1e-9, self._smoothed),
            self.time_left(step)))

    def time_left(self, step: int) -> str:
        """H:MM:SS to the last step, at the mean pace since training began."""
        pace = (time.time() - self._began) / max(1, step - self._first_step)
        return str(datetime.timedelta(seconds=int(pace * (self.steps - step))))

    def epoch(self, epoch: int, steps: int) -> None:
        """Prints time and speed of an epoch (of what this process did of it)."""
        seconds = time.time() - self._epoch_began
        self.say("the epoch {} takes time: {:.1f}".format(epoch, seconds))
        self.say("epoch {} FPS: {:.1f}".format(
            epoch, steps * self.global_batch / max(1e-9, seconds)))

    def evaluation(self, split: str, role: str, accuracy: float, n: int) -> None:
        """Prints an accuracy with the number of images behind it; restarts the epoch's clock."""
        self.say("Accuracy of the model ({} weights) on the {} {} images: {:.2f} %".format(
            "best" if role == "best" else "current", n, split, accuracy))
        self._epoch_began = time.time()
