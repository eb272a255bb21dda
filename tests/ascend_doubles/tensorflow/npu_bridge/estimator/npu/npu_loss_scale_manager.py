"""Loss scales, fixed and adapting (1.9)."""

from __future__ import annotations

import tensorflow.compat.v1 as tf

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
