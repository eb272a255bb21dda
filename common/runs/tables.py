"""Result tables: rows out of run records, Markdown out of rows."""

from __future__ import annotations

import dataclasses
import json
import statistics
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from common.cards.model_card import Metric, ModelCard, PublishedTable
from common.runs.provenance import recipe_of
from common.runs.record import COMPLETE, RunRecord

DASH = "–"
COLUMNS = (
    "Network",
    "Task, case",
    "Dataset: trained on",
    "Epochs, steps",
    "Device",
    "Precision",
    "Global batch",
    "Seeds",
    "Final metric",
    "Best on validation",
    "Samples/s",
    "Data wait",
    "Peak memory",
    "Wall time",
    "Date, commit",
    "Log",
)


@dataclasses.dataclass(frozen=True)
class Group:
    """Complete runs that differ in their seed only."""

    records: Tuple[RunRecord, ...]

    @property
    def first(self) -> RunRecord:
        """The run that stands for what all have in common."""
        return self.records[0]


def grouped(records: Sequence[RunRecord]) -> List[Group]:
    """Groups runs by everything but the seed, in the order of their first run."""
    groups: Dict[str, List[RunRecord]] = {}
    for record in records:
        groups.setdefault(_key(record), []).append(record)
    return [Group(tuple(members)) for members in groups.values()]


def _key(record: RunRecord) -> str:
    return json.dumps(
        [
            record.model,
            record.task,
            record.case,
            recipe_of(record.config),
            record.dataset.predicate,
            record.device.kind,
            record.device.name,
            record.device.count,
            record.precision.arithmetic,
            record.batch.total,
            record.status,
            record.device.framework,
        ],
        sort_keys=True,
    )


def measured_table(records: Sequence[RunRecord], card: ModelCard, to_root: str) -> str:
    """The Markdown table of what was measured, with footnotes.

    Args:
        to_root: the relative path from the README's folder to the checkout's root, "" or "../../".
    """
    groups = grouped([record for record in records if record.model == card.name])
    if not groups:
        return "No run is recorded yet.\n"
    rows = [measured_row(group, card, to_root) for group in groups]
    return markdown(COLUMNS, rows) + "\n" + _footnotes(groups)


def measured_row(group: Group, card: ModelCard, to_root: str) -> List[str]:
    """One row of measured_table: what ran, what came out, and where to check it."""
    first, metric = group.first, card.task(group.first.task).metric
    several = len({task.metric.name for task in card.tasks.values()}) > 1
    name = metric.name + " " if several else ""
    return [
        "{}, {:,} parameters".format(first.network["name"], first.network["parameters"]),
        f"{first.task}, {first.case}",
        "{}: {:,} samples".format(first.dataset.name, first.dataset.counts.get("train", 0)),
        f"{first.progress.epochs} of {first.progress.target_epochs}, "
        f"{first.progress.steps:,} steps",
        f"{first.device.kind.upper()} {first.device.name} x {first.device.count}",
        f"{first.precision.arithmetic} ({first.precision.mode})",
        str(first.batch.total),
        _seeds(group),
        _metric_cell(group, metric, name),
        _best_cell(group, metric, name),
        _spread([record.speed.samples_per_second for record in group.records], 1),
        _percent(first.speed.data_wait),
        _memory(first.speed.peak_memory),
        _duration(first.speed.wall_seconds),
        _provenance(group),
        ", ".join(
            f"[log]({to_root}results/{record.model}/{record.run_id}.log.gz)"
            for record in group.records
        ),
    ]


def _seeds(group: Group) -> str:
    return "{} ({})".format(
        len(group.records), ", ".join(str(record.seed) for record in group.records)
    )


def _metric_cell(group: Group, metric: Metric, name: str) -> str:
    if group.first.status != COMPLETE:
        return "aborted: " + group.first.reason
    values = [record.metrics.final.get(metric.name) for record in group.records]
    text = _spread(values, metric.digits)
    if text == DASH:
        return text
    return f"{name}{text} (n = {group.first.metrics.n_eval:,}){_successes(values, metric)}"


