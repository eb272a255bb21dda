"""`zoo list`: networks, tasks, cases, published figures and measured ones."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any, Dict, List, Sequence, Tuple

from common.cards.model_card import ModelCard, PublishedTable, Task, as_json
from common.cards.model_folders import all_cards, checkout_root, find_card
from common.cards.tiers import TierRules
from common.core.codec import plain
from common.core.text import aligned, listed
from common.runs.record import RunRecord
from common.runs.store import records_of

_HEADINGS = ("case", "device", "precision", "batch", "samples/s", "final", "date", "status")


def configure(parser: argparse.ArgumentParser) -> None:
    """Says the arguments of `zoo list`."""
    parser.add_argument("model", nargs="?", help="only this network")
    parser.add_argument("--json", action="store_true", help="print it as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Prints what there is; returns 0."""
    root = checkout_root()
    cards = [find_card(root, arguments.model)] if arguments.model else all_cards(root)
    if arguments.json:
        print(json.dumps([_as_json(card, root) for card in cards], indent=1, ensure_ascii=False))
    else:
        print(
            "\n\n".join("\n".join(card_lines(card, _records(root, card))) for card in cards)
            or f"no networks under {root}"
        )
    return 0


def _as_json(card: ModelCard, root: Path) -> Dict[str, Any]:
    return dict(as_json(card), measured=plain(_records(root, card)))


def _records(root: Path, card: ModelCard) -> List[RunRecord]:
    records, problems = records_of(root, card.name)
    for problem in problems:
        print(f"left out: {problem}", file=sys.stderr)
    return records


def card_lines(card: ModelCard, records: Sequence[RunRecord]) -> List[str]:
    """One network as text."""
    names = " (also {})".format(", ".join(card.also_known_as)) if card.also_known_as else ""
    lines = [f"{card.name}{names}: {card.title}, {card.framework}", "  " + card.paper]
    for task in card.tasks.values():
        lines += [""] + _task_lines(task)
    for table in card.published:
        lines += [""] + _published_lines(table)
    return lines + [""] + _measured_lines(records)


def _task_lines(task: Task) -> List[str]:
    lines = [
        "  task {}, judged by {} ({}, {} is better)".format(
            task.name,
            task.metric.name,
            task.metric.unit,
            "higher" if task.metric.higher_is_better else "lower",
        )
    ]
    lines += [f"    {case.name:<16} {case.description}" for case in task.cases.values()]
    return lines + [
        f"    {tier + ' tier':<16} of zoo regress runs {listed(rules.cases)}, {_judged(rules)}"
        for tier, rules in task.gate.items()
    ]


def _judged(rules: TierRules) -> str:
    return f"judged by {rules.metric.name}, seeds: {rules.seeds}"


def _published_lines(table: PublishedTable) -> List[str]:
    return [
        "  published, not measured here: " + table.title,
        "  source: " + table.source,
    ] + _columns([table.columns, *table.rows])


def _measured_lines(records: Sequence[RunRecord]) -> List[str]:
    if not records:
        return ["  measured: nothing is recorded in results/ yet"]
    rows: List[Tuple[str, ...]] = [_HEADINGS]
    rows += [_measured_row(record) for record in records]
    return ["  measured (results/):"] + _columns(rows)


def _measured_row(record: RunRecord) -> Tuple[str, ...]:
    speed = record.speed.samples_per_second
    final = [
        f"{name} {value:.4g}"
        for name, value in record.metrics.final.items()
        if name != "loss" and isinstance(value, (int, float))
    ]
    return (
        record.case,
        f"{record.device.kind} {record.device.name} x{record.device.count}",
        record.precision.mode,
        str(record.batch.total),
        "-" if speed is None else f"{speed:.1f}",
        " ".join(final) or "-",
        record.date[:10],
        record.status,
    )


def _columns(rows: Sequence[Sequence[object]]) -> List[str]:
    return ["    " + line for line in aligned(rows).splitlines()]
