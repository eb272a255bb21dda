"""Result tables: rows out of run records; Markdown, aligned text or CSV out of rows."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
import statistics
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from common.cards.model_card import Metric, ModelCard, PublishedTable, Task
from common.core.text import aligned, duration, quoted, shortened
from common.runs.provenance import recipe_of
from common.runs.record import COMPLETE, RunRecord
from common.runs.table_words import Words, english

DASH = "–"
HEADINGS = ("Run", "Data", "Result", "Samples/s", "On what, how long")
LOG_HEADING = "Logs by seed"
DETAIL_HEADINGS = (
    "Run",
    "Network",
    "Steps",
    "Precision",
    "Global batch",
    "Evaluated",
    "Smallest, median",
    "Best on validation",
    "Data wait",
    "Peak memory",
    "Date, commit",
)
SUMMARY_HEADINGS = ("What", "Data", "Published", "Here", "On what, how long", "Record")


@dataclasses.dataclass(frozen=True)
class Group:
    """Runs that differ in their seed only."""

    records: Tuple[RunRecord, ...]

    @property
    def first(self) -> RunRecord:
        """The run that stands for what all have in common."""
        return self.records[0]

    @property
    def is_complete(self) -> bool:
        """Whether the runs ended well."""
        return self.first.status == COMPLETE

    def values(self, name: str) -> List[float]:
        """The final metric of each run that has a finite one."""
        return _finite([record.metrics.final.get(name) for record in self.records])


class Row(NamedTuple):
    """One group in a table; logs are (seed, run id) pairs."""

    cells: Tuple[str, ...]
    details: Tuple[str, ...]
    logs: Tuple[Tuple[int, str], ...]


def grouped(records: Sequence[RunRecord]) -> List[Group]:
    """Groups runs by everything but the seed, in the order of their first run."""
    groups: Dict[str, List[RunRecord]] = {}
    for record in records:
        key = [record.model, record.task, record.case, record.status, _facts(record)]
        groups.setdefault(json.dumps(key, sort_keys=True), []).append(record)
    return [Group(tuple(members)) for members in groups.values()]


def _facts(record: RunRecord) -> Dict[str, Any]:
    """What may tell runs of one case apart: the configuration, and what it ran on and with."""
    return {
        **recipe_of(record.config),
        "batch": record.batch.total,
        "precision": record.precision.arithmetic,
        "device": f"{record.device.kind} {record.device.name} x {record.device.count}",
        "framework": record.device.framework,
        "data": record.dataset.predicate,
    }


def _differing(group: Group, groups: Sequence[Group]) -> str:
    """The values by which a group differs from the others of its task and case."""
    own = _facts(group.first)
    others = [
        _facts(other.first)
        for other in groups
        if (other.first.task, other.first.case) == (group.first.task, group.first.case)
    ]
    names = [name for name in own if any(own[name] != other.get(name) for other in others)]
    return ", ".join(f"{name} {_plain(own[name])}" for name in names[:3])


def _plain(value: Any) -> str:
    return shortened(value if isinstance(value, str) else json.dumps(value), 30)


def of_card(records: Sequence[RunRecord], card: ModelCard) -> List[RunRecord]:
    """The records of a network's tasks."""
    return [made for made in records if made.model == card.name and made.task in card.tasks]


def of_no_card(records: Sequence[RunRecord], cards: Sequence[ModelCard]) -> List[str]:
    """One line for each record whose network or task no card has: no table can show it."""
    known = {(card.name, task) for card in cards for task in card.tasks}
    return [
        f"no card has the task {quoted(made.task)} of {quoted(made.model)}: {quoted(made.run_id)}"
        for made in records
        if (made.model, made.task) not in known
    ]


def rows_of(records: Sequence[RunRecord], card: ModelCard, words: Words = english) -> List[Row]:
    """The rows of a network's table: what ran, what came out, on what."""
    groups = grouped(of_card(records, card))
    return [_row(group, groups, card, words) for group in groups]


