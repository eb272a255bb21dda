"""The training loss: three cross-entropies, sparsity, and what regularises the weights."""

from __future__ import annotations

from typing import Any, NamedTuple

from common.training.tensorflow.runtime import tf


class Losses(NamedTuple):
    """Scalars: of own values, of the prototypes' mix, of both together, and the sparsity term."""

    own: Any
    mixed: Any
    joint: Any
    sparsity: Any

    def total(self, sparsity_weight: float) -> Any:
        """What is minimised, without the penalty on weights (paper, equations 6 and 7)."""
        return self.own + self.mixed + self.joint + sparsity_weight * self.sparsity


def cross_entropy(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Mean cross-entropy of logits (B, classes) against labels (B,)."""
    return tf.reduce_mean(
        tf.nn.sparse_softmax_cross_entropy_with_logits(logits=logits, labels=labels)
    )


def sparsity(weights: tf.Tensor, epsilon: float) -> tf.Tensor:
    """Mean entropy of attention weights (B, C) less the largest there can be: at most about 0.

    Source: the paper's equation 5, reference main_protoattend.py.
    """
    count = weights.shape.as_list()[-1]
    entropy = -tf.reduce_sum(weights * tf.log(epsilon + weights), axis=-1)
    return tf.reduce_mean(entropy) - tf.log(tf.constant(epsilon + count, weights.dtype))


def kernel_penalty(network: Any, weight: float) -> tf.Tensor:
    """`weight` times half the sum of squares of the encoder's convolution kernels."""
    kernels = [
        variable
        for variable in network.encoder.trainable_weights
        if len(variable.shape.as_list()) == 4
    ]
    return weight * tf.add_n([tf.nn.l2_loss(kernel) for kernel in kernels])
