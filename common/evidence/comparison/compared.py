"""A whole comparison: everything told of two groups of runs, and the verdicts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, List, Optional, Tuple

import numpy as np

from common.evidence.comparison.curves import (
    TARGET_SAMPLES,
    AlignedPair,
    Reached,
    SampleAtStep,
    aligned,
    neighbours,
    sample_at,
    time_to_target,
    window,
    windows,
)
from common.evidence.comparison.difference import (
    Difference,
    FigureComparison,
    WindowComparison,
    compare_best,
    compare_final,
    compare_unpaired,
    compare_window,
    level_of,
    of_one_sample,
    single_sample,
)
from common.evidence.comparison.runs import Group, Run, unequal_facts
from common.evidence.comparison.settings import Settings
from common.evidence.comparison.speed import SpeedComparison, compare_speed
from common.evidence.comparison.statistics import UNKNOWN, Estimate, MeanOfSeries, between_seeds
from common.evidence.comparison.verdicts import (
    Evidence,
    Verdict,
    perf_verdict,
    precision_verdict,
)
from common.evidence.logs.series import Series

MOST_WINDOWS = 5
LEAST_COMMON = 2 / 3  # of the shorter run's steps: below, windows are compared unpaired


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
    judged, first, second = settings.judged, reference.first, candidate.first
    curves = first.series.get(settings.curve), second.series.get(settings.curve)
    pair = aligned(curves[0], curves[1]) if curves[0] and curves[1] else None
    parts = _windows(curves[0], curves[1], pair, settings)
    seeds = _between_seeds(reference, candidate, settings)
    speed = compare_speed(reference, candidate, settings.global_batch)
    final = None
    if not judged.is_curve:
        final = compare_final(reference, candidate, judged.name, settings.whole, settings.n_eval)
    evidence = _evidence(reference, candidate, settings, final, parts, seeds)
    return Comparison(
        reference=reference,
        candidate=candidate,
        settings=settings,
        common_steps=len(pair.steps) if pair else 0,
        at_step=_at_step(curves[0], curves[1], pair, settings),
        windows=tuple(parts),
        end=parts[-1] if parts else None,
        seeds=seeds,
        final=final,
        best=compare_best(reference, candidate, judged.name, judged.higher_is_better),
        speed=speed,
        reached=_reached(reference, candidate, settings),
        precision=precision_verdict(judged, evidence),
        perf=perf_verdict(speed.ratio, speed.doubts) if speed else perf_verdict(UNKNOWN),
        notes=tuple(_notes(reference, candidate)),
    )


def _is_paired(reference: Series, candidate: Series, pair: AlignedPair) -> bool:
    """Whether most of the steps at which both ran were logged by both."""
    last = min(reference.steps[-1], candidate.steps[-1])
    first = max(reference.steps[0], candidate.steps[0])
    counts = [
        int(((series.steps >= first) & (series.steps <= last)).sum())
        for series in (reference, candidate)
    ]
    return bool(len(pair.steps)) and len(pair.steps) >= LEAST_COMMON * min(counts)


def _windows(
    first: Optional[Series],
    second: Optional[Series],
    pair: Optional[AlignedPair],
    settings: Settings,
) -> List[WindowComparison]:
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
    first: Optional[Series],
    second: Optional[Series],
    pair: Optional[AlignedPair],
    settings: Settings,
) -> Optional[StepComparison]:
    if settings.at_step is None or first is None or second is None:
        return None
    one, other = (sample_at(series, settings.at_step) for series in (first, second))
    if one is None or other is None:
        return None
    around, around_other = (
        _around(series, sample.step, settings.window)
        for series, sample in ((first, one), (second, other))
    )
    part = pair.part(window(pair.steps, settings.at_step, settings.window)) if pair else None
    return StepComparison(
        one,
        other,
        around,
        around_other,
        of_one_sample(single_sample(one.value, around), single_sample(other.value, around_other)),
        compare_window(part) if part is not None and len(part.steps) else None,
    )


def _around(series: Series, step: int, length: int) -> MeanOfSeries:
    chosen = neighbours(series, step, length)
    return level_of(series.steps[chosen], series.values[chosen])


def _between_seeds(reference: Group, candidate: Group, settings: Settings) -> Optional[Estimate]:
    """The relative difference of last windows between groups of several seeds; None for one."""
    levels = [[_last_mean(run, settings) for run in group.runs] for group in (reference, candidate)]
    known = [[level for level in side if level is not None] for side in levels]
    base = float(np.mean(known[0])) if known[0] else 0.0
    if min(len(side) for side in known) < 2 or not base:
        return None
    return between_seeds(known[0], known[1]).scaled(1 / base)


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
        group.label: tuple(_reached_by(run, settings, settings.target) for run in group.runs)
        for group in (reference, candidate)
    }


def _reached_by(run: Run, settings: Settings, target: float) -> Optional[Reached]:
    higher = settings.curve_higher_is_better
    if settings.curve not in run.series:
        return None
    return time_to_target(run.series, settings.curve, target, higher, TARGET_SAMPLES)


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
