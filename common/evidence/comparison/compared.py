"""A whole comparison: everything told of two groups of runs, and the verdicts with their rules.

Verdicts are in the vocabulary of Ascend's modelzoo_level.txt, which is computed here as well.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Callable, Dict, List, Optional, Sequence, Tuple

import attrs
import numpy as np

from common.cards.model_card import ModelCard
from common.evidence.comparison.curves import (
    Reached,
    SpeedComparison,
    StepComparison,
    WindowComparison,
    aligned,
    compare_end,
    compare_speed,
    compare_step,
    time_to_target,
    window,
)
from common.evidence.comparison.runs import (
    LOSS_MARGIN,
    Group,
    Judged,
    Run,
    Settings,
    read_run,
    settings_of,
)
from common.evidence.comparison.statistics import (
    UNKNOWN,
    Estimate,
    between_evaluations,
    between_seeds,
)
from common.runs import store
from common.runs.record import COMPLETE, RunRecord

BY_SEEDS = "spread between seeds (Welch)"
BY_SAMPLES = "spread between test samples (at most that of right and wrong answers); one seed each"
BY_NOTHING = "one value each, of an unknown number of samples: no interval"

PERFECT, OK, POK, NOK, INCONCLUSIVE = "PERFECT", "OK", "POK", "NOK", "INCONCLUSIVE"
SPEED_CLASSES = ((PERFECT, 1.2), (OK, 1.0), (POK, 0.5))
WIDEST_CURVE_INTERVAL = 0.2  # relative half width; a wider one finds "better" by luck
WIDEST_SPEED_INTERVAL = 0.05  # relative half width; wider is no measurement
PRECISION_RULE = (
    "OK: the 95 % interval against the reference ends within the margin; NOK: it lies wholly "
    f"beyond; POK: so does a final figure, but the loss is not more than {100 * LOSS_MARGIN:.0f} % "
    "higher; INCONCLUSIVE: else, without such a figure, or with an interval of a curve that is "
    f"wider than ±{100 * WIDEST_CURVE_INTERVAL:.0f} %"
)
PERF_RULE = (
    "PERFECT from 1.2x, OK from 1.0x, POK from 0.5x, NOK below: samples/s of all samples "
    "over all seconds; INCONCLUSIVE without times, or where the 95 % interval is wider "
    f"than ±{100 * WIDEST_SPEED_INTERVAL:.0f} %"
)

LEVEL_FILE = "modelzoo_level.txt"
UNVERIFIED = "unverified"  # a word that Ascend's vocabulary lacks: what no record proves


@attrs.frozen
class Verdict:
    """A status, why it is that, and the rule that says so."""

    status: str
    because: str
    rule: str


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
    end: Optional[WindowComparison]
    between_seeds: Optional[Estimate]
    final: Optional[FigureComparison]
    best: Optional[FigureComparison]
    speed: Optional[SpeedComparison]
    reached: Dict[str, Tuple[Optional[Reached], ...]]
    precision: Verdict
    perf: Verdict
    notes: Tuple[str, ...]

    @property
    def verdicts(self) -> Dict[str, Verdict]:
        """Both verdicts by the names of modelzoo_level.txt."""
        return {"PrecisionStatus": self.precision, "PerfStatus": self.perf}


def compare(reference: Group, candidate: Group, settings: Settings) -> Comparison:
    """Compares two groups of runs; the first run of each stands for its curve."""
    judged, groups = settings.judged, (reference, candidate)
    curves = [group.first.series.get(settings.curve) for group in groups]
    common_steps, at_step = 0, None
    end: Optional[WindowComparison] = None
    if curves[0] and curves[1]:
        pair = curves[0], curves[1]
        common_steps = len(aligned(*pair)[0])
        end = compare_end(*pair, settings.window)
        if settings.at_step is not None:
            at_step = compare_step(*pair, settings.at_step, settings.window)
    final = None
    if not judged.is_curve:
        whole = 100.0 if judged.unit == "percent" else 1.0
        final = _figure(groups, judged.name, Run.final_figure, whole, settings.n_eval)
    best = _figure(groups, judged.name, lambda run, name: run.best_figure(name, judged))
    speed = compare_speed(reference, candidate, settings.batch_size)
    seeds = _between_seeds(groups, settings)
    curve = seeds or (end.difference.relative if end else None)
    metric = curve if judged.is_curve else (final.difference if final else None)
    loss = None if settings.curve_higher_is_better else curve
    doubts, notes = _oddities(groups)
    broken = ""
    ends = [one.mean.value for one in (end.reference, end.candidate)] if end else [0.0, 0.0]
    if np.isfinite(ends[0]) and not np.isfinite(ends[1]):
        broken = f"{candidate.label} has nan or inf in its last window"
    reached = {}
    if settings.target is not None:
        wanted = settings.curve, settings.target, settings.curve_higher_is_better
        reached = {
            group.label: tuple(time_to_target(run.series, *wanted) for run in group.runs)
            for group in groups
        }
    return Comparison(
        reference,
        candidate,
        settings,
        common_steps,
        at_step,
        end,
        seeds,
        final,
        best,
        speed,
        reached,
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


# --- verdicts ---


def precision_verdict(
    judged: Judged,
    metric: Optional[Estimate],
    loss: Optional[Estimate],
    broken: str = "",
    doubts: Sequence[str] = (),
) -> Verdict:
    """OK, POK, NOK or INCONCLUSIVE; never OK without an interval that lies within the margin.

    Args:
        metric: candidate less reference of the judged metric, relative for a curve; None without.
        loss: the relative difference of the training losses over the last window; None without.
        broken: what makes the candidate wrong whatever else it has, such as nan.
        doubts: what forbids any verdict, such as an aborted run.
    """
    unnamed = f"no margin is named for {judged.name}"
    rule = f"INCONCLUSIVE: {unnamed}"
    if judged.margin is not None:
        worse = "lower" if judged.higher_is_better else "higher"
        rule = f"margin of {judged.name} {judged.told(judged.margin)} {worse}. {PRECISION_RULE}"

    def verdict(status: str, because: str) -> Verdict:
        return Verdict(status, because, rule)

    if broken:
        return verdict(NOK, broken)
    if doubts:
        return verdict(INCONCLUSIVE, "; ".join(doubts))
    agrees = loss is not None and loss.is_known and loss.high <= LOSS_MARGIN
    if metric is None:
        # A training loss alone can show that something is wrong, not that it is well.
        missing = f"{judged.name} is not there on both sides"
        if loss is not None and loss.is_known and loss.low > LOSS_MARGIN:
            higher = f"{100 * loss.low:.1f} to {100 * loss.high:.1f} % higher"
            return verdict(NOK, f"{missing}, and the loss is {higher}")
        proves = "; the loss curves agree, which alone proves no accuracy" if agrees else ""
        return verdict(INCONCLUSIVE, missing + proves)
    if judged.margin is None:
        return verdict(INCONCLUSIVE, unnamed)
    if not metric.is_known:
        return verdict(INCONCLUSIVE, f"how far {judged.name} may be off by chance is not known")
    low, high = judged.told(metric.low, "+"), judged.told(metric.high, "+")
    span = f"{judged.name} differs by {low} to {high}"
    # Noise is held against either run: a low mean by luck makes its own interval narrow.
    smaller = min(1.0, 1 + metric.value)
    is_wide = smaller <= 0 or metric.half_width > WIDEST_CURVE_INTERVAL * smaller
    if judged.is_curve and is_wide:
        return verdict(INCONCLUSIVE, span + ": too noisy")
    better = metric if judged.higher_is_better else metric.scaled(-1)
    if better.low >= -judged.margin:
        return verdict(OK, span)
    if better.high >= -judged.margin:
        return verdict(INCONCLUSIVE, span + ": both sides of the margin")
    if judged.is_curve or not agrees:
        return verdict(NOK, span)
    return verdict(POK, span + ", and the loss curves agree")


def perf_verdict(ratio: Estimate, doubts: Sequence[str] = ()) -> Verdict:
    """PERFECT, OK, POK, NOK by the throughput ratio, or INCONCLUSIVE."""
    status = INCONCLUSIVE
    told = f"{ratio.value:.2f}x [{ratio.low:.2f}, {ratio.high:.2f}]"
    if doubts:
        told = "; ".join(doubts)
    elif not math.isfinite(ratio.value):
        told = "no throughput on both sides"
    elif not ratio.is_known:
        told = "too few times for an interval"
    elif ratio.half_width > WIDEST_SPEED_INTERVAL * ratio.value:
        told += ": too noisy"
    else:
        status = next((name for name, least in SPEED_CLASSES if ratio.value >= least), NOK)
    return Verdict(status, told, PERF_RULE)


def exit_code(statuses: Sequence[str]) -> int:
    """1 where any status is POK or NOK, else 2 where any is INCONCLUSIVE, else 0."""
    if {POK, NOK} & set(statuses):
        return 1
    return 2 if INCONCLUSIVE in statuses else 0


# --- modelzoo_level.txt ---


def levels(root: Path, cards: Sequence[ModelCard], records: Sequence[RunRecord]) -> Dict[Path, str]:
    """What each network's file has to hold, by its path: a line for each status, without blanks."""
    return {card.folder / LEVEL_FILE: _level_of(root, card.name, records) for card in cards}


