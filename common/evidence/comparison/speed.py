"""The speeds of two groups of runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Optional, Tuple

import numpy as np

from common.evidence.comparison.estimate import UNKNOWN, Estimate
from common.evidence.comparison.runs import Group, Run
from common.evidence.comparison.throughput import Pace, pace_of, rate_of, ratio_of


@dataclass(frozen=True)
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


def compare_speed(
    reference: Group, candidate: Group, global_batch: Optional[int]
) -> Optional[SpeedComparison]:
    """All of a group's steps over all of its seconds; None where a side has no times.

    Steps become samples by each run's global batch or the one given; where no batch is known on
    either side the steps themselves are compared, as equal batches.
    """
    paces = [_pace(group, global_batch) for group in (reference, candidate)]
    first, second = paces
    if first is None or second is None:
        return None
    rates = rate_of(first), rate_of(second)
    if first.unit != second.unit:
        doubt = (
            f"{reference.label} counts {first.unit} and {candidate.label} {second.unit}: say "
            "--batch_size"
        )
        return SpeedComparison(rates[0], rates[1], "", UNKNOWN, (doubt,))
    remark = "steps are compared as of equal batches" if first.unit == "steps" else ""
    return SpeedComparison(
        rates[0], rates[1], first.unit, ratio_of(rates[0], rates[1]), remark=remark
    )


def _pace(group: Group, global_batch: Optional[int]) -> Optional[Pace]:
    found: List[Pace] = []
    for run in group.runs:
        pace = _pace_of_run(run, global_batch)
        if pace is not None and (not found or pace.unit == found[0].unit):
            found.append(pace)
    if not found:
        return None
    return Pace(
        np.concatenate([pace.amounts for pace in found]),
        np.concatenate([pace.seconds for pace in found]),
        found[0].unit,
    )


def _pace_of_run(run: Run, global_batch: Optional[int]) -> Optional[Pace]:
    pace = pace_of(run.series)
    batch = run.global_batch or global_batch
    if pace is None or pace.unit == "samples" or batch is None:
        return pace
    return pace.scaled(float(batch), "samples")
