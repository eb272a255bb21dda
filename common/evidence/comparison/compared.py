"""A whole comparison: everything told of two groups of runs, and the verdicts."""

from __future__ import annotations

from typing import Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

import attrs
import numpy as np

from common.evidence.comparison import curves
from common.evidence.comparison.curves import AlignedPair, Reached, time_to_target, windows
from common.evidence.comparison.differences import (
    Difference,
    FigureComparison,
    SpeedComparison,
    StepComparison,
    WindowComparison,
    compare_figure,
    compare_speed,
    compare_unpaired,
    compare_window,
    level_of,
    single_sample,
)
from common.evidence.comparison.runs import Group, Run, Settings
from common.evidence.comparison.statistics import (
    UNKNOWN,
    Estimate,
    MeanOfSeries,
    between_seeds,
    difference_of,
)
from common.evidence.comparison.verdicts import Verdict, perf_verdict, precision_verdict
from common.evidence.logs.series import Series

MOST_WINDOWS = 5
LEAST_COMMON = 2 / 3  # of the shorter run's steps: below, windows are compared unpaired


@attrs.frozen
class Comparison:
    """A candidate against its reference; what could not be compared is None or empty."""

    reference: Group
    candidate: Group
    settings: Settings
    common_steps: int
    at_step: Optional[StepComparison]
    windows: Tuple[WindowComparison, ...]
    between_seeds: Optional[Estimate]
    final: Optional[FigureComparison]
    best: Optional[FigureComparison]
    speed: Optional[SpeedComparison]
    reached: Dict[str, Tuple[Optional[Reached], ...]]
    precision: Verdict
    perf: Verdict
    notes: Tuple[str, ...]

    @property
    def end(self) -> Optional[WindowComparison]:
        """The last window that both runs have."""
        return self.windows[-1] if self.windows else None


def compare(reference: Group, candidate: Group, settings: Settings) -> Comparison:
    """Compares two groups of runs; the first run of each stands for its curve."""
    judged, groups = settings.judged, (reference, candidate)
    first, second = (group.first.series.get(settings.curve) for group in groups)
    pair, found, at_step = None, [], None
    if first and second:
        pair = curves.aligned(first, second)
        found = _windows(first, second, pair, settings.window)
        at_step = _at_step(first, second, pair, settings)
    final = None
    if not judged.is_curve:
        final = compare_figure(
            reference,
            candidate,
            judged.name,
            lambda run: run.final_figure(judged.name),
            100.0 if judged.unit == "percent" else 1.0,
            settings.n_eval,
        )
    speed = compare_speed(reference, candidate, settings.batch_size)
    seeds = _between_seeds(reference, candidate, settings)
    curve = seeds or (found[-1].difference.relative if found else None)
    metric = curve if judged.is_curve else (final.difference if final else None)
    loss = None if settings.curve_higher_is_better else curve
    unequal = _unequal_facts(reference, candidate)
    doubts = tuple(_doubts(groups, unequal))
    return Comparison(
        reference=reference,
        candidate=candidate,
        settings=settings,
        common_steps=len(pair.steps) if pair else 0,
        at_step=at_step,
        windows=tuple(found),
        between_seeds=seeds,
        final=final,
        best=compare_figure(
            reference,
            candidate,
            judged.name,
            lambda run: run.best_figure(judged.name, judged.higher_is_better),
        ),
        speed=speed,
        reached=_reached(reference, candidate, settings),
        precision=precision_verdict(judged, metric, loss, _broken(found, candidate), doubts),
        perf=perf_verdict(speed.ratio, speed.doubts) if speed else perf_verdict(UNKNOWN),
        notes=tuple(_notes(groups, unequal)),
    )


