"""How fast runs went: rates with their interval, the clock at a step, the time to a target."""

from __future__ import annotations

from typing import List, Mapping, Optional, Tuple

import attrs
import numpy as np

from common.evidence.comparison.curves import GAP, whole_parts
from common.evidence.comparison.runs import Group
from common.evidence.comparison.statistics import (
    UNKNOWN,
    Estimate,
    difference_of,
    mean_of_series,
)
from common.evidence.logs.series import Series
from common.runs.record import warmup_length

TARGET_SAMPLES = 10  # values whose mean has to reach a target


@attrs.frozen
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


@attrs.frozen(eq=False)
class Pace:
    """Amounts of steps or samples (the unit) that took seconds: two arrays (N,)."""

    amounts: np.ndarray
    seconds: np.ndarray
    unit: str

    def rate(self) -> Estimate:
        """All amounts over all seconds, with an interval from the spread between the intervals.

        Intervals far longer than usual, where a part of a log is missing, count in the rate but
        say nothing of the spread.
        """
        rate = float(self.amounts.sum()) / float(self.seconds.sum())
        usual = self.amounts <= GAP * np.median(self.amounts)
        amounts, seconds = self.amounts[usual], self.seconds[usual]
        inner = float(amounts.sum()) / float(seconds.sum())
        spread = mean_of_series((amounts - inner * seconds) / float(amounts.mean()))
        return Estimate(rate, rate * spread.mean.half_width)


def pace_of(series: Mapping[str, Series]) -> Optional[Pace]:
    """What a run's series say of its speed; None where they say nothing.

    Looked for in this order: elapsed_seconds (a time since the start; what went before the first
    line is warm-up, intervals in which step or clock went back are a restart's pause),
    step_seconds (less the warm-up steps), fps (each line counted as equally many samples).
    """
    unit = "steps"
    if "elapsed_seconds" in series:
        elapsed = series["elapsed_seconds"]
        amounts, seconds = np.diff(elapsed.steps).astype(np.float64), np.diff(elapsed.values)
    elif "step_seconds" in series:
        values = series["step_seconds"].values
        seconds = values[warmup_length(len(values)) :]
        amounts = np.ones(len(seconds))
    elif "fps" in series:
        with np.errstate(divide="ignore"):
            seconds = 1 / series["fps"].values
        amounts, unit = np.ones(len(seconds)), "samples"
    else:
        return None
    with np.errstate(invalid="ignore"):
        usable = (amounts > 0) & (seconds > 0) & np.isfinite(seconds)
    return Pace(amounts[usable], seconds[usable], unit) if usable.any() else None


def compare_speed(
    reference: Group, candidate: Group, batch_size: Optional[int]
) -> Optional[SpeedComparison]:
    """All of a group's steps over all of its seconds; None where a side has no times.

    Steps become samples by each run's global batch or the one given; where no batch is known on
    either side the steps themselves are compared, as equal batches.
    """
    first, second = (_pace_of_group(group, batch_size) for group in (reference, candidate))
    if first is None or second is None:
        return None
    rates = first.rate(), second.rate()
    if first.unit != second.unit:
        units = f"{reference.label} counts {first.unit} and {candidate.label} {second.unit}"
        return SpeedComparison(*rates, "", UNKNOWN, (f"{units}: say --batch_size",))
    remark = "steps are compared as of equal batches" if first.unit == "steps" else ""
    relative = difference_of(*rates)[1]
    ratio = Estimate(relative.value + 1, relative.half_width)
    return SpeedComparison(*rates, first.unit, ratio, remark=remark)


def _pace_of_group(group: Group, batch_size: Optional[int]) -> Optional[Pace]:
    """The pace of all runs that count in the first one's unit."""
    found: List[Pace] = []
    for run in group.runs:
        pace, batch = pace_of(run.series), run.global_batch or batch_size
        if pace is not None and pace.unit == "steps" and batch:
            pace = Pace(pace.amounts * batch, pace.seconds, "samples")
        if pace is not None and (not found or pace.unit == found[0].unit):
            found.append(pace)
    if not found:
        return None
    amounts = np.concatenate([pace.amounts for pace in found])
    return Pace(amounts, np.concatenate([pace.seconds for pace in found]), found[0].unit)


@attrs.frozen
class Reached:
    """The first step at which a target was reached; seconds None where no clock told."""

    step: int
    seconds: Optional[float]


def time_to_target(
    series: Mapping[str, Series],
    name: str,
    target: float,
    higher_is_better: bool,
    samples: int = TARGET_SAMPLES,
) -> Optional[Reached]:
    """When the mean of the last `samples` values first reached the target; None if never.

    A mean, since the luckiest of many noisy values is early. Where part of a log is missing the
    mean starts anew.
    """
    if name not in series:
        return None
    curve = series[name]
    means = np.full(len(curve), np.nan)
    for part in whole_parts(curve.steps):
        if part.stop - part.start >= samples:
            means[part.start + samples - 1 : part.stop] = np.convolve(
                curve.values[part], np.full(samples, 1 / samples), mode="valid"
            )
    met = np.flatnonzero(means >= target if higher_is_better else means <= target)
    if not len(met):
        return None
    step = int(curve.steps[met[0]])
    return Reached(step, seconds_at(series, step))


def seconds_at(series: Mapping[str, Series], step: int) -> Optional[float]:
    """The training time until the end of a step, pauses between restarts left out."""
    if "elapsed_seconds" in series:
        elapsed = series["elapsed_seconds"]
        gains = np.diff(elapsed.values, prepend=0.0)
        gains = np.where(gains < 0, elapsed.values, gains)  # a restart begins at zero again
        before = elapsed.steps <= step
        return float(gains[before].sum()) if before.any() else None
    if "step_seconds" in series:
        each = series["step_seconds"]
        return float(each.values[each.steps <= step].sum())
    return None
