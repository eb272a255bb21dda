"""The estimator, which has no double."""

from __future__ import annotations

from npu_bridge.estimator.npu.npu_config import _WithoutDouble


class NPUEstimator(_WithoutDouble):
    """Trains by a model function."""


class NPUEstimatorSpec(_WithoutDouble):
    """What a model function returns."""
