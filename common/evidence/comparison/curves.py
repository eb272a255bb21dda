"""Curves of runs: windows of them, a step, how fast they came, and a few points to be drawn."""

from __future__ import annotations

import math
import warnings
from typing import List, Mapping, Optional, Tuple

import attrs
import numpy as np

from common.evidence.comparison.runs import Group
from common.evidence.comparison.statistics import (
    CONFIDENCE,
    UNKNOWN,
    Estimate,
    MeanOfSeries,
    difference_of,
    mean_of_series,
    two_sided_quantile,
)
from common.evidence.logs.series import Series
from common.runs.record import warmup_length

GAP = 5  # times the usual distance between steps: a part is missing there
TREND_SAMPLES = 3  # a straight line through fewer leaves no noise
MOST_POINTS = 150
LEAST_STRETCH = 8  # samples, where there are many: fewer tell no noise
LEAST_COMMON = 2 / 3  # of the shorter run's steps: below, windows are compared unpaired
TARGET_SAMPLES = 10  # values whose mean has to reach a target


# --- parts of a curve ---


def usual_distance(steps: np.ndarray) -> int:
    """The median distance between logged steps; 1 where there are fewer than two."""
    return max(int(np.median(np.diff(steps))), 1) if len(steps) > 1 else 1


def whole_parts(steps: np.ndarray) -> List[slice]:
    """The stretches of ascending steps, (N,), between which a part of the log is missing."""
    gaps = np.flatnonzero(np.diff(steps) > GAP * usual_distance(steps)) + 1
    edges = [0, *gaps.tolist(), len(steps)]
    return [slice(first, last) for first, last in zip(edges, edges[1:])]


def window(series: Series, end: int, length: int) -> Series:
    """The last `length` samples at or before step `end`, not across a part that is missing."""
    stop = int(np.searchsorted(series.steps, end, side="right"))
    begun = max(part.start for part in whole_parts(series.steps) if part.start < max(stop, 1))
    return series.part(slice(max(stop - length, begun), stop))


def aligned(reference: Series, candidate: Series) -> Tuple[Series, Series]:
    """The two series at the steps that both logged."""
    steps, here, there = np.intersect1d(
        reference.steps, candidate.steps, assume_unique=True, return_indices=True
    )
    first, second = reference.values[here], candidate.values[there]
    return Series(reference.name, steps, first), Series(candidate.name, steps, second)


# --- a window ---


@attrs.frozen
class Difference:
    """Candidate less reference, and the share of the reference that this is.

    Attributes:
        samples: how many there are of each; effective: how many independent ones say as much.
    """

    absolute: Estimate
    relative: Estimate
    samples: int
    effective: float


@attrs.frozen
class WindowComparison:
    """Two runs over one range of steps: the mean and noise of each, and their difference."""

    first_step: int
    last_step: int
    reference: MeanOfSeries
    candidate: MeanOfSeries
    difference: Difference


def compare_end(first: Series, second: Series, length: int) -> Optional[WindowComparison]:
    """The last window of the steps of both; of each run's own steps where few are the same."""
    begin = max(int(first.steps[0]), int(second.steps[0]))
    end = min(int(first.steps[-1]), int(second.steps[-1]))
    if end < begin:
        return None
    logged = min(int(((one.steps >= begin) & (one.steps <= end)).sum()) for one in (first, second))
    pair = aligned(first, second)
    if len(pair[0]) and len(pair[0]) >= LEAST_COMMON * logged:
        (first, second), end = pair, int(pair[0].steps[-1])
    return compare_window(window(first, end, length), window(second, end, length))


def compare_window(reference: Series, candidate: Series) -> WindowComparison:
    """Compares the means of two runs over a range of steps; noise is told around a straight line.

    Where both logged the same steps the differences at each are averaged: a trend or noise that
    both have cancels. The ratio of the means then has its interval by linearisation (Cochran,
    Sampling Techniques, 1977, section 2.11), from one series of residuals.
    """
    first, second = level_of(reference), level_of(candidate)
    if np.array_equal(reference.steps, candidate.steps):
        gaps = mean_of_series(candidate.values - reference.values)
        absolute, relative, count, effective = gaps.mean, UNKNOWN, gaps.count, gaps.effective
        base = float(reference.values.mean())
        if base and math.isfinite(base) and math.isfinite(absolute.value):
            share = absolute.value / base
            residuals = mean_of_series((candidate.values - (1 + share) * reference.values) / base)
            relative = Estimate(share, residuals.mean.half_width)
            effective = min(effective, residuals.effective)
    else:
        absolute, relative = difference_of(first.mean, second.mean)
        count, effective = min(first.count, second.count), min(first.effective, second.effective)
    steps = np.concatenate([reference.steps, candidate.steps])
    difference = Difference(absolute, relative, count, effective)
    return WindowComparison(int(steps.min()), int(steps.max()), first, second, difference)


