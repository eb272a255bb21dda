"""Seeds of draws that depend on the step and not on what was drawn before it."""

from __future__ import annotations

import hashlib
from typing import Any

from common.training.tensorflow.runtime import tf

_LARGEST = (1 << 31) - 1


def step_seed(seed: int, step: Any, stream: str, rank: int = 0) -> Any:
    """The seed of one draw in one step, for tf.random.stateless_normal and its kin.

    A resumed run draws what an uninterrupted one would have drawn.

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
