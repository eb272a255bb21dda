"""A whole comparison: everything told of two groups of runs, and the verdicts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, List, Mapping, Optional, Tuple

import numpy as np

from common.evidence.comparison import figures
from common.evidence.comparison.alignment import (
    AlignedPair,
    SampleAtStep,
    aligned,
    neighbours,
    sample_at,
    window,
    windows,
    without_trend,
)
from common.evidence.comparison.difference import (
    Difference,
    WindowComparison,
    between_seeds,
    compare_unpaired,
    compare_window,
    of_one_sample,
    single_sample,
)
from common.evidence.comparison.estimate import Estimate
from common.evidence.comparison.figures import FigureComparison
from common.evidence.comparison.noise import MeanOfSeries, mean_of_series
from common.evidence.comparison.runs import Group, Run, unequal_facts
from common.evidence.comparison.speed import SpeedComparison, compare_speed
from common.evidence.comparison.targets import TARGET_SAMPLES, Reached, time_to_target
from common.evidence.comparison.verdicts import (
    Evidence,
    Judged,
    Verdict,
    perf_verdict,
    precision_verdict,
)
from common.evidence.logs.series import Series

WINDOW = 50
MOST_WINDOWS = 5
LEAST_COMMON = 2 / 3  # of the shorter run's steps: below, windows are compared unpaired


@dataclass(frozen=True)
class Settings:
    """What the user asked for.

    Attributes:
        judged: the metric that PrecisionStatus is about.
        curve: the series that is aligned, windowed and drawn.
        window: samples in a window, at most.
        target: a value of the curve.
        global_batch, n_eval: samples in a step and in the test set, for runs that don't say.
        whole: the value of the judged metric when all is right: 100 for percent.
    """

    judged: Judged
    curve: str = "loss"
    curve_higher_is_better: bool = False
    window: int = WINDOW
    at_step: Optional[int] = None
    target: Optional[float] = None
    global_batch: Optional[int] = None
    n_eval: int = 0
    whole: float = 1.0


@dataclass(frozen=True)
class StepComparison:
    """Two runs at one step, with the noise around it that says what one sample is worth."""

    reference: SampleAtStep
    candidate: SampleAtStep
    reference_around: MeanOfSeries
    candidate_around: MeanOfSeries
    difference: Difference
    window: Optional[WindowComparison]


@dataclass(frozen=True)
class Comparison:
    """A candidate against its reference; what could not be compared is None or empty."""

    reference: Group
    candidate: Group
    settings: Settings
    common_steps: int
    at_step: Optional[StepComparison]
    windows: Tuple[WindowComparison, ...]
    end: Optional[WindowComparison]
    seeds: Optional[Estimate]
    final: Optional[FigureComparison]
    best: Optional[FigureComparison]
    speed: Optional[SpeedComparison]
    reached: Dict[str, Tuple[Optional[Reached], ...]]
    precision: Verdict
    perf: Verdict
    notes: Tuple[str, ...]


def compare(reference: Group, candidate: Group, settings: Settings) -> Comparison:
    """Compares two groups of runs; the first run of each stands for its curve."""
    pair = common_part(reference.first, candidate.first, settings.curve)
    parts = _windows(reference.first, candidate.first, pair, settings)
    seeds = _between_seeds(reference, candidate, settings)
    final = (
        None
        if settings.judged.is_curve
        else figures.compare_final(
            reference, candidate, settings.judged.name, settings.whole, settings.n_eval
        )
    )
    speed = compare_speed(reference, candidate, settings.global_batch)
    return Comparison(
        reference,
        candidate,
        settings,
        len(pair.steps) if pair else 0,
        _at_step(reference.first, candidate.first, pair, settings),
        tuple(parts),
        parts[-1] if parts else None,
        seeds,
        final,
        figures.compare_best(
            reference, candidate, settings.judged.name, settings.judged.higher_is_better
        ),
        speed,
        _reached(reference, candidate, settings),
        precision_verdict(
            settings.judged, _evidence(reference, candidate, settings, final, parts, seeds)
        ),
        perf_verdict(speed.ratio, speed.doubts)
        if speed
        else perf_verdict(Estimate(float("nan"), float("inf"))),
        tuple(_notes(reference, candidate)),
    )


def common_part(reference: Run, candidate: Run, curve: str) -> Optional[AlignedPair]:
    """The curve at the steps of both runs; None where a run has no such curve or no step common."""
    if curve not in reference.series or curve not in candidate.series:
        return None
    pair = aligned(reference.series[curve], candidate.series[curve])
    return pair if len(pair.steps) else None


def _is_paired(reference: Series, candidate: Series, pair: Optional[AlignedPair]) -> bool:
    """Whether most of the steps at which both ran were logged by both."""
    if pair is None:
        return False
    last = min(reference.steps[-1], candidate.steps[-1])
    first = max(reference.steps[0], candidate.steps[0])
    counts = [
        int(((series.steps >= first) & (series.steps <= last)).sum())
        for series in (reference, candidate)
    ]
    return len(pair.steps) >= LEAST_COMMON * min(counts)


def _windows(
    reference: Run, candidate: Run, pair: Optional[AlignedPair], settings: Settings
) -> List[WindowComparison]:
    curves = [run.series.get(settings.curve) for run in (reference, candidate)]
    first, second = curves
    if first is None or second is None or not len(first) or not len(second):
        return []
    if pair is not None and _is_paired(first, second, pair):
        chosen = windows(pair.steps, settings.window, MOST_WINDOWS)
        return [compare_window(pair.part(part)) for part in chosen]
    end = int(min(first.steps[-1], second.steps[-1]))
    if end < max(int(first.steps[0]), int(second.steps[0])):
        return []
    return [
        compare_unpaired(_until(first, end, settings.window), _until(second, end, settings.window))
    ]


def _until(series: Series, end: int, length: int) -> Series:
    chosen = window(series.steps, end, length)
    return Series(series.name, series.steps[chosen], series.values[chosen])


def _at_step(
    reference: Run, candidate: Run, pair: Optional[AlignedPair], settings: Settings
) -> Optional[StepComparison]:
    curves = [run.series.get(settings.curve) for run in (reference, candidate)]
    if settings.at_step is None or curves[0] is None or curves[1] is None:
        return None
    found = [sample_at(series, settings.at_step) for series in curves if series is not None]
    if found[0] is None or found[1] is None:
        return None
    around = [
        _around(series, sample.step, settings.window)
        for series, sample in zip(curves, found)
        if series is not None and sample is not None
    ]
    parts = pair.part(window(pair.steps, settings.at_step, settings.window)) if pair else None
    return StepComparison(
        found[0],
        found[1],
        around[0],
        around[1],
        of_one_sample(
            single_sample(found[0].value, around[0]), single_sample(found[1].value, around[1])
        ),
        compare_window(parts) if parts is not None and len(parts.steps) else None,
    )


def _around(series: Series, step: int, length: int) -> MeanOfSeries:
    chosen = neighbours(series, step, length)
    return mean_of_series(without_trend(series.steps[chosen], series.values[chosen]))


def _between_seeds(reference: Group, candidate: Group, settings: Settings) -> Optional[Estimate]:
    """The relative difference of last windows between groups of several seeds; None for one."""
    levels = [[_last_mean(run, settings) for run in group.runs] for group in (reference, candidate)]
    known = [[level for level in side if level is not None] for side in levels]
    if min(len(side) for side in known) < 2:
        return None
    base = float(np.mean(known[0]))
    found = between_seeds(known[0], known[1])
    return Estimate(found.value / base, found.half_width / abs(base)) if base else None


def _last_mean(run: Run, settings: Settings) -> Optional[float]:
    series = run.series.get(settings.curve)
    if series is None or not len(series):
        return None
    return float(_until(series, int(series.steps[-1]), settings.window).values.mean())


def _reached(
    reference: Group, candidate: Group, settings: Settings
) -> Dict[str, Tuple[Optional[Reached], ...]]:
    if settings.target is None:
        return {}
    return {
        group.label: tuple(_reached_by(run.series, settings, settings.target) for run in group.runs)
        for group in (reference, candidate)
    }


def _reached_by(
    series: Mapping[str, Series], settings: Settings, target: float
) -> Optional[Reached]:
    if settings.curve not in series:
        return None
    return time_to_target(
        series, settings.curve, target, settings.curve_higher_is_better, TARGET_SAMPLES
    )


def _evidence(
    reference: Group,
    candidate: Group,
    settings: Settings,
    final: Optional[FigureComparison],
    parts: List[WindowComparison],
    seeds: Optional[Estimate],
) -> Evidence:
    curve = seeds or (parts[-1].difference.relative if parts else None)
    metric = curve if settings.judged.is_curve else (final.difference if final else None)
    loss = curve if not settings.curve_higher_is_better else None
    return Evidence(metric, loss, _broken(parts, candidate), _doubts(reference, candidate))


def _broken(parts: List[WindowComparison], candidate: Group) -> str:
    """What is wrong with the candidate alone: nan or inf where the reference has numbers."""
    if (
        not parts
        or not np.isfinite(parts[-1].reference.mean.value)
        or np.isfinite(parts[-1].candidate.mean.value)
    ):
        return ""
    return (
        f"{candidate.label} has nan or inf in its last window, steps "
        f"{parts[-1].first_step:,} to {parts[-1].last_step:,}"
    )


def _doubts(reference: Group, candidate: Group) -> List[str]:
    doubts = [
        f"{group.label} ({run.source}) is {run.incomplete}"
        for group in (reference, candidate)
        for run in group.runs
        if run.incomplete
    ]
    unequal = unequal_facts(reference, candidate)
    if "dataset" in unequal:
        doubts.append("the datasets differ: {!r} and {!r}".format(*unequal["dataset"]))
    return doubts


def _notes(reference: Group, candidate: Group) -> List[str]:
    notes = [
        f"{group.label}: {note}"
        for group in (reference, candidate)
        for run in group.runs
        for note in run.notes
    ]
    notes += [
        "{} differs: {} and {}".format(name, *values)
        for name, values in unequal_facts(reference, candidate).items()
    ]
    return notes
