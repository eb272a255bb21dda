"""What depends on the step alone, as tensors: learning rates, and the seeds of draws.

So a step needs nothing from the host, and a resumed run has what an undisturbed one would have had.
"""

from __future__ import annotations

import math
from typing import Any

from common.training.flags import COSINE
from common.training.noise import stream_number
from common.training.schedule import Schedule
from common.training.tensorflow.runtime import tf


def step_seed(seed: int, step: Any, stream: str, rank: int = 0) -> Any:
    """The seed of one draw in one step, for tf.random.stateless_normal and its kin.

    Args:
        seed: the run's seed; stream, rank: see noise.stream_number.
        step: whole number tensor: the step that is under way.

    Returns:
        int32 tensor of shape (2,).
    """
    number = stream_number(seed, stream, rank)
    return tf.stack([tf.constant(number, tf.int32), tf.cast(step, tf.int32)])


def scheduled_rate(schedule: Schedule, step: Any) -> Any:
    """The rate as float32 after so many steps, a whole number tensor."""
    step = tf.cast(step, tf.float32)
    if schedule.decay == COSINE:
        way = tf.minimum(1.0, step / float(schedule.steps))
        rate = schedule.peak * 0.5 * (1.0 + tf.cos(math.pi * way))
    else:
        rate = schedule.peak * tf.pow(
            tf.constant(schedule.decay_rate, tf.float32), step / float(schedule.decay_steps)
        )
    if schedule.warmup_steps <= 0:
        return rate
    return rate * tf.minimum(1.0, step / float(schedule.warmup_steps))
