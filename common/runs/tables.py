"""Result tables: rows out of run records; Markdown, aligned text or CSV out of rows."""

from __future__ import annotations

import csv
import io
import json
import math
import statistics
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

from common.cards.model_card import Metric, ModelCard, Task
from common.core.text import aligned, duration, quoted, shortened
from common.runs.provenance import recipe_of
from common.runs.record import COMPLETE, RunRecord, finite
from common.runs.table_words import Words, english

DASH = "–"
SUMMARY_HEADINGS = ("What", "Data", "Published", "Here", "On what, how long", "Record")


class Group(NamedTuple):
    """Runs of a task that differ in their seed only; differing: from others of their case."""

    records: Tuple[RunRecord, ...]
    task: Task
    differing: str = ""

    @property
    def first(self) -> RunRecord:
        """The run that stands for what all have in common."""
        return self.records[0]

    @property
    def logs(self) -> List[Tuple[int, str]]:
        """Seed and run id of each run."""
        return [(record.seed, record.run_id) for record in self.records]

    def values(self) -> List[float]:
        """The final metric of each run that ended well and has a finite one."""
        if self.first.status != COMPLETE:
            return []
        return _finite([one.metrics.final.get(self.task.metric.name) for one in self.records])


def groups_of(records: Sequence[RunRecord], card: ModelCard) -> List[Group]:
    """A network's runs by everything but the seed, in the order of their first run."""
    found: Dict[str, List[RunRecord]] = {}
    for record in records:
        if record.model == card.name and record.task in card.tasks:
            key = [record.task, record.case, record.status, _facts(record)]
            found.setdefault(json.dumps(key, sort_keys=True), []).append(record)
    firsts = [members[0] for members in found.values()]
    return [
        Group(tuple(members), card.tasks[members[0].task], _differing(members[0], firsts))
        for members in found.values()
    ]


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


def _differing(record: RunRecord, firsts: Sequence[RunRecord]) -> str:
    """The values by which a run differs from the others of its task and case."""
    own, case = _facts(record), (record.task, record.case)
    others = [_facts(other) for other in firsts if (other.task, other.case) == case]
    names = [name for name in own if any(own[name] != other.get(name) for other in others)]
    told = [own[name] if isinstance(own[name], str) else json.dumps(own[name]) for name in names]
    return ", ".join(f"{name} {shortened(one, 30)}" for name, one in zip(names[:3], told))


def of_no_card(records: Sequence[RunRecord], cards: Sequence[ModelCard]) -> List[str]:
    """One line for each record whose network or task no card has: no table can show it."""
    known = {(card.name, task) for card in cards for task in card.tasks}
    return [
        f"no card has the task {quoted(made.task)} of {quoted(made.model)}: {quoted(made.run_id)}"
        for made in records
        if (made.model, made.task) not in known
    ]


# --- cells ---


def _finite(values: Sequence[Any]) -> List[float]:
    return [value for value in map(finite, values) if value is not None]


def _spread(values: Sequence[Optional[float]], digits: int) -> str:
    """One value as it is, several as mean ± standard deviation."""
    known = _finite(values)
    if len(known) < 2:
        return f"{known[0]:.{digits}f}" if known else DASH
    return f"{statistics.mean(known):.{digits}f} ± {statistics.stdev(known):.{digits}f}"


def _result(group: Group, words: Words) -> str:
    """The final metric with its name, or how the run ended."""
    metric, values = group.task.metric, group.values()
    if group.first.status != COMPLETE:
        return words("aborted: {}").format(shortened(group.first.reason))
    if not values:
        return DASH
    percent = " %" if metric.unit == "percent" else ""
    text = f"{metric.name} {_spread(values, metric.digits)}{percent}"
    if metric.success is None or len(group.records) < 2:
        return text
    reached = sum(bool(metric.succeeded(value)) for value in values)
    told = words("{} of {} reached {:g}").format(reached, len(group.records), metric.success)
    return f"{text}; {told}"


def _speed(group: Group, words: Words) -> str:
    return _spread([record.speed.samples_per_second for record in group.records], 1)


def _on_what(group: Group, words: Words) -> str:
    device, count = group.first.device, group.first.progress.epochs
    seconds = statistics.mean(record.speed.wall_seconds for record in group.records)
    epochs = words("{} epochs, " if count > 1 else "{} epoch, ").format(count) if count else ""
    return f"{device.kind.upper()} {device.name} x {device.count}; {epochs}{duration(seconds)}"


