"""Average precision of a pass over a split."""

from __future__ import annotations

from typing import Any, Dict, List

import numpy as np

from common.training.tensorflow.description import Evaluation
from slot_attention.metrics.average_precision import THRESHOLDS, average_precision
from slot_attention.scene_passes import ScenePass

SCORE = "ap_inf"


def precision_names() -> List[str]:
    """The metrics' names by threshold: ap_inf, ap_1, ap_0.5, …"""
    return [f"ap_{threshold:g}" for threshold in THRESHOLDS]


def as_evaluation(predictions: np.ndarray, targets: np.ndarray, split: str) -> Evaluation:
    """Average precision at every threshold.

    Args:
        predictions: (B, K, 19). targets: (B, objects, 19).
    """
    metrics: Dict[str, float] = {
        name: float(value)
        for name, value in zip(precision_names(), average_precision(predictions, targets))
    }
    return Evaluation(split, len(predictions), metrics, score=metrics[SCORE])


def evaluate_pass(session: Any, scenes: ScenePass, split: str) -> Evaluation:
    """Evaluates one pass over a split, all of it on every rank: precision does not add up."""
    batches = list(scenes.run(session, "predictions", "target"))
    predictions, targets = (
        np.concatenate([batch[name] for batch in batches]) for name in ("predictions", "target")
    )
    return as_evaluation(predictions, targets, split)
