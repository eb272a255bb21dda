"""Result tables: rows out of run records; Markdown, aligned text or CSV out of rows; READMEs."""

from __future__ import annotations

import csv
import functools
import io
import json
import math
import statistics
from pathlib import Path
from typing import (
    Any,
    Callable,
    Dict,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
)

from common.cards.model_card import ModelCard, Task
from common.core.codec import content_of, parse_yaml
from common.core.text import aligned, duration, quoted, shortened
from common.runs.provenance import recipe_of
from common.runs.record import COMPLETE, RunRecord, finite

DASH = "–"
SHOWN = ("Run", "Data", "Result", "Samples/s", "On what, how long")
FOLDED = (
    *("Network", "Steps", "Precision", "Global batch", "Evaluated", "Smallest, median"),
    *("Best on validation", "Data wait", "Peak memory", "Date, commit"),
)
SUMMARY_HEADINGS = ("What", "Data", "Published", "Here", "On what, how long", "Record")
FRAMEWORK_NAMES = {"tensorflow": "TensorFlow", "pytorch": "torch"}
NOTES = (
    "Results are of the whole test set, with the last weights; the best epoch is chosen on the "
    "validation split, never on the test set. Several seeds: mean ± standard deviation. Samples/s "
    "is of the whole job over steady-state steps."
)
Words = Callable[[str], str]  # a table's words in the language of its document; str: English


def chinese(text: str) -> str:
    """A text in Chinese; one that is not known stays as it is."""
    return str(_in_chinese().get(text, text))


@functools.lru_cache(maxsize=None)
def _in_chinese() -> Mapping[str, Any]:
    path = Path(__file__).with_name("chinese.yaml")
    words: Mapping[str, Any] = parse_yaml(content_of(path), str(path))
    return words


class Group(NamedTuple):
    """Runs of a task that differ in their seed only; name tells them from others of the card."""

    records: Tuple[RunRecord, ...]
    task: Task
    name: str

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
    groups = []
    for members in found.values():
        task, case = members[0].task, members[0].case
        rivals = [_facts(one) for one in firsts if (one.task, one.case) == (task, case)]
        differing = _differing(_facts(members[0]), rivals)
        name = f"{task} " * (len(card.tasks) > 1) + case + f": {differing}" * bool(differing)
        groups.append(Group(tuple(members), card.tasks[task], name))
    return groups


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


def _differing(own: Dict[str, Any], rivals: Sequence[Dict[str, Any]]) -> str:
    """The first three facts by which a run differs from any of its case, by their last names.

    What has in all of them the value of a fact that is told follows from it, and is left out.
    """
    own_leaves, *others = [_leaves(facts) for facts in (own, *rivals)]
    told: Dict[str, str] = {}  # by the values of all
    for path, value in own_leaves.items():
        values = [value, *(other.get(path) for other in others)]
        if any(value != other for other in values):
            text = value if isinstance(value, str) else json.dumps(value)
            told.setdefault(json.dumps(values), f"{path[-1]} {shortened(text, 30)}")
    return ", ".join(list(told.values())[:3])


def _leaves(facts: Mapping[str, Any], within: Tuple[str, ...] = ()) -> Dict[Tuple[str, ...], Any]:
    """Facts without mappings in them, by all the names that lead to each."""
    found: Dict[Tuple[str, ...], Any] = {}
    for name, value in facts.items():
        path = (*within, name)
        found.update(_leaves(value, path) if isinstance(value, dict) else {path: value})
    return found


def of_no_card(records: Sequence[RunRecord], cards: Sequence[ModelCard]) -> List[str]:
    """One line for each record whose network or task no card has: no table can show it."""
    known = {(card.name, task) for card in cards for task in card.tasks}
    return [
        f"no card has the task {quoted(made.task)} of {quoted(made.model)}: {quoted(made.run_id)}"
        for made in records
        if (made.model, made.task) not in known
    ]