def _successes(values: Sequence[Optional[float]], metric: Metric) -> str:
    """How many of several seeds reached the card's threshold, where it has one."""
    if metric.success is None or len(values) < 2:
        return ""
    known = _numbers(values)
    return (
        f", median {metric.told(statistics.median(known))}; "
        f"{sum(1 for value in known if metric.succeeded(value))} of {len(values)} reached "
        f"{metric.success:g}"
    )


def _best_cell(group: Group, metric: Metric, name: str) -> str:
    best = [record.metrics.best_on_validation for record in group.records]
    text = _spread([values.get(metric.name) for values in best], metric.digits)
    if text == DASH:
        return DASH
    return "{}{} ({})".format(name, text, "; ".join(_moment(values) for values in best))


def _moment(best: Mapping[str, float]) -> str:
    epoch = "epoch {:.0f}".format(best["epoch"]) if "epoch" in best else DASH
    return epoch + (", step {:,.0f}".format(best["step"]) if "step" in best else "")


def _numbers(values: Sequence[Any]) -> List[float]:
    """The values that are numbers: a metric may be missing, or "nan" as a record has it."""
    return [value for value in values if isinstance(value, (int, float))]


def _spread(values: Sequence[Optional[float]], digits: int) -> str:
    """One value as it is, several as mean ± standard deviation (smallest)."""
    known = _numbers(values)
    if not known:
        return DASH
    if len(known) == 1:
        return "{:.{}f}".format(known[0], digits)
    return "{:.{d}f} ± {:.{d}f} (min {:.{d}f})".format(
        statistics.mean(known), statistics.stdev(known), min(known), d=digits
    )


def _percent(share: Optional[float]) -> str:
    return DASH if share is None else f"{100 * share:.2f} %"


def _memory(size: Optional[int]) -> str:
    return DASH if size is None else f"{size / 2.0**30:.2f} GiB"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"


def _provenance(group: Group) -> str:
    code = group.first.code
    return "{}, {}{}".format(group.first.date[:10], code.commit[:7], "†" if code.dirty else "")


def _footnotes(groups: Sequence[Group]) -> str:
    notes = [
        "Metrics are of the whole test set named in the record; the epoch is chosen on the "
        "validation split, never on the test set. Samples/s is of the whole job over "
        "steady-state steps."
    ]
    if any(group.first.code.dirty for group in groups):
        notes.append("† run with uncommitted changes.")
    return "\n" + "  \n".join(notes) + "\n"


def published_tables(card: ModelCard) -> str:
    """The figures that others published, marked so, with their sources, in their own columns."""
    return "\n".join(_published(table) for table in card.published)


def _published(table: PublishedTable) -> str:
    rows = [[str(cell) for cell in row] for row in table.rows]
    return (
        f"Published by others, not measured here: {table.title} (source: "
        f"{table.source})\n\n{markdown(table.columns, rows)}"
    )


def original_table(records: Sequence[RunRecord], card: ModelCard) -> str:
    """What was measured, in the columns of the card's first published table where it has them."""
    values = [
        _original_row(record, card)
        for record in records
        if record.model == card.name and record.status == COMPLETE
    ]
    columns = ("Top1 acc", "FPS", "Epochs", "AMP_Type", "Device", "Bs")
    return markdown(columns, values) if values else "No run is recorded yet.\n"


def _original_row(record: RunRecord, card: ModelCard) -> List[str]:
    metric = card.task(record.task).metric
    return [
        _spread([record.metrics.final.get(metric.name)], metric.digits),
        _spread([record.speed.samples_per_second], 1),
        str(record.progress.epochs),
        record.precision.mode,
        f"{record.device.kind}_{record.device.count}p",
        str(record.batch.per_device),
    ]


def markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; bars inside cells are escaped."""
    lines = [_line(columns), _line(["---"] * len(columns))]
    return "\n".join(lines + [_line(row) for row in rows]) + "\n"


def _line(cells: Sequence[str]) -> str:
    return "| {} |".format(" | ".join(cell.replace("|", "\\|") for cell in cells))
