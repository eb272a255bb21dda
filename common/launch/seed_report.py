"""What several seeds of one case came to: each one's metric, the median, how many succeeded."""

from __future__ import annotations

import dataclasses
import math
import statistics
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

from common.cards.model_card import Metric
from common.core.errors import ZooError
from common.core.text import aligned
from common.launch.run_folder import COMPLETE, SEED_FOLDER, read_marker
from common.runs import record as run_record

SCHEMA_VERSION = 1
NOT_RUN = "not run"
DASH = "–"


@dataclasses.dataclass(frozen=True)
class SeedResult:
    """One seed.

    Attributes:
        state: complete, failed, interrupted, or "not run".
        exit_code: None where it was not run.
        value: the task's metric on the test set with the final weights; None without one.
        reason: what a failed run failed of.
    """

    seed: int
    state: str
    exit_code: Optional[int]
    value: Optional[float]
    reason: str = ""


@dataclasses.dataclass(frozen=True)
class SeedReport:
    """All seeds of a launch, judged by one metric; a seed without a value has not succeeded."""

    model: str
    task: str
    case: str
    metric: Metric
    results: Sequence[SeedResult]

    @property
    def values(self) -> List[float]:
        """The metric of the seeds that have one."""
        return [result.value for result in self.results if result.value is not None]

    @property
    def median(self) -> Optional[float]:
        """The median of the values, None without any."""
        return statistics.median(self.values) if self.values else None

    @property
    def succeeded(self) -> Optional[int]:
        """How many seeds reached the card's threshold, None where the card has none."""
        if self.metric.success is None:
            return None
        return sum(1 for result in self.results if self.metric.succeeded(result.value))


def read_result(folder: Path, seed: int, metric: Metric) -> SeedResult:
    """What the run of one seed in `folder`/seed_N left, in its marker and its record."""
    run = folder / SEED_FOLDER.format(seed)
    marker = read_marker(run)
    if not marker.state:
        return SeedResult(seed, NOT_RUN, None, None, marker.fault)
    value = _value(run, metric) if marker.state == COMPLETE else None
    return SeedResult(seed, marker.state, marker.exit_code, value, marker.reason or "")


def _value(run: Path, metric: Metric) -> Optional[float]:
    try:
        record = run_record.read_record(run / run_record.FILE_NAME)
    except ZooError:
        return None
    value = record.metrics.final.get(metric.name)
    usable = isinstance(value, (int, float)) and math.isfinite(value)
    return float(value) if usable and value is not None else None


def as_text(report: SeedReport) -> str:
    """The report for people."""
    metric = report.metric
    rows = [("seed", metric.name + (", " + metric.unit if metric.unit else ""), "run")]
    rows += [
        (str(result.seed), _value_text(metric, result.value), _told(result))
        for result in report.results
    ]
    lines = [
        "{}/{} {}, {} seed{}".format(
            report.model,
            report.task,
            report.case,
            len(report.results),
            "s" * (len(report.results) > 1),
        )
    ]
    lines += ["  " + line for line in aligned(rows).splitlines()]
    return "\n".join(lines + [_summary(report)])


def _summary(report: SeedReport) -> str:
    metric = report.metric
    text = "no seed has a result"
    if report.median is not None:
        text = f"median {metric.told(report.median)} of {len(report.values)}"
    if report.succeeded is None or metric.success is None:
        return text
    return "{}; {} of {} succeeded ({} {} {:g})".format(
        text,
        report.succeeded,
        len(report.results),
        metric.name,
        "at least" if metric.higher_is_better else "at most",
        metric.success,
    )


def _told(result: SeedResult) -> str:
    if result.state == COMPLETE:
        return f"{result.state} in {SEED_FOLDER.format(result.seed)}"
    code = "" if result.exit_code is None else f" (exit code {result.exit_code})"
    return "{}{}{}".format(result.state, code, ": " + result.reason if result.reason else "")


def _value_text(metric: Metric, value: Optional[float]) -> str:
    return DASH if value is None else metric.told(value)


def as_json(report: SeedReport) -> Dict[str, Any]:
    """The report as JSON can hold it."""
    metric = report.metric
    return {
        "schema_version": SCHEMA_VERSION,
        "model": report.model,
        "task": report.task,
        "case": report.case,
        "metric": {
            "name": metric.name,
            "unit": metric.unit,
            "success": metric.success,
            "higher_is_better": metric.higher_is_better,
        },
        "seeds": [
            dict(
                dataclasses.asdict(result),
                succeeded=metric.succeeded(result.value),
                run_folder=SEED_FOLDER.format(result.seed),
            )
            for result in report.results
        ],
        "median": report.median,
        "succeeded": report.succeeded,
    }