def _network(group: Group, words: Words) -> str:
    network = group.first.network
    parameters = network.get("parameters")
    told = "" if parameters is None else words("; {:,} parameters").format(parameters)
    return f"{network['name']}{told}"


def _smallest_and_median(group: Group, words: Words) -> str:
    values, told = group.values(), group.task.metric.told
    if len(values) < 2:
        return DASH
    return f"{told(min(values))}, {told(statistics.median(values))}"


def _best(group: Group, words: Words) -> str:
    """The test metric of the weights that were best on validation, and when each run had them."""
    metric, bests = group.task.metric, [one.metrics.best_on_validation for one in group.records]
    text = _spread([best.get(metric.name) for best in bests], metric.digits)
    moments = {"epoch": "epoch {:.0f}", "step": "step {:,.0f}"}
    told = [
        ", ".join(words(form).format(best[name]) for name, form in moments.items() if name in best)
        for best in bests
        if best
    ]
    return text if text == DASH else f"{text} ({'; '.join(told)})"


def _made(group: Group, words: Words) -> str:
    code = group.first.code
    return f"{group.first.date[:10]}, {code.commit[:7]}{'†' if code.dirty else ''}"


def _steps(group: Group, words: Words) -> str:
    progress = group.first.progress
    return f"{progress.steps:,} / {progress.target_steps:,}"


def _precision(group: Group, words: Words) -> str:
    return f"{group.first.precision.arithmetic} ({group.first.precision.mode})"


def _evaluated(group: Group, words: Words) -> str:
    return f"{group.first.metrics.split or 'test'} {group.first.metrics.n_eval:,}"


def _data_wait(group: Group, words: Words) -> str:
    wait = group.first.speed.data_wait
    return DASH if wait is None else f"{100 * wait:.2f} %"


def _peak_memory(group: Group, words: Words) -> str:
    size = group.first.speed.peak_memory
    return DASH if size is None else f"{size / 2.0**30:.2f} GiB"


Cell = Callable[[Group, Words], str]
CELLS: Dict[str, Cell] = {
    "Data": lambda group, words: group.first.dataset.name,
    "Result": _result,
    "Samples/s": _speed,
    "On what, how long": _on_what,
}
DETAILS: Dict[str, Cell] = {
    "Network": _network,
    "Steps": _steps,
    "Precision": _precision,
    "Global batch": lambda group, words: str(group.first.batch.total),
    "Evaluated": _evaluated,
    "Smallest, median": _smallest_and_median,
    "Best on validation": _best,
    "Data wait": _data_wait,
    "Peak memory": _peak_memory,
    "Date, commit": _made,
}


def rows_of(
    groups: Sequence[Group], card: ModelCard, cells: Dict[str, Cell], words: Words = english
) -> List[List[str]]:
    """A table of a network's runs, the headings first: what ran, then these cells."""
    rows = [[words(name) for name in ("Run", *cells)]]
    for group in groups:
        task = f"{group.first.task} " if len(card.tasks) > 1 else ""
        run = f"{task}{group.first.case}" + (f": {group.differing}" if group.differing else "")
        rows.append([run, *(cell(group, words) for cell in cells.values())])
    return rows


# --- what tables are printed as ---


def measured_table(
    records: Sequence[RunRecord], card: ModelCard, to_root: str, words: Words = english
) -> str:
    """The Markdown table of what was measured; what does not fit beside it is folded below.

    Args:
        to_root: the relative path from the README's folder to the checkout's root, "" or "../../".
    """
    groups = groups_of(records, card)
    if not groups:
        return words("No run is recorded yet.") + "\n"
    folder = f"{to_root}results/{card.name}"
    head, *rows = rows_of(groups, card, CELLS, words)
    links = [_links(group, folder, ".log.gz", words("log")) for group in groups]
    details = rows_of(groups, card, DETAILS, words)
    notes = [words("NOTES")]
    if any("†" in cell for row in details for cell in row):
        notes.append(words("† run with uncommitted changes."))
    return (
        markdown([*head, words("Logs by seed")], [[*row, link] for row, link in zip(rows, links)])
        + f"\n<details><summary>{words('Network, precision, batch, memory, commit')}</summary>\n\n"
        + markdown(details[0], details[1:])
        + "\n{}\n\n</details>\n".format("  \n".join(notes))
    )


