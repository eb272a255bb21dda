"""Optimizers with every default said, so that they are the same on all versions."""

from __future__ import annotations

from typing import Any

from common.training.tensorflow.runtime import tf


def adam(
    learning_rate: Any, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8
) -> Any:
    """Adam with "epsilon hat", as TensorFlow and Keras do it.

    The update is rate * sqrt(1 - beta2^t) / (1 - beta1^t) * m / (sqrt(v) + epsilon).
    Source: Kingma and Ba, ICLR 2015, the form before section 2.1.

    Args:
        learning_rate: a number or a scalar tensor.
    """
    return tf.train.AdamOptimizer(
        learning_rate=learning_rate,
        beta1=beta1,
        beta2=beta2,
        epsilon=epsilon,
        use_locking=False,
        name="Adam",
    )
