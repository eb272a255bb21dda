"""What depends on the step alone, as tensors: learning rates, and the seeds of draws.

So a step needs nothing from the host, and a resumed run has what an undisturbed one would have had.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from typing import Any

from common.training.flags import COSINE, EXPONENTIAL
from common.training.tensorflow.runtime import tf

_LARGEST = (1 << 31) - 1


def step_seed(seed: int, step: Any, stream: str, rank: int = 0) -> Any:
    """The seed of one draw in one step, for tf.random.stateless_normal and its kin.

    Args:
        seed: the run's seed.
        step: whole number tensor: the step that is under way.
        stream: names the draw; two draws of a step need two names.
        rank: ranks draw differently.

    Returns:
        int32 tensor of shape (2,).
    """
    text = f"{seed}/{rank}/{stream}".encode()
    number = int.from_bytes(hashlib.sha256(text).digest()[:4], "big") & _LARGEST
    return tf.stack([tf.constant(number, tf.int32), tf.cast(step, tf.int32)])


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

    def rate(self, step: Any) -> Any:
        """The rate as float32 after so many steps, a whole number tensor."""
        step = tf.cast(step, tf.float32)
        if self.decay == COSINE:
            way = tf.minimum(1.0, step / float(self.steps))
            rate = self.peak * 0.5 * (1.0 + tf.cos(math.pi * way))
        else:
            rate = self.peak * tf.pow(
                tf.constant(self.decay_rate, tf.float32), step / float(self.decay_steps)
            )
        if self.warmup_steps <= 0:
            return rate
        return rate * tf.minimum(1.0, step / float(self.warmup_steps))


def rate_for_ranks(rate: float, scaled: bool, world_size: int) -> float:
    """A learning rate of Adam, where `scaled` times the square root of the number of ranks.

    Adam's step is the gradient over its root mean square; averaging over w times as many samples
    shrinks the noise by sqrt(w) (Malladi et al. 2022, arXiv 2205.10287, square root scaling).
    """
    return rate * math.sqrt(world_size) if scaled else rate
