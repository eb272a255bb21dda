"""The learning rate over the steps of a training, as data and as numbers; in a graph: of_step."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from common.training.flags import COSINE, EXPONENTIAL


@dataclasses.dataclass(frozen=True)
class Schedule:
    """The learning rate over the steps of a training; the decay is continuous.

    Attributes:
        peak: the rate after the warm-up, without decay.
        warmup_steps: in which it rises from 0; the decay goes on meanwhile. 0 for none.
        decay: EXPONENTIAL, decay_rate ** (step / decay_steps) (Locatello et al., NeurIPS 2020,
            section 4), or COSINE, a half cosine that reaches 0 after `steps` (Loshchilov and
            Hutter, ICLR 2017, equation 5, without restarts).
    """

    peak: float
    warmup_steps: int = 0
    decay: str = EXPONENTIAL
    decay_rate: float = 1.0
    decay_steps: int = 1
    steps: int = 1

    def at(self, step: int) -> float:
        """The rate of the step after so many; rounded on the way as a graph in float32 does."""
        one, done = np.float32(1), np.float32(step)
        if self.decay == COSINE:
            way = np.float32(math.pi) * min(one, done / np.float32(self.steps))
            rate = np.float32(self.peak * 0.5) * (one + np.float32(math.cos(way)))
        else:
            power = float(np.float32(self.decay_rate)) ** float(done / np.float32(self.decay_steps))
            rate = np.float32(self.peak) * np.float32(power)
        if self.warmup_steps > 0:
            rate = rate * min(one, done / np.float32(self.warmup_steps))
        return float(rate)


def rate_for_ranks(rate: float, scaled: bool, world_size: int) -> float:
    """A learning rate of Adam, where `scaled` times the square root of the number of ranks.

    Adam's step is the gradient over its root mean square; averaging over w times as many samples
    shrinks the noise by sqrt(w) (Malladi et al. 2022, arXiv 2205.10287, square root scaling).
    """
    return rate * math.sqrt(world_size) if scaled else rate
