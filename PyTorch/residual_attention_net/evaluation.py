"""Accuracy and loss over a whole split, the same number on every rank."""

from __future__ import annotations

import dataclasses
from typing import Callable, ContextManager, List, Mapping, Optional, Sequence

import torch
from torch.nn import functional

from common.training.lines import Pace, TrainingLines
from common.training.run import Evaluation
from common.training.torch.ranks import sum_over_ranks
from residual_attention_net.data.loader import EvaluationLoader
from residual_attention_net.network.model import ResidualAttentionNetwork, evaluating


@dataclasses.dataclass(frozen=True)
class Accuracy:
    """What a split gave: accuracy in percent, mean loss, n samples, accuracy per class."""

    n: int
    accuracy: float
    loss: float
    per_class: List[float]

    def told(self, split: str) -> Evaluation:
        """As events and tables have it; the best weights are the most accurate, of equals the ones
        of the least loss."""
        return Evaluation(
            split,
            self.n,
            {"accuracy": round(self.accuracy, 4), "loss": round(self.loss, 6)},
            score=(self.accuracy, -self.loss),
            chosen_by="validation_accuracy",
        )


def evaluate(
    model: ResidualAttentionNetwork,
    loader: EvaluationLoader,
    device: torch.device,
    forward_context: Callable[[], ContextManager[None]],
    heartbeat: Optional[Callable[[], None]] = None,
) -> Accuracy:
    """Evaluates a network on this rank's share, adds the counts of all ranks up.

    Args:
        loader: of a padded batch only the first `valid` samples count.
        forward_context: autocast, as in training.
        heartbeat: called after every batch, so that a watcher sees that it goes on.
    """
    num_classes = model.num_classes
    counts = torch.zeros(2, num_classes, dtype=torch.float32, device=device)
    loss_sum = torch.zeros((), dtype=torch.float32, device=device)
    with evaluating(model), torch.no_grad():
        for batch in loader.batches():
            with forward_context():
                logits = model(batch.inputs)
            loss_sum += _count(logits.float(), batch.targets, batch.valid, counts)
            if heartbeat is not None:
                heartbeat()
    totals = sum_over_ranks(counts.reshape(-1).tolist() + [float(loss_sum)], device)
    right, seen = totals[:num_classes], totals[num_classes : 2 * num_classes]
    n = int(round(sum(seen)))
    return Accuracy(
        n=n,
        accuracy=100.0 * sum(right) / max(1, n),
        loss=totals[-1] / max(1, n),
        per_class=[
            100.0 * part / whole if whole else float("nan") for part, whole in zip(right, seen)
        ],
    )


def _count(
    logits: torch.Tensor, targets: torch.Tensor, valid: int, counts: torch.Tensor
) -> torch.Tensor:
    """Adds right decisions and samples per class to counts (2, classes); returns the loss sum.

    What fills the last batch up is multiplied by 0 and not cut off: another shape would have every
    operation compiled again on an Ascend 910A.
    """
    counted = (torch.arange(len(targets), device=targets.device) < valid).to(counts.dtype)
    right = (logits.argmax(1) == targets).to(counts.dtype)
    counts[0].index_add_(0, targets, right * counted)
    counts[1].index_add_(0, targets, counted)
    return (functional.cross_entropy(logits, targets, reduction="none") * counted).sum()


class AccuracyLines(TrainingLines):
    """The human log in the form that the original scripts are read by."""

    def step_text(self, pace: Pace) -> str:
        epoch = (pace.step - 1) // self.steps_per_epoch
        return (
            f"Epoch [{epoch + 1}/{-(-self.steps // self.steps_per_epoch)}], Iter "
            f"[{pace.step - epoch * self.steps_per_epoch}/{self.steps_per_epoch}] Loss: "
            f"{pace.loss:.4f} LR: {pace.learning_rate:.6g} FPS: {pace.samples_per_second:.1f} "
            f"ETA: {pace.left}"
        )

    def epoch_text(self, epoch: int, seconds: float, samples_per_second: float) -> Sequence[str]:
        return [
            f"the epoch {epoch} takes time: {seconds:.1f}",
            f"epoch {epoch} FPS: {samples_per_second:.1f}",
        ]

    def evaluation_text(
        self, step: int, split: str, weights: str, n: int, metrics: Mapping[str, float]
    ) -> str:
        return (
            f"Accuracy of the model ({weights} weights) on the {n} {split} images: "
            f"{metrics['accuracy']:.2f} %"
        )