def level_of(series: Series) -> MeanOfSeries:
    """The mean of a series, and its noise around the straight line that fits it best."""
    steps, values = series.steps, series.values
    if len(values) >= TREND_SAMPLES and np.isfinite(values).all():
        across = steps - steps.mean()
        values = values - float((across * values).sum() / (across * across).sum()) * across
    return mean_of_series(values)


# --- a step ---


@attrs.frozen
class SampleAtStep:
    """One logged value and the step it was logged at."""

    step: int
    value: float


@attrs.frozen
class StepComparison:
    """Two runs at one step; the interval is that of one sample by the noise of its neighbours."""

    reference: SampleAtStep
    candidate: SampleAtStep
    difference: Difference


def compare_step(first: Series, second: Series, step: int, length: int) -> Optional[StepComparison]:
    """The values that were logged at a step or near it; None where a run has none there."""
    one, other = sample_at(first, step), sample_at(second, step)
    if one is None or other is None:
        return None
    samples = [
        single_sample(sample.value, level_of(neighbours(series, sample.step, length)))
        for series, sample in ((first, one), (second, other))
    ]
    return StepComparison(one, other, Difference(*difference_of(*samples), 1, 1.0))


def sample_at(series: Series, step: int) -> Optional[SampleAtStep]:
    """The value logged at a step, or at the nearest one within the usual distance."""
    nearest = int(np.argmin(np.abs(series.steps - step)))
    if abs(int(series.steps[nearest]) - step) > usual_distance(series.steps):
        return None
    return SampleAtStep(int(series.steps[nearest]), float(series.values[nearest]))


def neighbours(series: Series, step: int, length: int) -> Series:
    """At most `length` samples around a logged step."""
    place = int(np.searchsorted(series.steps, step))
    start = max(min(place - length // 2, len(series) - length), 0)
    return series.part(slice(start, start + length))


def single_sample(value: float, around: MeanOfSeries) -> Estimate:
    """One value with the interval in which one sample lies, by the noise of its neighbours."""
    if around.count < TREND_SAMPLES or not math.isfinite(around.noise):
        return Estimate(value)
    degrees = max(int(around.effective) - 2, 1)
    return Estimate(value, two_sided_quantile(CONFIDENCE, degrees) * around.noise)


# --- how fast they came ---


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

    A mean, since the luckiest of many noisy values is early.
    """
    if name not in series or len(series[name]) < samples:
        return None
    means = np.convolve(series[name].values, np.full(samples, 1 / samples), mode="valid")
    met = np.flatnonzero(means >= target if higher_is_better else means <= target)
    if not len(met):
        return None
    step = int(series[name].steps[samples - 1 + met[0]])
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


# --- to be drawn ---


@attrs.frozen(eq=False)
class SummaryCurve:
    """Arrays (N,): the middle step, the mean and the noise of each stretch; nan marks a gap."""

    steps: np.ndarray
    means: np.ndarray
    noises: np.ndarray


def summary_curve(series: Series, most: int = MOST_POINTS) -> SummaryCurve:
    """Reduces a series to about `most` points; no stretch reaches across a missing part.

    A stretch without any finite value has the mean nan, as has the gap before a part.
    """
    size = max(int(np.ceil(len(series) / most)), min(LEAST_STRETCH, len(series) // 10), 1)
    points: List[Tuple[float, float, float]] = []
    for part in whole_parts(series.steps):
        if part.start:
            points.append((float(series.steps[part.start]), np.nan, np.nan))
        places = np.arange(part.start, part.stop)
        for chunk in np.array_split(places, max(len(places) // size, 1)):
            values = np.where(np.isfinite(series.values[chunk]), series.values[chunk], np.nan)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # all nan: the mean is nan
                mean, noise = float(np.nanmean(values)), float(np.nanstd(values))
            points.append((float(series.steps[chunk].mean()), mean, noise))
    return SummaryCurve(*np.asarray(points, np.float64).reshape(-1, 3).T)
