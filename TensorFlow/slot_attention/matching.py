"""The cheapest matching between targets and predictions."""

from __future__ import annotations

import numpy as np

from common.training.tensorflow.runtime import tf


def best_matching(costs: np.ndarray) -> np.ndarray:
    """Marks the pairs of the cheapest one-to-one matching of each image.

    Args:
        costs: (B, N, K).

    Returns:
        0 or 1, of the costs' type and shape; min(N, K) pairs an image. Costs that are no numbers
        (a network that diverged) give no pairs, so that the loss is what reports it.
    """
    # Here, since object discovery has no use for it and it takes memory.
    from scipy.optimize import linear_sum_assignment

    chosen = np.zeros_like(costs)
    for image, cost in enumerate(costs):
        if np.all(np.isfinite(cost)):
            chosen[(image,) + linear_sum_assignment(cost)] = 1
    return chosen


def match_on_host(costs: tf.Tensor) -> tf.Tensor:
    """best_matching as an operation of the graph; it runs on the host."""
    chosen = tf.numpy_function(best_matching, [costs], costs.dtype)
    chosen.set_shape(costs.shape)
    return chosen
