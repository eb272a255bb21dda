"""What the ranks of a TensorFlow job exchange, by HCCL or Horovod, and how they leave it."""

from __future__ import annotations

from typing import Any, Dict, List, Sequence, Tuple

from common.core.command_line import end_at_once
from common.training.tensorflow import horovod as tf_horovod
from common.training.tensorflow.runtime import (
    TensorFlowDevice,
    add_npu_optimizer,
    import_npu_bridge,
    tf,
)


def close_device(device: TensorFlowDevice) -> None:
    """Leaves the job at the end of the program; does nothing where there is none."""
    for session, _, _ in _SUMS.values():
        session.close()
    _SUMS.clear()
    if not device.held:
        return
    if device.held[0] == "npu":
        npu_init = import_npu_bridge()
        npu_init.shutdown_resource(*device.held[1:])
        npu_init.close_session(device.held[1])
        return
    tf_horovod.horovod_module().shutdown()
    end_at_once("horovod")  # its threads outlive the rendezvous server of rank 0


def sum_in_graph(device: TensorFlowDevice, tensor: Any, name: str) -> Any:
    """The sum of a tensor over all ranks, in the graph; itself where there is one rank."""
    if device.place.world_size == 1:
        return tensor
    if device.kind == "npu":
        return _hccl_ops().allreduce(tensor, "sum")
    horovod = tf_horovod.horovod_module()
    return horovod.allreduce(tensor, op=horovod.Sum, name=name)


def _hccl_ops() -> Any:
    import_npu_bridge()
    from npu_bridge.hccl import hccl_ops

    return hccl_ops


def mean_in_graph(device: TensorFlowDevice, tensor: Any, name: str) -> Any:
    """The mean of a tensor over all ranks, in the graph; itself where there is one rank."""
    size = device.place.world_size
    total = sum_in_graph(device, tensor, name)
    return total if size == 1 else total / tf.cast(size, total.dtype)


def broadcast_in_graph(device: TensorFlowDevice, variables: Sequence[Any]) -> Any:
    """An operation that gives every rank the first rank's values; run it after init or restore.

    Hand it all global variables: npu_bridge's own broadcast covers the trainable ones only.
    """
    if device.place.world_size == 1:
        return tf.no_op()
    return tf.group(*[variable.assign(_from_first(device, variable)) for variable in variables])


def _from_first(device: TensorFlowDevice, variable: Any) -> Any:
    value = variable.read_value()
    if device.kind == "npu":
        return _hccl_ops().broadcast([value], 0)[0]
    name = "broadcast_" + variable.op.name.replace("/", "_")
    return tf_horovod.horovod_module().broadcast(value, 0, name=name)


def sum_over_ranks(device: TensorFlowDevice, numbers: Sequence[float]) -> List[float]:
    """The sums of some numbers over all ranks, outside of training's graph.

    Every rank must call it at the same moment of its run. On an NPU the sums are float32.
    """
    if device.place.world_size == 1:
        return [float(number) for number in numbers]
    key = (device.kind, len(numbers))
    if key not in _SUMS:
        with tf.Graph().as_default() as graph:
            kind = tf.float32 if device.kind == "npu" else tf.float64
            given = tf.placeholder(kind, [len(numbers)])
            total = sum_in_graph(device, given, f"sum_over_ranks_{len(numbers)}")
            config = tf.ConfigProto(allow_soft_placement=True, device_count={"GPU": 0})
            if device.kind == "npu":  # whose own options the process has already
                add_npu_optimizer(config, {"use_off_line": True})
            _SUMS[key] = (tf.Session(graph=graph, config=config), given, total)
    session, given, total = _SUMS[key]
    return [float(value) for value in session.run(total, feed_dict={given: list(numbers)})]


# Sessions that add numbers up, with what is fed and fetched: an NPU would compile each graph anew.
_SUMS: Dict[Tuple[str, int], Tuple[Any, Any, Any]] = {}
