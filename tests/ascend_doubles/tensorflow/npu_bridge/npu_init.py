"""What programs import with a star: TensorFlow's own names are among the public ones (1.2)."""

# ruff: noqa: F401
from __future__ import annotations

import os

import tensorflow.compat.v1 as tf
from hccl.manage.api import (
    create_group,
    destroy_group,
    get_group_rank_from_world_rank,
    get_local_rank_id,
    get_local_rank_size,
    get_rank_id,
    get_rank_size,
    get_world_rank_from_group_rank,
)
from hccl.split.api import set_split_strategy_by_idx, set_split_strategy_by_size
from tensorflow.core.protobuf import config_pb2, rewriter_config_pb2
from tensorflow.core.protobuf.rewriter_config_pb2 import RewriterConfig
from tensorflow.python.client import session
from tensorflow.python.training import session_run_hook

from npu_bridge.contract import cann as _cann
from npu_bridge.contract import sessions as _sessions
from npu_bridge.estimator import npu_ops, npu_unary_ops
from npu_bridge.estimator.npu import (
    keras_to_npu,
    npu_plugin,
    npu_rnn,
    npu_scope,
    npu_strategy,
    util,
)
from npu_bridge.estimator.npu.npu_config import (
    DumpConfig,
    DynamicInputConfig,
    MemoryConfig,
    NPURunConfig,
    ProfilingConfig,
)
from npu_bridge.estimator.npu.npu_estimator import NPUEstimator, NPUEstimatorSpec
from npu_bridge.estimator.npu.npu_hook import (
    NPUBroadcastGlobalVariablesHook,
    NPUCheckpointSaverHook,
    NpuEmptyHook,
    NPUOutputTensorHook,
    SetIterationsVarHook,
    TellMeStepOrLossHook,
)
from npu_bridge.estimator.npu.npu_loss_scale_manager import (
    ExponentialUpdateLossScaleManager,
    FixedLossScaleManager,
)
from npu_bridge.estimator.npu.npu_loss_scale_optimizer import NPULossScaleOptimizer
from npu_bridge.estimator.npu.npu_optimizer import (
    KerasDistributeOptimizer,
    NPUDistributedOptimizer,
    NPUOptimizer,
)
from npu_bridge.hccl import hccl_ops

if _cann.since(1, 5):
    from npu_bridge.estimator.npu.npu_hook import NPUBroadcastGlobalVariablesCallback
    from npu_bridge.estimator.npu.npu_optimizer import (
        npu_allreduce,
        npu_distributed_optimizer_wrapper,
    )

backend = tf.keras.backend


def npu_config_proto(config_proto=None):
    """A configuration with an NpuOptimizer; one that is there keeps its memory_optimization."""
    return _sessions.npu_config(config_proto)


def npu_graph_options(graph_options=None):
    """Turns global_jit off, and nothing else."""
    graph_options = graph_options or tf.GraphOptions()
    graph_options.optimizer_options.global_jit_level = tf.OptimizerOptions.OFF
    return graph_options


def npu_optimizer_options(optimizer_options=None):
    """Turns global_jit off, and nothing else."""
    optimizer_options = optimizer_options or tf.OptimizerOptions()
    optimizer_options.global_jit_level = tf.OptimizerOptions.OFF
    return optimizer_options


def npu_hooks_append(hooks_list=()):
    """Adds the broadcast hook; what is no list is thrown away."""
    hooks = hooks_list if isinstance(hooks_list, list) else []
    hooks.append(NPUBroadcastGlobalVariablesHook(0, int(os.getenv("RANK_ID", "0"))))
    return hooks


def npu_keras_optimizer(opt):
    """Wraps a Keras optimizer."""
    return KerasDistributeOptimizer(opt)


def npu_tf_optimizer(opt):
    """Wraps an optimizer of tf.train."""
    return NPUDistributedOptimizer(opt)


def set_keras_session_npu_config(config=None):
    """Gives Keras a configured session."""
    keras_session = tf.Session(config=npu_config_proto(config))
    tf.keras.backend.set_session(keras_session)
    return keras_session


def npu_clear_session(config=None):
    """Clears Keras' session and gives it a configured one."""
    tf.keras.backend.clear_session()
    return set_keras_session_npu_config(config)


def init_resource(config=None):
    """Initialises GE and HCCL with a session's options: (session, shutdown operation).

    The session must stay open as long as HCCL is asked for ranks.
    """
    util.global_dict_init()
    start, end = npu_ops.initialize_system(), npu_ops.shutdown_system()
    opened = tf.Session(config=npu_config_proto(config))
    opened.run(start)
    for name, ask in (
        ("npu_rank_id", get_rank_id),
        ("npu_local_rank_id", get_local_rank_id),
        ("npu_rank_size", get_rank_size),
        ("npu_local_rank_size", get_local_rank_size),
    ):
        util.set_value(name, ask())
    return opened, end


def shutdown_resource(sess, npu_shutdown):
    """Runs the shutdown operation."""
    sess.run(npu_shutdown)


def close_session(sess):
    """Closes a session."""
    sess.close()


def get_npu_rank_id():
    """What init_resource stored; NameError before it."""
    return util.get_value("npu_rank_id", 0)


def get_npu_local_rank_id():
    """What init_resource stored; NameError before it."""
    return util.get_value("npu_local_rank_id", 0)


def get_npu_rank_size():
    """What init_resource stored; NameError before it."""
    return util.get_value("npu_rank_size", 1)


def get_npu_local_rank_size():
    """What init_resource stored; NameError before it."""
    return util.get_value("npu_local_rank_size", 1)


_sessions.install()
