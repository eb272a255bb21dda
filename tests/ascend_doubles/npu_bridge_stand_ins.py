"""What the tests of npu_bridge's double share: configurations, and ranks that are not there."""

from __future__ import annotations

from typing import Any

import numpy

from common.training.tensorflow.runtime import tf


def config_of(**parameters: Any) -> Any:
    """A configuration with NpuOptimizer; a parameter's field follows from the value's type."""
    config = tf.ConfigProto()
    rewriter = config.graph_options.rewrite_options
    optimizer = rewriter.custom_optimizers.add()
    optimizer.name = "NpuOptimizer"
    for name, value in parameters.items():
        field = "b" if isinstance(value, bool) else "i" if isinstance(value, int) else "s"
        setattr(
            optimizer.parameter_map[name],
            field,
            value.encode() if isinstance(value, str) else value,
        )
    rewriter.remapping = rewriter.memory_optimization = rewriter.OFF
    return config


class Echo:
    """Stands for other ranks that have what this one has."""

    def __init__(self, size: int) -> None:
        self.size, self.asked = size, []

    def exchange(self, name: str, asked: Any, value: Any) -> Any:
        self.asked.append(asked)
        return numpy.asarray(
            value * (self.size if asked == ("allreduce", "sum") else 1), value.dtype
        )

    def close(self) -> None:
        pass
