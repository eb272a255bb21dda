"""Hooks, and the broadcast that is not of all variables (1.10)."""

from __future__ import annotations

import tensorflow.compat.v1 as tf

from npu_bridge.contract import cann
from npu_bridge.estimator.npu.npu_config import _WithoutDouble
from npu_bridge.estimator.npu.util import rank_size_of_the_environment
from npu_bridge.hccl import hccl_ops


def _broadcast(variables, root_rank):
    return tf.group(
        *[
            tf.assign(variable, hccl_ops.broadcast([variable.value()], root_rank)[0])
            for variable in variables
        ]
    )


if cann.since(1, 3):

    def broadcast_global_variables(root_rank):
        """Despite its name: the trainable variables alone."""
        return _broadcast(tf.trainable_variables(), root_rank)
else:

    def broadcast_global_variables(root_rank, index):
        """All global variables, in the oldest releases only."""
        return _broadcast(tf.global_variables(), root_rank)


class NPUBroadcastGlobalVariablesHook(tf.train.SessionRunHook):
    """Broadcasts after the session was created, so after initialising or restoring."""

    def __init__(self, root_rank=None, index=None):
        self._root_rank, self._index, self._operation = root_rank, index, None

    def begin(self):
        """Builds the operation where there are several ranks."""
        if rank_size_of_the_environment() > 1:
            more = () if cann.since(1, 3) else (self._index,)
            self._operation = broadcast_global_variables(self._root_rank, *more)

    def after_create_session(self, session, coord):
        """Runs it."""
        if self._operation is not None:
            session.run(self._operation)


class NPUBroadcastGlobalVariablesCallback(_WithoutDouble):
    """The same for Keras."""


class NPUCheckpointSaverHook(_WithoutDouble):
    """Of the estimator."""


class NPUOutputTensorHook(_WithoutDouble):
    """Of the estimator."""


class SetIterationsVarHook(_WithoutDouble):
    """Of the estimator."""


class TellMeStepOrLossHook(_WithoutDouble):
    """Of the estimator."""


class NpuEmptyHook(tf.train.SessionRunHook):
    """Does nothing."""
