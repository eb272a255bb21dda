"""How fast runs were: all steps over all seconds, never a mean of rates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping, Optional, Tuple

import numpy as np

from common.evidence.comparison.curves import GAP
from common.evidence.comparison.runs import Group, Run
from common.evidence.comparison.statistics import UNKNOWN, Estimate, difference_of, mean_of_series
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
    rate = float(pace.amounts.sum()) / float(pace.seconds.sum())
    usual = pace.amounts <= GAP * np.median(pace.amounts)
    amounts, seconds = pace.amounts[usual], pace.seconds[usual]
    inner = float(amounts.sum()) / float(seconds.sum())
    spread = mean_of_series((amounts - inner * seconds) / float(amounts.mean()))
    return Estimate(rate, rate * spread.mean.half_width)


def ratio_of(reference: Estimate, candidate: Estimate) -> Estimate:
    """How many times as fast the candidate is; the relative errors add as those of a ratio."""
    if not reference.value > 0:
        return UNKNOWN
    _, relative = difference_of(reference, candidate)
    return Estimate(relative.value + 1, relative.half_width)


@dataclass(frozen=True)
class SpeedComparison:
    """Rates in `unit` per second, and how many times as fast the candidate is.

    Attributes:
        doubts: what forbids a verdict on the ratio.
        remark: what the reader should know of the unit.
    """

    reference: Estimate
    candidate: Estimate
    unit: str
    ratio: Estimate
    doubts: Tuple[str, ...] = ()
    remark: str = ""


def compare_speed(
    reference: Group, candidate: Group, global_batch: Optional[int]
) -> Optional[SpeedComparison]:
    """All of a group's steps over all of its seconds; None where a side has no times.

    Steps become samples by each run's global batch or the one given; where no batch is known on
    either side the steps themselves are compared, as equal batches.
    """
    paces = [_pace(group, global_batch) for group in (reference, candidate)]
    first, second = paces
    if first is None or second is None:
        return None
    rates = rate_of(first), rate_of(second)
    if first.unit != second.unit:
        doubt = (
            f"{reference.label} counts {first.unit} and {candidate.label} {second.unit}: say "
            "--batch_size"
        )
        return SpeedComparison(rates[0], rates[1], "", UNKNOWN, (doubt,))
    remark = "steps are compared as of equal batches" if first.unit == "steps" else ""
    return SpeedComparison(
        rates[0], rates[1], first.unit, ratio_of(rates[0], rates[1]), remark=remark
    )


def _pace(group: Group, global_batch: Optional[int]) -> Optional[Pace]:
    """The pace of all runs that count in the first one's unit."""
    paces = [_pace_of_run(run, global_batch) for run in group.runs]
    found = [pace for pace in paces if pace is not None]
    found = [pace for pace in found if pace.unit == found[0].unit]
    if not found:
        return None
    return Pace(
        np.concatenate([pace.amounts for pace in found]),
        np.concatenate([pace.seconds for pace in found]),
        found[0].unit,
    )


def _pace_of_run(run: Run, global_batch: Optional[int]) -> Optional[Pace]:
    pace = pace_of(run.series)
    batch = run.global_batch or global_batch
    if pace is None or pace.unit == "samples" or batch is None:
        return pace
    return Pace(pace.amounts * batch, pace.seconds, "samples")
