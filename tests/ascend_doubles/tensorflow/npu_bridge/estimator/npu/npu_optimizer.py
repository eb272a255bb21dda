"""Optimizers that average gradients over ranks (1.10)."""

from __future__ import annotations

import tensorflow.compat.v1 as tf

from npu_bridge.estimator.npu.npu_config import _WithoutDouble
from npu_bridge.estimator.npu.util import rank_size_of_the_environment
from npu_bridge.hccl import hccl_ops


def _average(gradient, size):
    if gradient is None:
        return None
    if isinstance(gradient, tf.IndexedSlices):
        return tf.IndexedSlices(
            hccl_ops.allgather(gradient.values, size) / size,
            hccl_ops.allgather(gradient.indices, size),
            dense_shape=gradient.dense_shape,
        )
    return hccl_ops.allreduce(gradient, "sum") / tf.cast(size, gradient.dtype)


def npu_allreduce(values, reduction="mean", fusion=1, fusion_id=-1, group="hccl_world_group"):
    """Reduces a tensor or a list of them over all ranks; None is left alone."""
    size = rank_size_of_the_environment()
    one_by_one = values if isinstance(values, (list, tuple)) else [values]
    if size <= 1:
        return values
    reduced = [
        value
        if value is None
        else _average(value, size)
        if reduction == "mean"
        else hccl_ops.allreduce(value, reduction, fusion, fusion_id, group)
        for value in one_by_one
    ]
    return reduced if isinstance(values, (list, tuple)) else reduced[0]


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
        size = rank_size_of_the_environment()
        if size <= 1:
            return pairs
        return [(_average(gradient, size), variable) for gradient, variable in pairs]

    def apply_gradients(self, *arguments, **named):
        """The wrapped optimizer's."""
        return self._optimizer.apply_gradients(*arguments, **named)

    def get_slot(self, *arguments, **named):
        """The wrapped optimizer's."""
        return self._optimizer.get_slot(*arguments, **named)

    def get_slot_names(self, *arguments, **named):
        """The wrapped optimizer's."""
        return self._optimizer.get_slot_names(*arguments, **named)

    def variables(self, *arguments, **named):
        """The wrapped optimizer's."""
        return self._optimizer.variables(*arguments, **named)


def npu_distributed_optimizer_wrapper(optimizer):
    """Makes an optimizer average its gradients, in place."""
    original = optimizer.compute_gradients

    def compute_gradients(*arguments, **named):
        pairs, size = original(*arguments, **named), rank_size_of_the_environment()
        return (
            pairs
            if size <= 1
            else [(_average(gradient, size), variable) for gradient, variable in pairs]
        )

    optimizer.compute_gradients = compute_gradients
    return optimizer


class KerasDistributeOptimizer(_WithoutDouble):
    """The same for Keras."""


class NPUOptimizer(_WithoutDouble):
    """Distribution, loss scale and tail optimisation in one."""
