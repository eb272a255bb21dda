"""The cheapest matching of predictions and objects; from where on slots share or are alike."""

from __future__ import annotations

import numpy as np

HUBER_DELTA = 1.0  # of the error that is matched by
LEAST_SHARE = 0.005  # of the image's pixels; 82 pixels at 128x128, less than CLEVR's small objects
LEAST_OVERLAP = 0.5  # sum of minima over sum of maxima of two masks
LEAST_COSINE = 0.95
TINY = 1e-12


def best_matching(costs: np.ndarray) -> np.ndarray:
    """Marks with 1 the pairs of the cheapest one-to-one matching of each image, costs (B, N, K).

    Costs that are no numbers (a network that diverged) give no pairs: the loss is what reports it.
    """
    # Here, since object discovery has no use for it and it takes memory.
    from scipy.optimize import linear_sum_assignment

    chosen = np.zeros_like(costs)
    for image, cost in enumerate(costs):
        if np.all(np.isfinite(cost)):
            chosen[(image,) + linear_sum_assignment(cost)] = 1
    return chosen