# --- cells ---


def row_of(group: Group, words: Words = str) -> Dict[str, str]:
    """All cells of a row by their headings, which are in English."""
    first, metric, values = group.first, group.task.metric, group.values()
    speed, progress, precision, code = first.speed, first.progress, first.precision, first.code
    parameters, epochs = first.network.get("parameters"), progress.epochs
    told_epochs = words("{} epochs, " if epochs > 1 else "{} epoch, ").format(epochs)
    seconds = statistics.mean(record.speed.wall_seconds for record in group.records)
    return {
        "Run": group.name,
        "Data": first.dataset.name,
        "Result": _result(group, words),
        "Samples/s": _spread([record.speed.samples_per_second for record in group.records], 1),
        "On what, how long": (
            f"{first.device.kind.upper()} {first.device.name} x {first.device.count}; "
            f"{told_epochs if epochs else ''}{duration(seconds)}"
        ),
        "Network": first.network["name"]
        + ("" if parameters is None else words("; {:,} parameters").format(parameters)),
        "Steps": f"{progress.steps:,} / {progress.target_steps:,}",
        "Precision": f"{precision.arithmetic} ({precision.mode})",
        "Global batch": str(first.batch.total),
        "Evaluated": f"{first.metrics.split or 'test'} {first.metrics.n_eval:,}",
        "Smallest, median": DASH
        if len(values) < 2
        else f"{metric.told(min(values))}, {metric.told(statistics.median(values))}",
        "Best on validation": _best(group, words),
        "Data wait": DASH if speed.data_wait is None else f"{100 * speed.data_wait:.2f} %",
        "Peak memory": DASH
        if speed.peak_memory is None
        else f"{speed.peak_memory / 2.0**30:.2f} GiB",
        "Date, commit": f"{first.date[:10]}, {code.commit[:7]}{'†' * code.dirty}",
    }


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


# --- what tables are printed as ---


