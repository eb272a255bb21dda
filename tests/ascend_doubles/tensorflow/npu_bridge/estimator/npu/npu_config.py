"""Configuration classes of the estimator, which has no double."""

from __future__ import annotations


class _WithoutDouble:
    def __init__(self, *arguments, **named):
        raise NotImplementedError(f"the double has no {type(self).__name__}")


class NPURunConfig(_WithoutDouble):
    """Of NPUEstimator."""


class ProfilingConfig(_WithoutDouble):
    """Of NPURunConfig."""


class MemoryConfig(_WithoutDouble):
    """Of NPURunConfig."""


class DumpConfig(_WithoutDouble):
    """Of NPURunConfig."""


class DynamicInputConfig(_WithoutDouble):
    """Of NPURunConfig."""
