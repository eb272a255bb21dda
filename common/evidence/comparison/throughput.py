"""How fast runs were: all steps over all seconds, never a mean of rates."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Mapping, Optional

import numpy as np

from common.evidence.comparison.alignment import GAP
from common.evidence.comparison.estimate import UNKNOWN, Estimate
from common.evidence.comparison.noise import mean_of_series
from common.evidence.logs.series import Series
from common.runs.record import warmup_length


@dataclass(frozen=True)
class Pace:
    """Steps that took seconds, interval by interval: two arrays (N,).

    Attributes:
        unit: what is counted in `amounts`: steps or samples.
    """

    amounts: np.ndarray
    seconds: np.ndarray
    unit: str

    @property
    def total_seconds(self) -> float:
        """The time measured."""
        return float(self.seconds.sum())

    def scaled(self, factor: float, unit: str) -> Pace:
        """The same in another unit, samples for steps for example."""
        return Pace(self.amounts * factor, self.seconds, unit)


def pace_of(series: Mapping[str, Series]) -> Optional[Pace]:
    """What a run's series say of its speed; None where they say nothing.

    Looked for in this order: elapsed_seconds (a time since the start; what went before the first
    line is warm-up), step_seconds (less the warm-up steps), fps (each line counted as
    equally many samples).
    """
    if "elapsed_seconds" in series:
        return _from_elapsed(series["elapsed_seconds"])
    if "step_seconds" in series:
        return _from_seconds(series["step_seconds"])
    if "fps" in series:
        rates = series["fps"].values
        rates = rates[np.isfinite(rates) & (rates > 0)]
        return Pace(np.ones(len(rates)), 1 / rates, "samples") if len(rates) else None
    return None


def _from_elapsed(elapsed: Series) -> Optional[Pace]:
    """Intervals in which neither step nor clock went back: a restart's pause is not counted."""
    steps, seconds = np.diff(elapsed.steps), np.diff(elapsed.values)
    forward = (steps > 0) & (seconds > 0)
    if not forward.any():
        return None
    return Pace(steps[forward].astype(np.float64), seconds[forward], "steps")


def _from_seconds(series: Series) -> Optional[Pace]:
    seconds = series.values[warmup_length(len(series.values)) :]
    seconds = seconds[np.isfinite(seconds) & (seconds > 0)]
    return Pace(np.ones(len(seconds)), seconds, "steps") if len(seconds) else None


def rate_of(pace: Pace) -> Estimate:
    """All amounts over all seconds, with an interval from the spread between the intervals.

    Intervals far longer than usual, where a part of a log is missing, count in the rate but say
    nothing of the spread.
    """
    rate = float(pace.amounts.sum()) / pace.total_seconds
    usual = pace.amounts <= GAP * np.median(pace.amounts)
    amounts, seconds = pace.amounts[usual], pace.seconds[usual]
    inner = float(amounts.sum()) / float(seconds.sum())
    spread = mean_of_series((amounts - inner * seconds) / float(amounts.mean()))
    return Estimate(rate, rate * spread.mean.half_width)


def ratio_of(reference: Estimate, candidate: Estimate) -> Estimate:
    """How many times as fast the candidate is; the relative errors add as those of a ratio."""
    if not reference.value > 0:
        return UNKNOWN
    ratio = candidate.value / reference.value
    relative = math.hypot(
        reference.half_width / reference.value,
        candidate.half_width / candidate.value if candidate.value else math.inf,
    )
    return Estimate(ratio, ratio * relative)
