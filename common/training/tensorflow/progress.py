"""The human log of training; a step's line begins as the original ports'."""

from __future__ import annotations

from typing import Mapping

from common.training.lines import TrainingLines


def passes_multiple(before: int, after: int, every: int) -> bool:
    """Whether steps after `before`, up to `after`, hold a multiple of `every`; 0 is never."""
    return every > 0 and after // every > before // every


class ProgressLines(TrainingLines):
    """Lines of steps and evaluations."""

    def __init__(self, steps: int, global_batch: int, log_every: int, speaks: bool) -> None:
        super().__init__(steps, global_batch, speaks)
        self.log_every = log_every

    def step(
        self, before: int, step: int, loss: float, learning_rate: float, seconds: float
    ) -> None:
        """Prints a step that is due, with samples per second of the whole job and the time left.

        Args:
            before: the step that the run of the session began after.
        """
        self.follow(seconds)
        if not passes_multiple(before, step, self.log_every) and step < self.steps:
            return
        self.say(
            f"Step: {step}, Loss: {loss:.6f}, Time: {self.time_trained()}, Learning "
            f"rate: {learning_rate:.6g}, FPS: {self.samples_per_second():.1f}, ETA: "
            f"{self.time_left(step)}"
        )

    def evaluation(
        self, step: int, split: str, role: str, n: int, metrics: Mapping[str, float]
    ) -> None:
        """Prints the metrics of one evaluation with the number of samples behind them."""
        self.say(
            "Evaluation at step {} ({} weights) on {} samples of {}: {}".format(
                step,
                "best" if role == "best" else "current",
                n,
                split,
                ", ".join(f"{name} {value:.4f}" for name, value in metrics.items()),
            )
        )