def _row(group: Group, groups: Sequence[Group], card: ModelCard, words: Words) -> Row:
    first, metric = group.first, card.task(group.first.task).metric
    differing = _differing(group, groups)
    task = f"{first.task} " if len(card.tasks) > 1 else ""
    run = f"{task}{first.case}" + (f": {differing}" if differing else "")
    values = group.values(metric.name)
    known = bool(values) and group.is_complete
    bests = [record.metrics.best_on_validation for record in group.records]
    median = metric.told(statistics.median(values)) if known else ""
    parameters = first.network.get("parameters")
    return Row(
        cells=(
            run,
            first.dataset.name,
            _result(group, metric, words),
            _spread([record.speed.samples_per_second for record in group.records], 1),
            _on_what(group, words),
        ),
        details=(
            run,
            first.network["name"]
            + ("" if parameters is None else words("; {:,} parameters").format(parameters)),
            f"{first.progress.steps:,} / {first.progress.target_steps:,}",
            f"{first.precision.arithmetic} ({first.precision.mode})",
            str(first.batch.total),
            "{} {:,}".format(first.metrics.split or "test", first.metrics.n_eval),
            f"{metric.told(min(values))}, {median}" if known and len(values) > 1 else DASH,
            _best_told(bests, metric, words),
            DASH if first.speed.data_wait is None else f"{100 * first.speed.data_wait:.2f} %",
            _memory(first.speed.peak_memory),
            f"{first.date[:10]}, {first.code.commit[:7]}{'†' if first.code.dirty else ''}",
        ),
        logs=tuple((record.seed, record.run_id) for record in group.records),
    )


def _result(group: Group, metric: Metric, words: Words) -> str:
    """The final metric with its name, or how the run ended."""
    if not group.is_complete:
        return words("aborted: {}").format(shortened(group.first.reason))
    values = group.values(metric.name)
    if not values:
        return DASH
    percent = " %" if metric.unit == "percent" else ""
    text = f"{metric.name} {_spread(values, metric.digits)}{percent}"
    if metric.success is None or len(group.records) < 2:
        return text
    reached = sum(1 for value in values if metric.succeeded(value))
    told = words("{} of {} reached {:g}").format(reached, len(group.records), metric.success)
    return f"{text}; {told}"


def _on_what(group: Group, words: Words) -> str:
    first = group.first
    seconds = statistics.mean(record.speed.wall_seconds for record in group.records)
    count = first.progress.epochs
    epochs = words("{} epochs, " if count > 1 else "{} epoch, ").format(count) if count else ""
    return (
        f"{first.device.kind.upper()} {first.device.name} x {first.device.count}; "
        f"{epochs}{duration(seconds)}"
    )


def _best_told(bests: Sequence[Mapping[str, float]], metric: Metric, words: Words) -> str:
    """The test metric of the weights that were best on validation, and when each run had them."""
    text = _spread([best.get(metric.name) for best in bests], metric.digits)
    if text == DASH:
        return DASH
    return "{} ({})".format(text, "; ".join(_moment(best, words) for best in bests if best))


def _moment(best: Mapping[str, float], words: Words) -> str:
    step = words("step {:,.0f}").format(best["step"]) if "step" in best else ""
    epoch = words("epoch {:.0f}").format(best["epoch"]) if "epoch" in best else ""
    return ", ".join(part for part in (epoch, step) if part)


def _finite(values: Sequence[Any]) -> List[float]:
    return [value for value in values if isinstance(value, (int, float)) and math.isfinite(value)]


def _spread(values: Sequence[Optional[float]], digits: int) -> str:
    """One value as it is, several as mean ± standard deviation."""
    known = _finite(values)
    if len(known) < 2:
        return f"{known[0]:.{digits}f}" if known else DASH
    return f"{statistics.mean(known):.{digits}f} ± {statistics.stdev(known):.{digits}f}"


def _memory(size: Optional[int]) -> str:
    return DASH if size is None else f"{size / 2.0**30:.2f} GiB"


# --- what tables are printed as ---


def measured_table(
    records: Sequence[RunRecord], card: ModelCard, to_root: str, words: Words = english
) -> str:
    """The Markdown table of what was measured; what does not fit beside it is folded below.

    Args:
        to_root: the relative path from the README's folder to the checkout's root, "" or "../../".
    """
    rows = rows_of(records, card, words)
    if not rows:
        return words("No run is recorded yet.") + "\n"
    folder = f"{to_root}results/{card.name}"
    table = [row.cells + (_links(row.logs, folder, ".log.gz", words("log")),) for row in rows]
    notes = [words("NOTES")]
    if any("†" in cell for row in rows for cell in row.details):
        notes.append(words("† run with uncommitted changes."))
    return (
        markdown([words(name) for name in HEADINGS + (LOG_HEADING,)], table)
        + f"\n<details><summary>{words('Network, precision, batch, memory, commit')}</summary>\n\n"
        + markdown([words(name) for name in DETAIL_HEADINGS], [row.details for row in rows])
        + "\n{}\n\n</details>\n".format("  \n".join(notes))
    )


