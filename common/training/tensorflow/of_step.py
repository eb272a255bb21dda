"""What depends on the step alone, as tensors: learning rates, and the seeds of draws.

So a step needs nothing from the host, and a resumed run has what an undisturbed one would have had.
"""

from __future__ import annotations

import hashlib
import math
from typing import Any

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


def warmup_exponential_decay(
    global_step: Any, base: float, warmup_steps: int, decay_rate: float, decay_steps: int
) -> Any:
    """base * min(1, step / warmup_steps) * decay_rate ** (step / decay_steps), as float32.

    The decay is continuous and goes on during the warm-up; the first step (0) has rate 0 where
    there is a warm-up (0 steps: none). Source: Locatello et al., NeurIPS 2020, section 4 and its
    code.
    """
    step = tf.cast(global_step, tf.float32)
    rate = base * tf.pow(tf.constant(decay_rate, tf.float32), step / float(decay_steps))
    return _warmed_up(rate, step, warmup_steps)


def warmup_cosine_decay(global_step: Any, base: float, warmup_steps: int, steps: int) -> Any:
    """base * min(1, step / warmup_steps) * (1 + cos(pi * step / steps)) / 2, as float32.

    It reaches 0 at the end of training and stays there. Source: Loshchilov and Hutter, ICLR 2017,
    equation 5, without restarts.
    """
    step = tf.cast(global_step, tf.float32)
    rate = base * 0.5 * (1.0 + tf.cos(math.pi * tf.minimum(1.0, step / float(steps))))
    return _warmed_up(rate, step, warmup_steps)


def _warmed_up(rate: Any, step: Any, warmup_steps: int) -> Any:
    return rate * tf.minimum(1.0, step / float(warmup_steps)) if warmup_steps > 0 else rate


def rate_for_ranks(rate: float, scaled: bool, world_size: int) -> float:
    """A learning rate of Adam, where `scaled` times the square root of the number of ranks.

    Adam's step is the gradient over its root mean square; averaging over w times as many samples
    shrinks the noise by sqrt(w) (Malladi et al. 2022, arXiv 2205.10287, square root scaling).
    """
    return rate * math.sqrt(world_size) if scaled else rate