def _links(group: Group, folder: str, suffix: str, name: str) -> str:
    """One link by its name, several by their seeds."""
    return ", ".join(
        f"[{name if len(group.records) == 1 else seed}]({folder}/{run}{suffix})"
        for seed, run in group.logs
    )


def measured_text(records: Sequence[RunRecord], card: ModelCard) -> str:
    """The same table for a terminal: aligned, without links."""
    groups = groups_of(records, card)
    if not groups:
        return "  No run is recorded yet."
    seeds = ["Seeds", *(", ".join(str(seed) for seed, _ in group.logs) for group in groups)]
    rows = [[*row, seed] for row, seed in zip(rows_of(groups, card, CELLS), seeds)]
    return "\n".join("  " + line for line in aligned(rows).splitlines())


def measured_csv(records: Sequence[RunRecord], cards: Sequence[ModelCard]) -> str:
    """All tables as one of comma-separated values, with every column."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    cells = {**CELLS, **DETAILS}
    writer.writerow(("Network's card", "Run", *cells, "Seeds", "Run ids"))
    for card in cards:
        groups = groups_of(records, card)
        for group, row in zip(groups, rows_of(groups, card, cells)[1:]):
            seeds, runs = zip(*group.logs)
            writer.writerow((card.name, *row, " ".join(map(str, seeds)), " ".join(runs)))
    return stream.getvalue()


def summary_table(
    records: Sequence[RunRecord], cards: Sequence[ModelCard], to_root: str, words: Words = english
) -> str:
    """One row for each network and task: what others published, and the best that ran here."""
    rows = []
    for card in cards:
        for task in card.tasks.values():
            what = f"{card.title}, {words(task.name.replace('_', ' '))}"
            row = [what, DASH, task.headline or DASH, words("No run is recorded yet."), DASH, DASH]
            groups = [one for one in groups_of(records, card) if one.task.name == task.name]
            if groups:
                best = max(groups, key=_rank)
                row[1], row[3] = best.first.dataset.name, _result(best, words)
                folder = f"{to_root}results/{card.name}"
                row[4:] = _on_what(best, words), _links(best, folder, ".json", words("record"))
            rows.append(row)
    return markdown([words(name) for name in SUMMARY_HEADINGS], rows)


def _rank(group: Group) -> Tuple[bool, bool, float]:
    """The training whose mean is best; without one an evaluation, then a run that was aborted."""
    values, sign = group.values(), 1 if group.task.metric.higher_is_better else -1
    mean = sign * statistics.mean(values) if values else -math.inf
    return bool(values), group.first.progress.target_steps > 0, mean


def published_tables(card: ModelCard, words: Words = english) -> str:
    """The figures that others published, marked so, with their sources, in their own columns."""
    told = words("Published by others, not measured here: {} (source: {})")
    return "\n".join(
        f"{told.format(table.title, table.source)}\n\n"
        + markdown(table.columns, [[str(cell) for cell in row] for row in table.rows])
        for table in card.published
    )


def original_table(records: Sequence[RunRecord], card: ModelCard, words: Words = english) -> str:
    """What was measured, in the columns of the original README, which stay as they are."""

    def row(record: RunRecord) -> List[str]:
        metric: Metric = card.task(record.task).metric
        return [
            _spread([record.metrics.final.get(metric.name)], metric.digits),
            _spread([record.speed.samples_per_second], 1),
            str(record.progress.epochs),
            record.precision.mode,
            f"{record.device.kind}_{record.device.count}p",
            str(record.batch.per_device),
        ]

    own = [one for one in records if one.model == card.name and one.task in card.tasks]
    complete = [record for record in own if record.status == COMPLETE]
    if not complete:
        return words("No run is recorded yet.") + "\n"
    columns = ("Top1 acc", "FPS", "Epochs", "AMP_Type", "Device", "Bs")
    return markdown(columns, [row(record) for record in complete])


def markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; bars inside cells are escaped, line breaks are spaces."""
    lines = []
    for row in (columns, ["---"] * len(columns), *rows):
        cells = (" ".join(cell.split()).replace("|", "\\|") for cell in row)
        lines.append(f"| {' | '.join(cells)} |\n")
    return "".join(lines)
