"""Learning rates as tensors, so that a training step needs nothing from the host."""

from __future__ import annotations

import math
from typing import Any

from common.training.tensorflow.runtime import tf


def warmup_exponential_decay(
    global_step: Any, base: float, warmup_steps: int, decay_rate: float, decay_steps: int
) -> Any:
    """base * min(1, step / warmup_steps) * decay_rate ** (step / decay_steps), as float32.

    The decay is continuous and goes on during the warm-up; the first step (0) has rate 0 where
    there is a warm-up. Source: Locatello et al., NeurIPS 2020, section 4 and its code.

    Args:
        global_step: whole number tensor, steps already done.
        warmup_steps: 0 for none.
    """
    step = tf.cast(global_step, tf.float32)
    rate = base * tf.pow(tf.constant(decay_rate, tf.float32), step / float(decay_steps))
    if warmup_steps <= 0:
        return rate
    return rate * tf.minimum(1.0, step / float(warmup_steps))


def warmup_cosine_decay(global_step: Any, base: float, warmup_steps: int, steps: int) -> Any:
    """base * min(1, step / warmup_steps) * (1 + cos(pi * step / steps)) / 2, as float32.

    It reaches 0 at the end of training and stays there. Source: Loshchilov and Hutter, ICLR 2017,
    equation 5, without restarts.

    Args:
        global_step: whole number tensor, steps already done.
        warmup_steps: 0 for none.
        steps: of the whole training.
    """
    step = tf.cast(global_step, tf.float32)
    rate = base * 0.5 * (1.0 + tf.cos(math.pi * tf.minimum(1.0, step / float(steps))))
    if warmup_steps <= 0:
        return rate
    return rate * tf.minimum(1.0, step / float(warmup_steps))


def rate_for_ranks(rate: float, scaled: bool, world_size: int) -> float:
    """A learning rate of Adam, where `scaled` times the square root of the number of ranks.

    Adam's step is the gradient over its root mean square; averaging over w times as many samples
    shrinks the noise by sqrt(w) (Malladi et al. 2022, arXiv 2205.10287, square root scaling).
    """
    return rate * math.sqrt(world_size) if scaled else rate
