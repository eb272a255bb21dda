"""A whole comparison: everything told of two groups of runs, and the verdicts."""

from __future__ import annotations

from typing import Callable, Dict, List, Optional, Sequence, Tuple

import attrs
import numpy as np

from common.evidence.comparison.curves import (
    StepComparison,
    WindowComparison,
    aligned,
    compare_step,
    compare_windows,
    window,
)
from common.evidence.comparison.runs import Group, Run, Settings
from common.evidence.comparison.speed import (
    Reached,
    SpeedComparison,
    compare_speed,
    time_to_target,
)
from common.evidence.comparison.statistics import (
    UNKNOWN,
    Estimate,
    between_evaluations,
    between_seeds,
)
from common.evidence.comparison.verdicts import Verdict, perf_verdict, precision_verdict

BY_SEEDS = "spread between seeds (Welch)"
BY_SAMPLES = "spread between test samples (at most that of right and wrong answers); one seed each"
BY_NOTHING = "one value each, of an unknown number of samples: no interval"


@attrs.frozen
class FigureComparison:
    """One figure of two groups; basis says what the interval is made from."""

    name: str
    reference: float
    candidate: float
    difference: Estimate
    basis: str


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


def compare(reference: Group, candidate: Group, settings: Settings) -> Comparison:
    """Compares two groups of runs; the first run of each stands for its curve."""
    judged, groups = settings.judged, (reference, candidate)
    curves = [group.first.series.get(settings.curve) for group in groups]
    common_steps, at_step = 0, None
    windows: Tuple[WindowComparison, ...] = ()
    if curves[0] and curves[1]:
        pair = curves[0], curves[1]
        common_steps = len(aligned(*pair)[0])
        windows = tuple(compare_windows(*pair, settings.window))
        if settings.at_step is not None:
            at_step = compare_step(*pair, settings.at_step, settings.window)
    final = None
    if not judged.is_curve:
        whole = 100.0 if judged.unit == "percent" else 1.0
        final = _figure(groups, judged.name, Run.final_figure, whole, settings.n_eval)
    best = _figure(groups, judged.name, lambda run, name: run.best_figure(name, judged))
    speed = compare_speed(reference, candidate, settings.batch_size)
    seeds = _between_seeds(groups, settings)
    curve = seeds or (windows[-1].difference.relative if windows else None)
    metric = curve if judged.is_curve else (final.difference if final else None)
    loss = None if settings.curve_higher_is_better else curve
    doubts, notes = _oddities(groups)
    broken = ""
    ends = [one.mean.value for end in windows[-1:] for one in (end.reference, end.candidate)]
    if ends and np.isfinite(ends[0]) and not np.isfinite(ends[1]):
        broken = f"{candidate.label} has nan or inf in its last window"
    return Comparison(
        reference,
        candidate,
        settings,
        common_steps,
        at_step,
        windows,
        seeds,
        final,
        best,
        speed,
        reached=_reached(groups, settings),
        precision=precision_verdict(judged, metric, loss, broken, doubts),
        perf=perf_verdict(speed.ratio, speed.doubts) if speed else perf_verdict(UNKNOWN),
        notes=tuple(notes),
    )


def _figure(
    groups: Sequence[Group],
    name: str,
    figure: Callable[[Run, str], Optional[float]],
    whole: float = 0.0,
    n_eval: int = 0,
) -> Optional[FigureComparison]:
    """A figure of two groups, between seeds where there are several; None where a side has none.

    Args:
        whole: of a figure of the test set the value of all right, 100 or 1; its interval can come
            from the number of samples.
        n_eval: samples of the test set, for runs that don't say so themselves.
    """
    sides = []
    for group in groups:
        values = [figure(run, name) for run in group.runs]
        sides.append([value for value in values if value is not None and np.isfinite(value)])
    if not all(sides):
        return None
    first, second = (float(np.mean(side)) for side in sides)
    difference, basis = between_seeds(*sides), BY_SEEDS
    if not difference.is_known:
        difference, basis = Estimate(second - first), BY_NOTHING
        counts = [group.first.n_eval or n_eval for group in groups]
        if whole and min(counts) and all(0 <= mean <= whole for mean in (first, second)):
            shares = between_evaluations(first / whole, counts[0], second / whole, counts[1])
            difference, basis = shares.scaled(whole), BY_SAMPLES
    return FigureComparison(name, first, second, difference, basis)


def _between_seeds(groups: Sequence[Group], settings: Settings) -> Optional[Estimate]:
    """The relative difference of last windows between groups of several seeds; None for one."""
    levels = []
    for group in groups:
        curves = [run.series[settings.curve] for run in group.runs if settings.curve in run.series]
        parts = [window(curve, int(curve.steps[-1]), settings.window) for curve in curves]
        levels.append([float(part.values.mean()) for part in parts])
    base = float(np.mean(levels[0])) if levels[0] else 0.0
    if min(map(len, levels)) < 2 or not base:
        return None
    return between_seeds(*levels).scaled(1 / base)


def _reached(
    groups: Sequence[Group], settings: Settings
) -> Dict[str, Tuple[Optional[Reached], ...]]:
    target, higher = settings.target, settings.curve_higher_is_better
    if target is None:
        return {}
    return {
        group.label: tuple(
            time_to_target(run.series, settings.curve, target, higher) for run in group.runs
        )
        for group in groups
    }


def _oddities(groups: Sequence[Group]) -> Tuple[List[str], List[str]]:
    """What forbids a verdict, and what a reader should know besides."""
    doubts, notes = [], []
    for group in groups:
        for run in group.runs:
            notes += [f"{group.label}: {note}" for note in run.notes]
            if run.incomplete:
                doubts.append(f"{group.label} ({run.source}) is {run.incomplete}")
    first, second = (group.first.facts for group in groups)
    for name in first:
        if name in second and first[name] != second[name]:
            notes.append(f"{name} differs: {first[name]} and {second[name]}")
            if name == "dataset":
                doubts.append(f"the datasets differ: {first[name]!r} and {second[name]!r}")
    return doubts, notes
