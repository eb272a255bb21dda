"""How far a candidate lies from a reference: in a window, at a step, between final figures."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Callable, Optional

import numpy as np

from common.evidence.comparison.curves import AlignedPair, without_trend
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

BY_SEEDS = "spread between seeds (Welch)"
BY_SAMPLES = "spread between test samples (at most that of right and wrong answers); one seed each"
BY_NOTHING = "one value each, of an unknown number of samples: no interval"


@dataclass(frozen=True)
class Difference:
    """Candidate less reference, and the share of the reference that this is.

    Attributes:
        samples: how many there are of each; effective: how many independent ones say as much.
    """

    absolute: Estimate
    relative: Estimate
    samples: int
    effective: float


@dataclass(frozen=True)
class WindowComparison:
    """Two runs over the same steps: the mean and noise of each, and their difference."""

    first_step: int
    last_step: int
    reference: MeanOfSeries
    candidate: MeanOfSeries
    difference: Difference


def compare_window(pair: AlignedPair) -> WindowComparison:
    """Compares the means of two runs over the steps of a pair.

    The differences at each step are what is averaged: a trend that both have cancels, and so does
    noise they share. The ratio of the means has its interval by linearisation (Cochran, Sampling
    Techniques, 1977, section 2.11), from one series of residuals. Noise is told around a straight
    line.
    """
    return WindowComparison(
        int(pair.steps[0]),
        int(pair.steps[-1]),
        level_of(pair.steps, pair.reference),
        level_of(pair.steps, pair.candidate),
        _paired_difference(pair.reference, pair.candidate),
    )


def level_of(steps: np.ndarray, values: np.ndarray) -> MeanOfSeries:
    """The mean of values, (N,), and their noise around a straight line."""
    return mean_of_series(without_trend(steps, values))


def _paired_difference(reference: np.ndarray, candidate: np.ndarray) -> Difference:
    gaps = mean_of_series(candidate - reference)
    base = float(reference.mean()) if len(reference) else math.nan
    if not (math.isfinite(base) and math.isfinite(gaps.mean.value)) or base == 0:
        return Difference(gaps.mean, UNKNOWN, gaps.count, gaps.effective)
    share = gaps.mean.value / base
    residuals = mean_of_series((candidate - (1 + share) * reference) / base)
    return Difference(
        gaps.mean,
        Estimate(share, residuals.mean.half_width),
        gaps.count,
        min(gaps.effective, residuals.effective),
    )


def compare_unpaired(reference: Series, candidate: Series) -> WindowComparison:
    """Like compare_window for runs that logged other steps of the same range."""
    first, second = (level_of(series.steps, series.values) for series in (reference, candidate))
    absolute, relative = difference_of(first.mean, second.mean)
    count, effective = min(first.count, second.count), min(first.effective, second.effective)
    steps = np.concatenate([reference.steps, candidate.steps])
    difference = Difference(absolute, relative, count, effective)
    return WindowComparison(int(steps.min()), int(steps.max()), first, second, difference)


def of_one_sample(reference: Estimate, candidate: Estimate) -> Difference:
    """The difference of two single values whose intervals come from the noise around them."""
    return Difference(*difference_of(reference, candidate), 1, 1.0)


def single_sample(value: float, around: MeanOfSeries) -> Estimate:
    """One value with the interval in which one sample lies, by the noise of its neighbours."""
    if around.count < 3 or not math.isfinite(around.noise):
        return Estimate(value)
    degrees = max(int(around.effective) - 2, 1)
    return Estimate(value, two_sided_quantile(CONFIDENCE, degrees) * around.noise)


@dataclass(frozen=True)
class FigureComparison:
    """One figure of two groups.

    Attributes:
        basis: what the interval is made from.
    """

    name: str
    reference: float
    candidate: float
    difference: Estimate
    basis: str


def compare_final(
    reference: Group, candidate: Group, name: str, whole: float, n_eval: int = 0
) -> Optional[FigureComparison]:
    """The final figures of the test set; None where a side has none.

    Args:
        whole: the value of all right: 100 for percent, 1 for a fraction.
        n_eval: samples of the test set, for runs that don't say so themselves.
    """
    compared = _compare(reference, candidate, name, lambda run: final_figure(run, name))
    if compared is None or compared.basis == BY_SEEDS:
        return compared
    counts = [group.first.n_eval or n_eval for group in (reference, candidate)]
    shares = compared.reference / whole, compared.candidate / whole
    if min(counts) < 1 or not all(0 <= share <= 1 for share in shares):
        return compared
    found = between_evaluations(shares[0], counts[0], shares[1], counts[1])
    return replace(compared, difference=found.scaled(whole), basis=BY_SAMPLES)


def final_figure(run: Run, name: str) -> Optional[float]:
    """A record's final figure, else the last value of test_, plain or final_NAME, else None."""
    if name in run.final:
        return run.final[name]
    found = [run.series.get(prefix + name) for prefix in ("test_", "", "final_")]
    values = [series.values[-1] for series in found if series is not None and len(series)]
    return float(values[0]) if values else None


def compare_best(
    reference: Group, candidate: Group, name: str, higher_is_better: bool
) -> Optional[FigureComparison]:
    """The figures that were best on validation; None where a side has none."""
    return _compare(
        reference, candidate, name, lambda run: best_on_validation(run, name, higher_is_better)
    )


def best_on_validation(run: Run, name: str, higher_is_better: bool) -> Optional[float]:
    """A record's best figure, else the best of the series validation_NAME, else None."""
    if name in run.best:
        return run.best[name]
    series = run.series.get("validation_" + name)
    values = series.values[np.isfinite(series.values)] if series is not None else ()
    if not len(values):
        return None
    return float(np.max(values) if higher_is_better else np.min(values))


def _compare(
    reference: Group, candidate: Group, name: str, figure: Callable[[Run], Optional[float]]
) -> Optional[FigureComparison]:
    sides = reference.values(figure), candidate.values(figure)
    if not all(sides):
        return None
    first, second = (float(np.mean(side)) for side in sides)
    difference = between_seeds(*sides)
    if difference.is_known:
        return FigureComparison(name, first, second, difference, BY_SEEDS)
    return FigureComparison(name, first, second, Estimate(second - first), BY_NOTHING)