def measured_table(
    records: Sequence[RunRecord], card: ModelCard, to_root: str, words: Words = str
) -> str:
    """The Markdown table of what was measured; what does not fit beside it is folded below.

    Args:
        to_root: the relative path from the README's folder to the checkout's root, "" or "../../".
    """
    groups = groups_of(records, card)
    if not groups:
        return words("No run is recorded yet.") + "\n"
    shown, folded = [], []
    for group in groups:
        row = row_of(group, words)
        link = _links(group, f"{to_root}results/{card.name}", ".log.gz", words("log"))
        shown.append([*(row[name] for name in SHOWN), link])
        folded.append([row[name] for name in ("Run", *FOLDED)])
    notes = [words(NOTES)]
    if any(group.first.code.dirty for group in groups):
        notes.append(words("† run with uncommitted changes."))
    return (
        markdown([words(name) for name in (*SHOWN, "Logs by seed")], shown)
        + f"\n<details><summary>{words('Network, precision, batch, memory, commit')}</summary>\n\n"
        + markdown([words(name) for name in ("Run", *FOLDED)], folded)
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
    rows = [[*SHOWN, "Seeds"]]
    for group in groups_of(records, card):
        row, seeds = row_of(group), ", ".join(str(seed) for seed, _ in group.logs)
        rows.append([*(row[name] for name in SHOWN), seeds])
    if len(rows) == 1:
        return "  No run is recorded yet."
    return "\n".join("  " + line for line in aligned(rows).splitlines())


def measured_csv(records: Sequence[RunRecord], cards: Sequence[ModelCard]) -> str:
    """All tables as one of comma-separated values, with every column."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(("Network's card", *SHOWN, *FOLDED, "Seeds", "Run ids"))
    for card in cards:
        for group in groups_of(records, card):
            row, (seeds, runs) = row_of(group), zip(*group.logs)
            cells = [row[name] for name in (*SHOWN, *FOLDED)]
            writer.writerow((card.name, *cells, " ".join(map(str, seeds)), " ".join(runs)))
    return stream.getvalue()


def summary_table(
    records: Sequence[RunRecord], cards: Sequence[ModelCard], to_root: str, words: Words = str
) -> str:
    """One row for each task that ran here: what others published, and the best of its runs.

    A network and its twin in the other framework share their rows; both frameworks are named.
    """
    rows = []
    for card in cards:
        if card.twin_of in [one.name for one in cards]:
            continue
        sisters = [one for one in cards if card.name in (one.name, one.twin_of)]
        made = [(group, one) for one in sisters for group in groups_of(records, one)]
        for task in card.tasks.values():
            found = [(group, owner) for group, owner in made if group.task.name == task.name]
            if not found:
                continue
            best, owner = _standing_for(found)
            cells, folder = row_of(best, words), f"{to_root}results/{owner.name}"
            where, title = cells[SHOWN[-1]], card.title
            if len(sisters) > 1:
                title += f" ({', '.join(FRAMEWORK_NAMES[one.framework] for one in sisters)})"
                where = f"{FRAMEWORK_NAMES[owner.framework]}, {where}"
            what = f"{title}, {words(task.name.replace('_', ' '))}"
            row = [what, cells["Data"], task.headline or DASH, cells["Result"], where]
            rows.append([*row, _links(best, folder, ".json", words("record"))])
    return markdown([words(name) for name in SUMMARY_HEADINGS], rows)


def _standing_for(found: Sequence[Tuple[Group, ModelCard]]) -> Tuple[Group, ModelCard]:
    """The best of a task's groups; no lucky seed stands for a case that several were run of."""
    most: Dict[str, int] = {}
    for group, _ in found:
        most[group.first.case] = max(len(group.values()), most.get(group.first.case, 0))
    whole = [one for one in found if len(one[0].values()) == most[one[0].first.case]]
    return max(whole, key=lambda one: _rank(one[0]))


def _rank(group: Group) -> Tuple[bool, bool, float]:
    """The training whose mean is best; without one an evaluation, then a run that was aborted."""
    values, sign = group.values(), 1 if group.task.metric.higher_is_better else -1
    mean = sign * statistics.mean(values) if values else -math.inf
    return bool(values), group.first.progress.target_steps > 0, mean


def published_tables(card: ModelCard, words: Words = str) -> str:
    """The figures that others published, marked so, with their sources, in their own columns."""
    told = words("Published by others, not measured here: {} (source: {})")
    return "\n".join(
        f"{told.format(table.title, table.source)}\n\n"
        + markdown(table.columns, [[str(cell) for cell in row] for row in table.rows])
        for table in card.published
    )


def original_table(records: Sequence[RunRecord], card: ModelCard, words: Words = str) -> str:
    """What was measured, in the columns of the original README, which stay as they are."""
    rows = []
    for one in records:
        if one.model == card.name and one.task in card.tasks and one.status == COMPLETE:
            metric, device = card.tasks[one.task].metric, one.device
            result = _spread([one.metrics.final.get(metric.name)], metric.digits)
            speed = _spread([one.speed.samples_per_second], 1)
            where = f"{device.kind}_{device.count}p"
            sizes = str(one.progress.epochs), one.precision.mode, where, str(one.batch.per_device)
            rows.append([result, speed, *sizes])
    if not rows:
        return words("No run is recorded yet.") + "\n"
    return markdown(("Top1 acc", "FPS", "Epochs", "AMP_Type", "Device", "Bs"), rows)


def markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; bars inside cells are escaped, line breaks are spaces."""
    lines = [map(cell, row) for row in (columns, ["---"] * len(columns), *rows)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def cell(text: str) -> str:
    """A text as a cell of a Markdown table: one line, no bar, and never a tag."""
    line = " ".join(text.split()).replace("|", "\\|")
    return line.replace("&", "&amp;").replace("<", "&lt;")
