"""Final figures and those of the best epoch, side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Optional

import numpy as np

from common.evidence.comparison.difference import between_evaluations, between_seeds
from common.evidence.comparison.estimate import Estimate
from common.evidence.comparison.runs import Group, Run

BY_SEEDS = "spread between seeds (Welch)"
BY_SAMPLES = "spread between test samples (at most that of right and wrong answers); one seed each"
BY_NOTHING = "one value each, of an unknown number of samples: no interval"


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
    return FigureComparison(
        name,
        compared.reference,
        compared.candidate,
        Estimate(found.value * whole, found.half_width * whole),
        BY_SAMPLES,
    )


def final_figure(run: Run, name: str) -> Optional[float]:
    """A record's final figure, else the last value of test_, plain or final_NAME, else None."""
    if name in run.final:
        return run.final[name]
    found = [
        run.series[prefix + name]
        for prefix in ("test_", "", "final_")
        if prefix + name in run.series
    ]
    return float(found[0].values[-1]) if found and len(found[0]) else None


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
    difference, basis = between_seeds(*sides), BY_SEEDS
    middles = [float(np.mean(side)) for side in sides]
    if not difference.is_known:
        difference, basis = Estimate(middles[1] - middles[0], float("inf")), BY_NOTHING
    return FigureComparison(name, middles[0], middles[1], difference, basis)