def _windows(
    first: Series, second: Series, pair: AlignedPair, length: int
) -> List[WindowComparison]:
    """Windows over the steps of both; one of each run's own where few steps are the same."""
    begin = max(int(first.steps[0]), int(second.steps[0]))
    end = min(int(first.steps[-1]), int(second.steps[-1]))
    if end < begin:
        return []
    logged = min(int(((one.steps >= begin) & (one.steps <= end)).sum()) for one in (first, second))
    if len(pair.steps) and len(pair.steps) >= LEAST_COMMON * logged:
        return [
            compare_window(pair.part(part)) for part in windows(pair.steps, length, MOST_WINDOWS)
        ]
    return [compare_unpaired(_until(first, end, length), _until(second, end, length))]


def _until(series: Series, end: int, length: int) -> Series:
    chosen = curves.window(series.steps, end, length)
    return Series(series.name, series.steps[chosen], series.values[chosen])


def _at_step(
    first: Series, second: Series, pair: AlignedPair, settings: Settings
) -> Optional[StepComparison]:
    if settings.at_step is None:
        return None
    one, other = (curves.sample_at(series, settings.at_step) for series in (first, second))
    if one is None or other is None:
        return None

    def around(series: Series, step: int) -> MeanOfSeries:
        chosen = curves.neighbours(series, step, settings.window)
        return level_of(series.steps[chosen], series.values[chosen])

    here, there = around(first, one.step), around(second, other.step)
    samples = single_sample(one.value, here), single_sample(other.value, there)
    part = pair.part(curves.window(pair.steps, settings.at_step, settings.window))
    return StepComparison(
        one,
        other,
        here,
        there,
        Difference(*difference_of(*samples), 1, 1.0),
        compare_window(part) if len(part.steps) else None,
    )


def _between_seeds(reference: Group, candidate: Group, settings: Settings) -> Optional[Estimate]:
    """The relative difference of last windows between groups of several seeds; None for one."""

    def level(run: Run) -> Optional[float]:
        series = run.series.get(settings.curve)
        if not series:
            return None
        return float(_until(series, int(series.steps[-1]), settings.window).values.mean())

    levels = [
        [one for one in map(level, group.runs) if one is not None]
        for group in (reference, candidate)
    ]
    base = float(np.mean(levels[0])) if levels[0] else 0.0
    if min(map(len, levels)) < 2 or not base:
        return None
    return between_seeds(*levels).scaled(1 / base)


def _reached(
    reference: Group, candidate: Group, settings: Settings
) -> Dict[str, Tuple[Optional[Reached], ...]]:
    target, higher = settings.target, settings.curve_higher_is_better
    if target is None:
        return {}
    return {
        group.label: tuple(
            time_to_target(run.series, settings.curve, target, higher) for run in group.runs
        )
        for group in (reference, candidate)
    }


def _broken(found: List[WindowComparison], candidate: Group) -> str:
    """What is wrong with the candidate alone: nan or inf where the reference has numbers."""
    if not found or not np.isfinite(found[-1].reference.mean.value):
        return ""
    if np.isfinite(found[-1].candidate.mean.value):
        return ""
    steps = f"{found[-1].first_step:,} to {found[-1].last_step:,}"
    return f"{candidate.label} has nan or inf in its last window, steps {steps}"


def _unequal_facts(reference: Group, candidate: Group) -> Dict[str, Tuple[str, str]]:
    """What the two groups' records say differently, by name."""
    first, second = reference.first.facts, candidate.first.facts
    return {
        name: (first[name], second[name])
        for name in first
        if name in second and first[name] != second[name]
    }


def _doubts(groups: Sequence[Group], unequal: Mapping[str, Tuple[str, str]]) -> Iterator[str]:
    """What forbids a verdict."""
    for group in groups:
        for run in group.runs:
            if run.incomplete:
                yield f"{group.label} ({run.source}) is {run.incomplete}"
    if "dataset" in unequal:
        yield "the datasets differ: {!r} and {!r}".format(*unequal["dataset"])


def _notes(groups: Sequence[Group], unequal: Mapping[str, Tuple[str, str]]) -> Iterator[str]:
    """What a reader should know besides."""
    for group in groups:
        yield from (f"{group.label}: {note}" for run in group.runs for note in run.notes)
    for name, (one, other) in unequal.items():
        yield f"{name} differs: {one} and {other}"