def _level_of(root: Path, model: str, records: Sequence[RunRecord]) -> str:
    on: Dict[str, Dict[Tuple[str, str], List[RunRecord]]] = {"gpu": {}, "npu": {}}
    for record in records:
        if record.model == model and record.status == COMPLETE and record.device.kind in on:
            on[record.device.kind].setdefault((record.task, record.case), []).append(record)
    precision, perf = [], []
    for case in sorted(set(on["gpu"]) & set(on["npu"])):
        groups = []
        for kind in on:
            paths = [store.record_path(root, one) for one in on[kind][case]]
            groups.append(Group(kind, tuple(read_run(path, kind) for path in paths)))
        found = compare(groups[0], groups[1], settings_of(groups))
        precision.append(found.precision.status)
        perf.append(found.perf.status)

    def worst(statuses: Sequence[str]) -> str:
        if not statuses or INCONCLUSIVE in statuses:
            return UNVERIFIED
        return min(statuses, key=(NOK, POK, OK, PERFECT).index)

    statuses = {
        "GPUStatus": OK if on["gpu"] else UNVERIFIED,
        "NPUMigrationStatus": UNVERIFIED,
        "FuncStatus": OK if on["npu"] else UNVERIFIED,
        "PrecisionStatus": worst(precision),
        "AutoTune": UNVERIFIED,
        "PerfStatus": worst(perf),
    }
    return "".join(f"{key}:{value}\n" for key, value in statuses.items())
