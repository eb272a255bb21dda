"""The human log of training, in the form that the original scripts are read by."""

from __future__ import annotations

import time

from common.training_lines import TrainingLines


class ProgressLines(TrainingLines):
    """Lines of steps, epochs and evaluations."""

    def __init__(self, steps: int, steps_per_epoch: int, epochs: int, global_batch: int,
                 speaks: bool) -> None:
        super().__init__(steps, global_batch, speaks)
        self.steps_per_epoch, self.epochs = steps_per_epoch, epochs
        self._epoch_began = time.time()

    def begin(self, first_step: int) -> None:
        """Starts the clocks at the step from which training goes on."""
        super().begin(first_step)
        self._epoch_began = time.time()

    def step(self, step: int, loss: float, learning_rate: float, seconds: float,
             due: bool) -> None:
        """Prints a step that is due, with images per second of the whole job and the time left."""
        self.follow(seconds)
        if not due and step != self.steps:
            return
        epoch = (step - 1) // self.steps_per_epoch
        self.say("Epoch [{}/{}], Iter [{}/{}] Loss: {:.4f} LR: {:.6g} FPS: {:.1f} ETA: {}".format(
            epoch + 1, self.epochs, step - epoch * self.steps_per_epoch, self.steps_per_epoch,
            loss, learning_rate, self.samples_per_second(), self.time_left(step)))

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
