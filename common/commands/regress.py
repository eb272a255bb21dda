"""`zoo regress`: runs a tier's cases, or takes finished runs, and holds them against references."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import functools
import json
import os
import sys
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence

from common.cards.model_card import SMOKE, TIERS, Task
from common.cards.model_folders import all_cards, checkout_root, find_card, home, split_name
from common.core.command_line import file_to_write, number_in, print_verdict, without_verdict
from common.core.errors import InfrastructureError, UsageError, ZooError
from common.core.files import utc_stamp, write_atomically
from common.core.terminal import Terminal
from common.evidence.gate import findings
from common.evidence.gate.evidence import GivenRun, read_runs
from common.evidence.gate.findings import CaseReport, Finding, Verdict
from common.evidence.gate.judging import judge_case
from common.evidence.gate.references import (
    FEWEST_RUNS,
    Baseline,
    accept,
    baselines_of,
    fit_records,
    key_of,
)
from common.launch.flags import Target, check_required, command_line, parse_flags, seeds_of
from common.launch.seeds import run_seeds, seed_launch
from common.machine.devices import REQUESTS
from common.runs.marker import INTERRUPTED, Marker, read_marker
from common.runs.provenance import code_state

FOLDER = Path("output") / "regress"  # below it a folder of each gate's own
DEFAULT_RUNS, MOST_RUNS = 3, 1000
EXAMPLES = """
exit codes: 0 PASS, 1 REGRESS, 2 INCONCLUSIVE, 3 INFRA, 64 wrong usage

examples:
  zoo regress                                           the smoke tier of every network
  zoo regress protoattend --junit gate.xml --markdown gate.md
  zoo regress --records output/run_a output/run_b       judges finished runs, runs nothing
  zoo regress slot_attention/object_discovery --tier release --device npu --data_path DIR
  zoo regress --accept                                  three runs a case become the references
