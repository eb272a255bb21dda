"""The soft position embedding (paper, section E.2; reference model.py SoftPositionEmbed)."""

from __future__ import annotations

import numpy as np

from common.training.tensorflow.runtime import tf


def position_grid(size: int) -> np.ndarray:
    """The grid (1, size, size, 4), float32: row, column, 1 - row, 1 - column, each in [0, 1]."""
    line = np.linspace(0.0, 1.0, num=size)
    grid = np.stack(np.meshgrid(line, line, indexing="ij"), axis=-1).astype(np.float32)
    return np.concatenate([grid, 1.0 - grid], axis=-1)[np.newaxis]


class SoftPositionEmbed(tf.keras.layers.Layer):
    """Adds a learned linear map of the position to inputs (B, size, size, channels)."""

    def __init__(self, channels: int, size: int) -> None:
        super().__init__()
        self.dense = tf.keras.layers.Dense(channels, use_bias=True)
        self.grid = position_grid(size)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns inputs + dense(grid)."""
        return inputs + self.dense(tf.constant(self.grid, dtype=inputs.dtype))
