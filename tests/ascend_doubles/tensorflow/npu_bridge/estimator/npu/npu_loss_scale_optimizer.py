"""Scales the loss, and leaves steps out whose gradients overflow (1.9)."""

from __future__ import annotations

import tensorflow.compat.v1 as tf

from npu_bridge.contract import cann
from npu_bridge.hccl import hccl_ops


class NPULossScaleOptimizer(tf.train.Optimizer):
    """compute_gradients gives unscaled gradients: clip what it returns.

    is_distributed shares the overflow flag by an allreduce, whatever the number of ranks. On chips
    that show INF and NaN the averaged gradients tell all ranks the same, and it has no effect.
    """

    def __init__(self, opt, loss_scale_manager, is_distributed=False):
        self._opt, self._manager = opt, loss_scale_manager
        self._is_distributed = is_distributed
        self._overflowed = None
        super().__init__(False, f"LossScaleOptimizer{type(opt).__name__}")

    def compute_gradients(self, loss, var_list=None, **named):
        """The gradients of the scaled loss, divided by the scale."""
        scale = self._manager.get_loss_scale()
        scaled = (lambda: loss() * scale) if callable(loss) else loss * tf.cast(scale, loss.dtype)
        pairs = self._opt.compute_gradients(scaled, var_list=var_list, **named)
        seen = [gradient for gradient, _ in pairs if gradient is not None]
        if not cann.shows_inf_and_nan():
            # The register knows of this rank's own arithmetic, before gradients are averaged.
            seen = getattr(self._opt, "own_gradients", seen)
        self._overflowed = tf.logical_not(_are_finite(seen))
        return [(_divided(gradient, scale), variable) for gradient, variable in pairs]

    def apply_gradients(self, grads_and_vars, global_step=None, name=None):
        """Applies, or skips all of it: global_step stays where it is."""
        finite = self._is_good()
        pairs = list(grads_and_vars)

        def apply():
            with tf.control_dependencies([self._opt.apply_gradients(pairs, global_step)]):
                return tf.constant(True)

        if not self._manager.get_enable_overflow_check():
            return tf.group(apply(), name=name)
        done = tf.cond(finite, apply, lambda: tf.constant(False))
        with tf.control_dependencies([done]):
            return tf.group(done, self._manager.update_loss_scale(finite), name=name)

    def _is_good(self):
        if not self._is_distributed or cann.shows_inf_and_nan():
            return tf.logical_not(self._overflowed)
        flag = hccl_ops.allreduce(tf.cast(self._overflowed, tf.float32), "sum", fusion=0)
        return tf.equal(flag, 0.0)


def _are_finite(gradients):
    return tf.reduce_all(
        [
            tf.reduce_all(
                tf.is_finite(
                    gradient.values if isinstance(gradient, tf.IndexedSlices) else gradient
                )
            )
            for gradient in gradients
        ]
    )


def _divided(gradient, scale):
    if gradient is None:
        return None
    if isinstance(gradient, tf.IndexedSlices):
        return tf.IndexedSlices(gradient.values / scale, gradient.indices, gradient.dense_shape)
    return gradient / tf.cast(scale, gradient.dtype)
