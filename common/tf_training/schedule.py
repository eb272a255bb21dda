"""Learning rates as tensors, so that a training step needs nothing from the host."""

from __future__ import annotations

from typing import Any

from common.tf_runtime import tf


def warmup_exponential_decay(global_step: Any, base: float, warmup_steps: int, decay_rate: float,
                             decay_steps: int) -> Any:
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