"""


class Item(NamedTuple):
    """What is judged together, or makes one reference.

    Attributes:
        task: None where no card knows it.
        stored: the references of the network.
        runs: gives the runs; begins them where they are not finished.
    """

    name: str
    task: Optional[Task]
    stored: List[Baseline]
    runs: Callable[[], List[GivenRun]]


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.epilog = EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    add("models", nargs="*", metavar="MODEL[/TASK]", help="what to judge (default: every network)")
    add("--tier", choices=TIERS, default=SMOKE, help="which cases, by which margins")
    told = "judge these finished runs (run folders or records) and run nothing"
    add("--records", nargs="+", metavar="RUN", default=[], help=told)
    told = "the seeds to run (default: 0, 1, … as many as the card asks for)"
    add("--seeds", type=seeds_of, metavar="N,N,...", help=told)
    add("--device", choices=REQUESTS, help="default at smoke cpu, else auto")
    add("--data_path", metavar="DIR", help="real datasets: their folder, or the one above them")
    told = (
        "tell speed and data wait without judging them, where other work shares the machine; with "
        "--accept the earlier reference's speeds stay"
    )
    add("--without_speed", action="store_true", help=told)
    add("--accept", action="store_true", help="make the runs the references; nothing is judged")
    told = f"with --accept: runs for each case (default {DEFAULT_RUNS})"
    add("--runs", type=number_in(int, FEWEST_RUNS, MOST_RUNS), metavar="N", help=told)
    told = "with --accept: take runs of uncommitted sources; the reference says so"
    add("--allow_dirty", action="store_true", help=told)
    add("--json", action="store_true", help="print the result as JSON")
    add("--junit", type=file_to_write, metavar="FILE", help="write JUnit XML")
    add("--markdown", type=file_to_write, metavar="FILE", help="write the result as Markdown")


def run(arguments: argparse.Namespace) -> int:
    """Judges, or accepts; returns the verdict's exit code.

    Raises:
        ZooError: never with exit code 1, which would say REGRESS.
    """
    _check(arguments)
    try:
        return _accept(arguments) if arguments.accept else _judge(arguments)
    except Exception as error:
        raise without_verdict(error, "the gate") from error


def _check(given: Any) -> None:
    """Raises UsageError for flags that say nothing together."""
    shown = given.json or given.junit or given.markdown
    what = given.models or given.seeds or given.device or given.data_path
    few = given.accept and given.seeds and len(given.seeds) < FEWEST_RUNS
    for wrong, told in (
        (not given.accept and (given.runs or given.allow_dirty), "--runs, --allow_dirty: --accept"),
        (given.accept and shown, "--accept judges nothing: no --json, --junit, --markdown"),
        (given.runs and given.seeds, "give --runs or --seeds"),
        (few, f"a reference needs at least {FEWEST_RUNS} seeds"),
        (
            given.records and what,
            "--records runs nothing: no MODEL, --seeds, --device",
        ),
    ):
        if wrong:
            raise UsageError(f"zoo regress: {told}; see zoo regress --help")


# --- what there is to judge ---


def _items(arguments: argparse.Namespace, count: Optional[int] = None) -> List[Item]:
    """The cases of the tier, or the finished runs.

    Args:
        count: how many seeds a case is run with where the user names none; None for the card's.
    """
    if arguments.records:
        return _finished(arguments)
    folder, tier, items = home() / FOLDER / f"{utc_stamp()}-{os.getpid()}", arguments.tier, []
    device = arguments.device or ("cpu" if tier == SMOKE else None)
    stored: Dict[str, List[Baseline]] = {}
    for target in _targets(arguments):
        card, task = target.card, target.task
        seeds = arguments.seeds or range(count or task.gate[tier].seeds)
        if card.name not in stored:
            stored[card.name] = baselines_of(home(), card.name)
        run = functools.partial(_run_case, target, seeds, folder, device, arguments.data_path)
        name = f"{card.name}/{task.name} {target.case.name}"
        items.append(Item(name, task, stored[card.name], run))
    return items


def _targets(arguments: argparse.Namespace) -> List[Target]:
    root, tier = checkout_root(), arguments.tier
    named = [split_name(name) for name in arguments.models]
    cards = [(find_card(root, model), task) for model, task in named]
    found: List[Target] = []
    for card, task_name in cards or [(card, "") for card in all_cards(root)]:
        tasks = [card.task(task_name)] if task_name else card.tasks.values()
        gated = [task for task in tasks if tier in task.gate]
        if not gated and named:
            raise UsageError(f"the card of {card.name} names no case for tier {tier}")
        for task in gated:
            found += [Target(card, task, task.cases[name]) for name in task.gate[tier].cases]
    if not found:
        raise UsageError(f"no card names a case for tier {tier}")
    return found


def _run_case(
    target: Target,
    seeds: Sequence[int],
    folder: Path,
    device: Optional[str] = None,
    data_path: Optional[str] = None,
) -> List[GivenRun]:
    """Runs a case once a seed, as `zoo launch --seeds` does.

    Args:
        folder: the runs go into folders in it.
        device, data_path: what was decided in place of the case's.

    Raises:
        ZooError: something is missing that the case needs; nothing has been run.
        KeyboardInterrupt: a signal ended a run; nothing is judged then.
    """
    place = folder / f"{target.card.name}-{target.task.name}-{target.case.name}"
    words = [f"--seeds={','.join(map(str, seeds))}", f"--output_path={place}"]
    words += [f"--device={device}"] if device else []
    words += [f"--data_path={Path(data_path).absolute()}"] if data_path else []
    flags = parse_flags(target, words)
    check_required(target, flags)
    # What the ranks print belongs beside the verdict: standard output may be JSON.
    terminal = Terminal(stream=sys.stderr)
    terminal.say(f"--- {' '.join(target.names)}")
    try:
        whole = seed_launch(target, flags, command_line(target.names, words))
        plans = {
            seed: dataclasses.replace(plan, log_in_run_folder=True)
            for seed, plan in whole.plans.items()
        }
        run_seeds(dataclasses.replace(whole, plans=plans), terminal)
    except ZooError as error:
        terminal.complain(f"error: {error}")
        return [GivenRun(str(place), None, Marker(exit_code=error.exit_code, reason=str(error)))]
    if read_marker(place).state == INTERRUPTED:
        raise KeyboardInterrupt
    return read_runs(place)


def _finished(arguments: argparse.Namespace) -> List[Item]:
    """Finished runs, those together that differ in their seed only."""
    groups: Dict[Any, List[GivenRun]] = {}
    for run in [run for path in arguments.records for run in read_runs(Path(path))]:
        key = run.source if run.record is None else key_of(run.record)
        groups.setdefault(key, []).append(run)
    items = []
    for runs in groups.values():
        name, task, stored, record = runs[0].source, None, [], runs[0].record
        if record is not None:
            name = f"{record.model}/{record.task} {record.case}"
            # Where no card knows the task it is the record that is wrong, not the command line.
            with contextlib.suppress(ZooError):
                task = find_card(checkout_root(), record.model).task(record.task)
        if task is not None and record is not None:
            if arguments.tier not in task.gate:
                raise UsageError(
                    f"{record.model}/{task.name} has no tier {arguments.tier}; the gate of its "
                    f"card has: {', '.join(task.gate) or 'none'}"
                )
            stored = baselines_of(home(), record.model)
        items.append(Item(name, task, stored, functools.partial(list, runs)))
    return items


# --- what is done with it ---


def _judge(arguments: argparse.Namespace) -> int:
    tier, reports = arguments.tier, []
    for item in _items(arguments):
        began = time.monotonic()
        try:
            runs = item.runs()
        except ZooError as error:  # for want of something: never a pass
            left_out = Finding("run", Verdict.INCONCLUSIVE, "not run", "", str(error))
            reports.append(CaseReport(item.name, "", (), (left_out,)))
            continue
        seconds = None if arguments.records else time.monotonic() - began
        rules = item.task.gate[tier] if item.task is not None else None
        with_speed = not arguments.without_speed
        reports.append(
            judge_case(item.name, item.task, rules, runs, item.stored, with_speed, seconds)
        )
    if arguments.junit:
        write_atomically(arguments.junit, findings.rendered(findings.JUNIT, reports, tier))
    if arguments.markdown:
        write_atomically(arguments.markdown, findings.rendered(findings.MARKDOWN, reports, tier))
    text = findings.rendered(findings.TEXT, reports, tier)
    if arguments.json:
        text = json.dumps(findings.as_json(reports, tier), indent=1, ensure_ascii=False)
    print_verdict(text)
    return int(findings.overall(reports).value)


def _accept(arguments: argparse.Namespace) -> int:
    """Makes references; a case whose runs are not fit for it keeps no other from getting its."""
    state = code_state(checkout_root())
    if not arguments.allow_dirty and state["dirty"] and state["commit"] != "unknown":
        raise InfrastructureError(
            "there are uncommitted changes: nobody could make these runs again; commit them, or "
            "give --allow_dirty"
        )
    code = 0
    for item in _items(arguments, arguments.runs or DEFAULT_RUNS):
        try:
            fewest = arguments.runs or FEWEST_RUNS
            records = fit_records(item.name, item.runs(), fewest, arguments.allow_dirty)
            lines = accept(home(), records, not arguments.without_speed)
            print("\n".join([f"{item.name}:", *lines]))
        except ZooError as error:
            print(f"error: {item.name}: {error}", file=sys.stderr)
            code = Verdict.INFRA.value
    return code
