"""Optimizers that average gradients over ranks and scale the loss."""

from __future__ import annotations

import tensorflow.compat.v1 as tf

from npu_bridge.hccl import hccl_ops
from npu_bridge.process import is_first_generation
from npu_bridge.util import get_ranksize

SMALLEST = 1.0


class FixedLossScaleManager:
    """One scale; steps that overflow are skipped unless enable_overflow_check is False."""

    def __init__(self, loss_scale, enable_overflow_check=True):
        if loss_scale < 1:
            raise ValueError("loss scale must be at least 1")
        self._loss_scale = tf.convert_to_tensor(float(loss_scale), tf.float32)
        self._enable_overflow_check = enable_overflow_check

    def get_loss_scale(self):
        """The scale."""
        return self._loss_scale

    def get_enable_overflow_check(self):
        """Whether a step that overflows is skipped."""
        return self._enable_overflow_check

    def update_loss_scale(self, finite):
        """Nothing to do."""
        return tf.no_op()


class ExponentialUpdateLossScaleManager:
    """Grows after enough good steps in a row, shrinks after enough bad ones, never below 1."""

    def __init__(
        self,
        init_loss_scale,
        incr_every_n_steps,
        decr_every_n_nan_or_inf=2,
        incr_ratio=2,
        decr_ratio=0.8,
    ):
        self._incr_every, self._decr_every = incr_every_n_steps, decr_every_n_nan_or_inf
        self._incr_ratio, self._decr_ratio = float(incr_ratio), float(decr_ratio)
        self._loss_scale = _variable("loss_scale", tf.float32, float(init_loss_scale))
        self._good_steps = _variable("good_steps", tf.int32, 0)
        self._bad_steps = _variable("bad_steps", tf.int32, 0)

    def get_loss_scale(self):
        """The scale that the coming step uses."""
        return self._loss_scale.read_value()

    def get_enable_overflow_check(self):
        """Always."""
        return True

    def update_loss_scale(self, finite):
        """Counts a step as good or bad, and adapts the scale."""
        good = tf.where(finite, self._good_steps.read_value() + 1, 0)
        bad = self._bad_steps.read_value() + tf.cast(tf.logical_not(finite), tf.int32)
        grows = tf.logical_and(finite, good >= self._incr_every)
        shrinks = tf.logical_and(tf.logical_not(finite), bad >= self._decr_every)
        factor = tf.where(grows, self._incr_ratio, tf.where(shrinks, self._decr_ratio, 1.0))
        scale = tf.maximum(SMALLEST, self._loss_scale.read_value() * factor)
        changed = tf.logical_or(grows, shrinks)
        with tf.control_dependencies([scale, good, bad, changed]):
            return tf.group(
                self._loss_scale.assign(scale),
                self._good_steps.assign(tf.where(changed, 0, good)),
                self._bad_steps.assign(tf.where(changed, 0, bad)),
            )


def _variable(name, dtype, value):
    return tf.Variable(value, dtype=dtype, trainable=False, name=name, use_resource=True)


class NPUDistributedOptimizer(tf.train.Optimizer):
    """Averages in compute_gradients, where the environment's rank size is above 1 at that moment.

    It never asks HCCL: a rank size that is not exported yet gives separate trainings, silently.
    """

    def __init__(self, optimizer, is_weight_update_sharding=False, name=None):
        self._optimizer = optimizer
        super().__init__(False, name or f"Distributed{type(optimizer).__name__}")

    def compute_gradients(self, *arguments, **named):
        """The wrapped optimizer's gradients, averaged."""
        pairs = self._optimizer.compute_gradients(*arguments, **named)
        # What this rank's own float-status register would have seen.
        self.own_gradients = [gradient for gradient, _ in pairs if gradient is not None]
        size = int(get_ranksize())
        if size <= 1:
            return pairs
        return [
            (gradient if gradient is None else hccl_ops.allreduce(gradient, "sum") / size, variable)
            for gradient, variable in pairs
        ]

    def apply_gradients(self, *arguments, **named):
        """The wrapped optimizer's."""
        return self._optimizer.apply_gradients(*arguments, **named)

    def variables(self):
        """The wrapped optimizer's."""
        return self._optimizer.variables()


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
        if is_first_generation():
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
        if not self._is_distributed or not is_first_generation():
            return tf.logical_not(self._overflowed)
        flag = hccl_ops.allreduce(tf.cast(self._overflowed, tf.float32), "sum", fusion=0)
        return tf.equal(flag, 0.0)


def _are_finite(gradients):
    return tf.reduce_all([tf.reduce_all(tf.is_finite(gradient)) for gradient in gradients])


def _divided(gradient, scale):
    return None if gradient is None else gradient / tf.cast(scale, gradient.dtype)
