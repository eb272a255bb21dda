"""The names that programs take from npu_bridge.npu_init, with the adapter's own arguments."""

from __future__ import annotations

import tensorflow.compat.v1 as tf

from npu_bridge import graphs, sessions, util  # noqa: F401
from npu_bridge.hccl import hccl_ops  # noqa: F401
from npu_bridge.optimizers import (  # noqa: F401
    ExponentialUpdateLossScaleManager,
    FixedLossScaleManager,
    NPUDistributedOptimizer,
    NPULossScaleOptimizer,
)
from npu_bridge.process import PROCESS

_started = {}


def npu_config_proto(config_proto=None):
    """A configuration with an NpuOptimizer; one that is there keeps its memory_optimization."""
    return sessions.npu_config(config_proto)


def init_resource(config=None):
    """Initialises GE and HCCL with a session's options: (session, shutdown operation).

    The session must stay open as long as HCCL is asked for ranks.
    """
    start = graphs.mark(tf.no_op(name="InitializeSystem"), "system")
    end = graphs.mark(tf.no_op(name="ShutdownSystem"), "system")
    opened = tf.Session(config=npu_config_proto(config))
    opened.run(start)
    _started.update(rank=PROCESS.rank, size=PROCESS.size)
    return opened, end


def shutdown_resource(sess, npu_shutdown):
    """Runs the shutdown operation."""
    sess.run(npu_shutdown)


def close_session(sess):
    """Closes a session."""
    sess.close()


def get_npu_rank_id():
    """This rank, as HCCL numbers it."""
    return _value("rank")


def get_npu_rank_size():
    """How many ranks HCCL knows."""
    return _value("size")


def _value(name):
    if not _started:
        raise NameError("name '_global_dict' is not defined")  # as before init_resource
    return _started[name]


sessions.install()
