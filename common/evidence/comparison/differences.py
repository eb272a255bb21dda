"""How far a candidate lies from a reference: over a window, at a step, in figures, in speed."""

from __future__ import annotations

import math
from typing import Callable, List, Mapping, Optional, Tuple

import attrs
import numpy as np

from common.evidence.comparison.curves import GAP, AlignedPair, SampleAtStep, without_trend
from common.evidence.comparison.runs import Group, Run
from common.evidence.comparison.statistics import (
    CONFIDENCE,
    UNKNOWN,
    Estimate,
    MeanOfSeries,
    between_evaluations,
    between_seeds,
    difference_of,
    mean_of_series,
    two_sided_quantile,
)
from common.evidence.logs.series import Series
from common.runs.record import warmup_length

BY_SEEDS = "spread between seeds (Welch)"
BY_SAMPLES = "spread between test samples (at most that of right and wrong answers); one seed each"
BY_NOTHING = "one value each, of an unknown number of samples: no interval"


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


@attrs.frozen
class StepComparison:
    """Two runs at one step, with the noise around it that says what one sample is worth."""

    reference: SampleAtStep
    candidate: SampleAtStep
    reference_around: MeanOfSeries
    candidate_around: MeanOfSeries
    difference: Difference
    window: Optional[WindowComparison]


@attrs.frozen
class FigureComparison:
    """One figure of two groups; basis says what the interval is made from."""

    name: str
    reference: float
    candidate: float
    difference: Estimate
    basis: str


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


# --- curves ---


def level_of(steps: np.ndarray, values: np.ndarray) -> MeanOfSeries:
    """The mean of values, (N,), and their noise around a straight line."""
    return mean_of_series(without_trend(steps, values))


def compare_window(pair: AlignedPair) -> WindowComparison:
    """Compares the means of two runs over the steps of a pair.

    The differences at each step are averaged: a trend or noise that both have cancels. The ratio
    of the means has its interval by linearisation (Cochran, Sampling Techniques, 1977, section
    2.11), from one series of residuals. Noise is told around a straight line.
    """
    gaps = mean_of_series(pair.candidate - pair.reference)
    effective, relative = gaps.effective, UNKNOWN
    base = float(pair.reference.mean())
    if base and math.isfinite(base) and math.isfinite(gaps.mean.value):
        share = gaps.mean.value / base
        residuals = mean_of_series((pair.candidate - (1 + share) * pair.reference) / base)
        relative = Estimate(share, residuals.mean.half_width)
        effective = min(effective, residuals.effective)
    return WindowComparison(
        int(pair.steps[0]),
        int(pair.steps[-1]),
        level_of(pair.steps, pair.reference),
        level_of(pair.steps, pair.candidate),
        Difference(gaps.mean, relative, gaps.count, effective),
    )


def compare_unpaired(reference: Series, candidate: Series) -> WindowComparison:
    """Like compare_window for runs that logged other steps of the same range."""
    first, second = (level_of(series.steps, series.values) for series in (reference, candidate))
    absolute, relative = difference_of(first.mean, second.mean)
    count, effective = min(first.count, second.count), min(first.effective, second.effective)
    steps = np.concatenate([reference.steps, candidate.steps])
    difference = Difference(absolute, relative, count, effective)
    return WindowComparison(int(steps.min()), int(steps.max()), first, second, difference)


def single_sample(value: float, around: MeanOfSeries) -> Estimate:
    """One value with the interval in which one sample lies, by the noise of its neighbours."""
    if around.count < 3 or not math.isfinite(around.noise):
        return Estimate(value)
    degrees = max(int(around.effective) - 2, 1)
    return Estimate(value, two_sided_quantile(CONFIDENCE, degrees) * around.noise)


# --- figures ---


def compare_figure(
    reference: Group,
    candidate: Group,
    name: str,
    figure: Callable[[Run], Optional[float]],
    whole: float = 0.0,
    n_eval: int = 0,
) -> Optional[FigureComparison]:
    """A figure of two groups, between seeds where there are several; None where a side has none.

    Args:
        whole: of a figure of the test set the value of all right, 100 or 1; its interval can come
            from the number of samples.
        n_eval: samples of the test set, for runs that don't say so themselves.
    """
    sides = reference.values(figure), candidate.values(figure)
    if not all(sides):
        return None
    first, second = (float(np.mean(side)) for side in sides)
    difference, basis = between_seeds(*sides), BY_SEEDS
    if not difference.is_known:
        difference, basis = Estimate(second - first), BY_NOTHING
        counts = [group.first.n_eval or n_eval for group in (reference, candidate)]
        if whole and min(counts) and all(0 <= mean <= whole for mean in (first, second)):
            shares = between_evaluations(first / whole, counts[0], second / whole, counts[1])
            difference, basis = shares.scaled(whole), BY_SAMPLES
    return FigureComparison(name, first, second, difference, basis)


# --- speed ---


@attrs.frozen(eq=False)
class Pace:
    """Amounts of steps or samples (the unit) that took seconds: two arrays (N,)."""

    amounts: np.ndarray
    seconds: np.ndarray
    unit: str


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
    rates = rate_of(first), rate_of(second)
    if first.unit != second.unit:
        doubt = (
            f"{reference.label} counts {first.unit} and {candidate.label} {second.unit}: say "
            "--batch_size"
        )
        return SpeedComparison(*rates, "", UNKNOWN, (doubt,))
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
    amounts, seconds = (
        np.concatenate([getattr(pace, name) for pace in found]) for name in ("amounts", "seconds")
    )
    return Pace(amounts, seconds, found[0].unit)
