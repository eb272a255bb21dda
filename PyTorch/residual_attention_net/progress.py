"""The human log of training, in the form that the original scripts are read by."""

from __future__ import annotations

import time

from common.training.lines import TrainingLines


class ProgressLines(TrainingLines):
    """Lines of steps, epochs and evaluations."""

    def __init__(
        self, steps: int, steps_per_epoch: int, epochs: int, global_batch: int, speaks: bool
    ) -> None:
        super().__init__(steps, global_batch, speaks)
        self.steps_per_epoch, self.epochs = steps_per_epoch, epochs
        self._epoch_began = time.time()

    def begin(self, first_step: int) -> None:
        """Starts the clocks at the step from which training goes on."""
        super().begin(first_step)
        self._epoch_began = time.time()

    def step(self, step: int, loss: float, learning_rate: float, seconds: float, due: bool) -> None:
        """Prints a step that is due, with images per second of the whole job and the time left."""
        self.follow(seconds)
        if not due and step != self.steps:
            return
        epoch = (step - 1) // self.steps_per_epoch
        self.say(
            f"Epoch [{epoch + 1}/{self.epochs}], Iter "
            f"[{step - epoch * self.steps_per_epoch}/{self.steps_per_epoch}] Loss: "
            f"{loss:.4f} LR: {learning_rate:.6g} FPS: {self.samples_per_second():.1f} "
            f"ETA: {self.time_left(step)}"
        )

    def epoch(self, epoch: int, steps: int) -> None:
        """Prints time and speed of an epoch (of what this process did of it)."""
        seconds = time.time() - self._epoch_began
        self.say(f"the epoch {epoch} takes time: {seconds:.1f}")
        self.say(f"epoch {epoch} FPS: {steps * self.global_batch / max(1e-9, seconds):.1f}")

    def evaluation(self, split: str, role: str, accuracy: float, n: int) -> None:
        """Prints an accuracy with the number of images behind it; restarts the epoch's clock."""
        self.say(
            "Accuracy of the model ({} weights) on the {} {} images: {:.2f} %".format(
                "best" if role == "best" else "current", n, split, accuracy
            )
        )
        self._epoch_began = time.time()