def _links(logs: Sequence[Tuple[int, str]], folder: str, suffix: str, name: str) -> str:
    """One link by its name, several by their seeds."""
    return ", ".join(
        f"[{name if len(logs) == 1 else seed}]({folder}/{run}{suffix})" for seed, run in logs
    )


def measured_text(records: Sequence[RunRecord], card: ModelCard) -> str:
    """The same table for a terminal: aligned, without links."""
    rows = rows_of(records, card)
    if not rows:
        return "  No run is recorded yet."
    seeds = [", ".join(str(seed) for seed, _ in row.logs) for row in rows]
    table = [HEADINGS + ("Seeds",)] + [row.cells + (seed,) for row, seed in zip(rows, seeds)]
    return "\n".join("  " + line for line in aligned(table).splitlines())


def measured_csv(records: Sequence[RunRecord], cards: Sequence[ModelCard]) -> str:
    """All tables as one of comma-separated values, with every column."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(("Network's card", *HEADINGS, *DETAIL_HEADINGS[1:], "Seeds", "Run ids"))
    for card in cards:
        for row in rows_of(records, card):
            seeds, runs = zip(*row.logs)
            joined = (" ".join(str(seed) for seed in seeds), " ".join(runs))
            writer.writerow((card.name, *row.cells, *row.details[1:], *joined))
    return stream.getvalue()


def summary_table(
    records: Sequence[RunRecord], cards: Sequence[ModelCard], to_root: str, words: Words = english
) -> str:
    """One row for each network and task: what others published, and the best that ran here."""
    rows = []
    for card in cards:
        for task in card.tasks.values():
            groups = grouped(of_card(records, card))
            best = _best([group for group in groups if group.first.task == task.name], task)
            what = f"{card.title}, {words(task.name.replace('_', ' '))}"
            rows.append((what, *_summary(best, card, task, to_root, words)))
    return markdown([words(name) for name in SUMMARY_HEADINGS], rows)


def _best(groups: Sequence[Group], task: Task) -> Optional[Group]:
    """The training whose mean is best; without one an evaluation, then a run that was aborted."""
    sign = 1 if task.metric.higher_is_better else -1

    def rank(group: Group) -> Tuple[bool, bool, float]:
        values = group.values(task.metric.name) if group.is_complete else []
        mean = sign * statistics.mean(values) if values else -math.inf
        return bool(values), group.first.progress.target_steps > 0, mean

    return max(groups, key=rank) if groups else None


def _summary(
    group: Optional[Group], card: ModelCard, task: Task, to_root: str, words: Words
) -> Tuple[str, ...]:
    published = task.headline or DASH
    if group is None:
        return DASH, published, words("No run is recorded yet."), DASH, DASH
    logs = [(record.seed, record.run_id) for record in group.records]
    return (
        group.first.dataset.name,
        published,
        _result(group, task.metric, words),
        _on_what(group, words),
        _links(logs, f"{to_root}results/{card.name}", ".json", words("record")),
    )


def published_tables(card: ModelCard, words: Words = english) -> str:
    """The figures that others published, marked so, with their sources, in their own columns."""
    return "\n".join(_published(table, words) for table in card.published)


def _published(table: PublishedTable, words: Words) -> str:
    rows = [[str(cell) for cell in row] for row in table.rows]
    told = words("Published by others, not measured here: {} (source: {})")
    return f"{told.format(table.title, table.source)}\n\n{markdown(table.columns, rows)}"


def original_table(records: Sequence[RunRecord], card: ModelCard, words: Words = english) -> str:
    """What was measured, in the columns of the original README, which stay as they are."""
    complete = [made for made in of_card(records, card) if made.status == COMPLETE]
    if not complete:
        return words("No run is recorded yet.") + "\n"
    columns = ("Top1 acc", "FPS", "Epochs", "AMP_Type", "Device", "Bs")
    return markdown(columns, [_original_row(record, card) for record in complete])


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
    """A Markdown table; bars inside cells are escaped, line breaks are spaces."""
    lines = [_line(columns), _line(["---"] * len(columns))]
    return "\n".join(lines + [_line(row) for row in rows]) + "\n"


def _line(cells: Sequence[str]) -> str:
    told = (" ".join(cell.split()).replace("|", "\\|") for cell in cells)
    return "| {} |".format(" | ".join(told))
