"""The training recipes: what is chosen about optimisation and augmentation, as data."""

from __future__ import annotations

import dataclasses
import math
from typing import Dict, Tuple


@dataclasses.dataclass(frozen=True)
class Recipe:
    """One way to train.

    Attributes:
        learning_rate: at a global batch of `base_batch`; scaled_learning_rate gives it at another.
        schedule: "milestones" (divided by 10 at `milestones`), "cosine" or "linear" (down to 0).
        milestones: shares of all optimizer steps, so that they fire for every number of epochs.
        warmup_epochs: epochs of linear warm-up; with a scaled learning rate at least 5.
        decay_norms_and_biases: whether weight decay applies to vectors as it does to matrices.
        mixup_free_share: the last share of epochs that is trained without mixup.
        label_smoothing: the share of the target that is spread over all classes.
        whitened_stem: whether the first convolution begins as network/whitening.py says.
    """

    name: str
    learning_rate: float
    base_batch: int
    momentum: float = 0.9
    weight_decay: float = 5e-4
    decay_norms_and_biases: bool = False
    schedule: str = "linear"
    milestones: Tuple[float, ...] = ()
    warmup_epochs: float = 5
    crop_padding: int = 4
    flip: bool = True
    cutout_size: int = 0
    mixup_alpha: float = 0.0
    mixup_free_share: float = 0.0
    label_smoothing: float = 0.0
    whitened_stem: bool = False


_REFERENCE = Recipe(
    name="reference",
    learning_rate=0.1,
    base_batch=64,
    weight_decay=1e-4,
    decay_norms_and_biases=True,
    schedule="milestones",
    milestones=(0.3, 0.6, 0.9),
    warmup_epochs=0,
)

RECIPES: Dict[str, Recipe] = {
    "reference": _REFERENCE,
    # The reference's published 96.65 %: mixup in the first 300 of 320 epochs.
    "reference_mixup": dataclasses.replace(
        _REFERENCE, name="reference_mixup", mixup_alpha=1.0, mixup_free_share=20 / 320
    ),
    # After a Gluon port's published 97.14 %, for hundreds of epochs; not measured here yet.
    "long": Recipe(
        name="long",
        learning_rate=0.2,
        base_batch=256,
        schedule="cosine",
        cutout_size=16,
        mixup_alpha=1.0,
        mixup_free_share=0.07,
    ),
    # For trainings of tens of epochs; the trials behind it stand in docs/recipes.md.
    "modern": Recipe(
        name="modern",
        learning_rate=0.1,
        base_batch=128,
        crop_padding=3,
        label_smoothing=0.1,
        whitened_stem=True,
    ),
}

SCALED_WARMUP_EPOCHS = 5
LINEAR_SCALING_LIMIT = 8.0


def mixup_epochs(recipe: Recipe, epochs: int) -> int:
    """The epochs trained with mixup: all but the recipe's last share."""
    return epochs - int(round(epochs * recipe.mixup_free_share))


def learning_rate_factor(global_batch: int, base_batch: int) -> float:
    """The stated rule for a larger global batch, after Goyal et al., arXiv 1706.02677, section 2.

    Linear in the batch up to eight times the base batch, with the square root beyond, where the
    linear rule is known to break; a smaller batch keeps the base learning rate.
    """
    ratio = max(1.0, global_batch / float(base_batch))
    linear = min(ratio, LINEAR_SCALING_LIMIT)
    return linear * math.sqrt(ratio / linear)


@dataclasses.dataclass(frozen=True)
class Schedule:
    """The learning rate as a pure function of the step, so that resuming needs no state."""

    peak: float
    total_steps: int
    warmup_steps: int
    milestones: Tuple[float, ...]
    shape: str = "cosine"

    def at(self, step: int) -> float:
        """The learning rate of an optimizer step, counted from 0."""
        if step < self.warmup_steps:
            return self.peak * (step + 1) / float(self.warmup_steps)
        if self.milestones:
            passed = [milestone_step(share, self.total_steps) <= step for share in self.milestones]
            return float(self.peak * 0.1 ** sum(passed))
        span = max(1, self.total_steps - self.warmup_steps)
        done = min(1.0, (step - self.warmup_steps) / float(span))
        if self.shape == "linear":
            return self.peak * (1.0 - done)
        return self.peak * 0.5 * (1.0 + math.cos(math.pi * done))


def milestone_step(share: float, total_steps: int) -> int:
    """The first step after a share of all steps, counted in thousandths: no float is compared."""
    return -(-int(round(share * 1000)) * total_steps // 1000)


def make_schedule(
    recipe: Recipe, global_batch: int, steps_per_epoch: int, total_steps: int, scale: bool
) -> Schedule:
    """The learning-rate schedule of a run.

    Args:
        global_batch: samples in one optimizer step of the whole job.
        scale: whether learning_rate_factor and its warm-up apply.
    """
    factor = learning_rate_factor(global_batch, recipe.base_batch) if scale else 1.0
    epochs = max(recipe.warmup_epochs, SCALED_WARMUP_EPOCHS if factor > 1.0 else 0)
    warmup = min(int(round(epochs * steps_per_epoch)), total_steps // 5)
    return Schedule(
        peak=recipe.learning_rate * factor,
        total_steps=total_steps,
        warmup_steps=warmup,
        milestones=recipe.milestones,
        shape=recipe.schedule,
    )
