"""Accuracy and loss over a whole split, the same number on every rank."""

from __future__ import annotations

import dataclasses
from typing import Callable, ContextManager, Dict, List, Optional

import torch
from torch import nn
from torch.nn import functional

from residual_attention_net.distributed import sum_over_ranks
from residual_attention_net.network.model import evaluating


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What a split gave: accuracy in percent, mean loss, n samples, accuracy per class."""

    n: int
    accuracy: float
    loss: float
    per_class: List[float]

    def metrics(self) -> Dict[str, float]:
        """The numbers that go into events and tables."""
        return {"accuracy": round(self.accuracy, 4), "loss": round(self.loss, 6)}


def evaluate(
    model: nn.Module,
    loader: object,
    device: torch.device,
    num_classes: int,
    forward_context: Callable[[], ContextManager[None]],
    heartbeat: Optional[Callable[[], None]] = None,
) -> Evaluation:
    """Evaluates a network on this rank's share, adds the counts of all ranks up.

    Args:
        loader: an EvaluationLoader; of a padded batch only the first `valid` samples count.
        forward_context: autocast, as in training.
        heartbeat: called after every batch, so that a watcher sees that it goes on.
    """
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
    return _summary(totals, num_classes)


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


def _summary(totals: List[float], num_classes: int) -> Evaluation:
    right, seen = totals[:num_classes], totals[num_classes : 2 * num_classes]
    n = int(round(sum(seen)))
    return Evaluation(
        n=n,
        accuracy=100.0 * sum(right) / max(1, n),
        loss=totals[-1] / max(1, n),
        per_class=[
            100.0 * part / whole if whole else float("nan") for part, whole in zip(right, seen)
        ],
    )
