"""`zoo regress`: runs a tier's cases, or takes finished runs, and holds them against references."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

from common.cards.model_card import ModelCard
from common.cards.model_folders import all_cards, checkout_root, find_card, home, split_name
from common.cards.tiers import SMOKE, TIERS
from common.core.command_line import number_in, print_verdict, without_verdict
from common.core.errors import InfrastructureError, UsageError, ZooError
from common.core.files import write_atomically
from common.evidence.gate import report
from common.evidence.gate.accepting import accept, fit_records
from common.evidence.gate.baseline import FEWEST_RUNS, key_of
from common.evidence.gate.baseline_store import baselines_of
from common.evidence.gate.judging import case_left_out, judge_alone, judge_case
from common.evidence.gate.reading import GivenRun, read_runs
from common.evidence.gate.running import GateCase, cases_of, new_folder, run_case
from common.evidence.gate.verdict import CaseReport, Verdict, overall
from common.launch.flags import DEVICE_CHOICES, seeds_of
from common.runs.provenance import code_state

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


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.epilog = EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    add("models", nargs="*", metavar="MODEL[/TASK]", help="what to judge (default: every network)")
    add("--tier", choices=TIERS, default=SMOKE, help="which cases, by which margins")
    add(
        "--records",
        nargs="+",
        metavar="RUN",
        default=[],
        help="judge these finished runs (run folders or records) and run nothing",
    )
    add(
        "--seeds",
        type=seeds_of,
        metavar="N,N,...",
        help="the seeds to run (default: 0, 1, … as many as the card asks for)",
    )
    add("--device", choices=DEVICE_CHOICES, help="default at smoke cpu, else auto")
    add("--data_path", metavar="DIR", help="real datasets: their folder, or the one above them")
    add(
        "--without_speed",
        action="store_true",
        help="tell speed and data wait without judging them, where other work shares the machine; "
        "with --accept the earlier reference's speeds stay",
    )
    add("--accept", action="store_true", help="make the runs the references; nothing is judged")
    add(
        "--runs",
        type=number_in(int, FEWEST_RUNS, MOST_RUNS),
        metavar="N",
        help=f"with --accept: runs for each case (default {DEFAULT_RUNS})",
    )
    add(
        "--allow_dirty",
        action="store_true",
        help="with --accept: take runs of uncommitted sources; the reference says so",
    )
    add("--json", action="store_true", help="print the result as JSON")
    add("--junit", metavar="FILE", help="write JUnit XML")
    add("--markdown", metavar="FILE", help="write the result as Markdown")


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


def _check(arguments: argparse.Namespace) -> None:
    def refuse(told: str) -> None:
        raise UsageError("zoo regress: " + told)

    seeds, runs = arguments.seeds, arguments.runs
    if not arguments.accept and (runs or arguments.allow_dirty):
        refuse("--runs and --allow_dirty go with --accept")
    if arguments.accept and (arguments.json or arguments.junit or arguments.markdown):
        refuse("--accept judges nothing, so there is no --json, --junit or --markdown")
    if runs and seeds and len(seeds) != runs:
        refuse(f"--runs {runs} but --seeds names {len(seeds)}")
    if arguments.accept and seeds and len(seeds) < FEWEST_RUNS:
        refuse(f"a reference needs at least {FEWEST_RUNS} seeds")
    if arguments.records and (arguments.models or seeds or arguments.device or arguments.data_path):
        refuse(
            "--records names what to judge and runs nothing; MODEL, --seeds, --device and "
            "--data_path do not go with it"
        )
    for path in (arguments.junit, arguments.markdown):
        if path and not Path(path).absolute().parent.is_dir():
            raise UsageError(f"the folder of {path} does not exist; make it first")


# --- judging ---


def _judge(arguments: argparse.Namespace) -> int:
    reports = _judge_finished(arguments) if arguments.records else _run_and_judge(arguments)
    if arguments.junit:
        write_atomically(Path(arguments.junit), report.as_junit(reports, arguments.tier))
    if arguments.markdown:
        write_atomically(Path(arguments.markdown), report.as_markdown(reports, arguments.tier))
    text = report.as_text(reports, arguments.tier)
    if arguments.json:
        content = report.as_json(reports, arguments.tier)
        text = json.dumps(content, indent=1, ensure_ascii=False)
    print_verdict(text)
    return int(overall(reports).value)


def _run_and_judge(arguments: argparse.Namespace) -> List[CaseReport]:
    cases, reports = _gate_cases(arguments), []
    stored = {name: baselines_of(home(), name) for name in {case.card.name for case in cases}}
    folder, with_speed = new_folder(home()), not arguments.without_speed
    for case in cases:
        began, known = time.monotonic(), stored[case.card.name]
        try:
            runs = _runs_of(case, arguments, case.rules.seeds, folder)
        except ZooError as error:
            reports.append(case_left_out(case.name, str(error)))
            continue
        seconds = time.monotonic() - began
        reports.append(
            judge_case(case.name, case.task, case.rules, runs, known, with_speed, seconds)
        )
    return reports


def _runs_of(
    case: GateCase, arguments: argparse.Namespace, count: int, folder: Path
) -> List[GivenRun]:
    """Runs a case with the seeds that the user names, else with 0, 1, … as many as `count`."""
    path = arguments.data_path
    words = case.words(arguments.device, str(Path(path).absolute()) if path else None)
    return run_case(case, words, arguments.seeds or range(count), folder)


def _gate_cases(arguments: argparse.Namespace) -> List[GateCase]:
    found: List[GateCase] = []
    for card, task in _cards(arguments.models):
        cases = cases_of(card, task, arguments.tier)
        if not cases and arguments.models:
            raise UsageError(
                f"the card of {card.name} names no case for tier {arguments.tier}; see `gate` in "
                "its model.yaml"
            )
        found += cases
    if not found:
        raise UsageError(f"no card names a case for tier {arguments.tier}")
    return found


def _cards(names: Sequence[str]) -> List[Tuple[ModelCard, Optional[str]]]:
    root = checkout_root()
    if not names:
        return [(card, None) for card in all_cards(root)]
    pairs = [split_name(name) for name in names]
    return [(find_card(root, model), task or None) for model, task in pairs]


# --- finished runs ---


def _judge_finished(arguments: argparse.Namespace) -> List[CaseReport]:
    return [_judge_group(runs, arguments) for runs in _groups(arguments.records)]


def _groups(paths: Sequence[str]) -> List[List[GivenRun]]:
    """Finished runs, those together that differ in their seed only."""
    groups: Dict[str, List[GivenRun]] = {}
    for run in [run for path in paths for run in read_runs(Path(path))]:
        name = run.source if run.record is None else key_of(run.record).sha256
        groups.setdefault(name, []).append(run)
    return list(groups.values())


def _judge_group(runs: List[GivenRun], arguments: argparse.Namespace) -> CaseReport:
    record, tier, root = runs[0].record, arguments.tier, checkout_root()
    if record is None:
        return judge_alone(runs[0])
    try:
        task = find_card(root, record.model).task(record.task)
    except ZooError:  # it is the record that is wrong, not the command line
        return judge_alone(runs[0])
    if tier not in task.gate:
        tiers = ", ".join(task.gate) or "none"
        raise UsageError(
            f"{record.model}/{task.name} has no tier {tier}; the gate of its card has: {tiers}"
        )
    stored, with_speed = baselines_of(home(), record.model), not arguments.without_speed
    return judge_case(_name_of(runs), task, task.gate[tier], runs, stored, with_speed)


def _name_of(runs: Sequence[GivenRun]) -> str:
    record = runs[0].record
    return runs[0].source if record is None else f"{record.model}/{record.task} {record.case}"


# --- accepting ---


def _accept(arguments: argparse.Namespace) -> int:
    """Makes references; a case whose runs are not fit for it keeps no other from getting its."""
    if not arguments.allow_dirty:
        _require_clean_sources()
    made = []
    if arguments.records:
        for runs in _groups(arguments.records):
            made.append(_accept_one(_name_of(runs), runs, arguments))
        return 0 if all(made) else Verdict.INFRA.value
    cases, folder = _gate_cases(arguments), new_folder(home())
    for case in cases:
        try:
            runs = _runs_of(case, arguments, arguments.runs or DEFAULT_RUNS, folder)
            made.append(_accept_one(case.name, runs, arguments))
        except ZooError as error:
            print(f"{case.name}: not run: {error}", file=sys.stderr)
            made.append(False)
    return 0 if all(made) else Verdict.INFRA.value


def _require_clean_sources() -> None:
    state = code_state(checkout_root())
    if state["dirty"] and state["commit"] != "unknown":
        raise InfrastructureError(
            "there are uncommitted changes: nobody could make these runs "
            "again; commit them, or give --allow_dirty"
        )


def _accept_one(name: str, runs: Sequence[GivenRun], arguments: argparse.Namespace) -> bool:
    try:
        records = fit_records(name, runs, arguments.runs or FEWEST_RUNS, arguments.allow_dirty)
        lines = accept(home(), records, not arguments.without_speed)
    except ZooError as error:
        print(f"error: {error}", file=sys.stderr)
        return False
    print("\n".join([f"{name}:", *lines]))
    return True
