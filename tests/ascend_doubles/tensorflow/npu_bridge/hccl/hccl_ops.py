"""Collective operations of the graph."""

from __future__ import annotations

import tensorflow.compat.v1 as tf

from npu_bridge.graphs import mark
from npu_bridge.process import PROCESS

WORLD = "hccl_world_group"
REDUCTIONS = ("sum", "prod", "max", "min")


def allreduce(tensor, reduction, fusion=1, fusion_id=-1, group=WORLD):
    """The same on every rank; there is no mean."""
    if reduction not in REDUCTIONS:
        raise ValueError(f"reduction {reduction!r} is not one of {REDUCTIONS}")
    return _exchange(tensor, "HcomAllReduce", ("allreduce", reduction))


def broadcast(tensor, root_rank, fusion=2, fusion_id=0, group=WORLD):
    """The root's tensors, given and returned as a list."""
    if not isinstance(tensor, (list, tuple)):
        raise TypeError("broadcast takes a list of tensors")
    return [_exchange(one, "HcomBroadcast", ("broadcast", root_rank)) for one in tensor]


def _exchange(tensor, name, asked):
    tensor = tf.convert_to_tensor(tensor)
    label = []

    def run(value):
        return PROCESS.collective.exchange(label[0], asked, value)

    result = tf.py_func(run, [tensor], tensor.dtype, stateful=True, name=name)
    result = result[0] if isinstance(result, (list, tuple)) else result
    mark(result.op, "hccl")
    label.append(result.op.name)
    result.set_shape(tensor.shape)
    return result
