"""`zoo regress`: runs a tier's cases, or takes finished runs, and holds them against references."""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import sys
import time
from pathlib import Path
from typing import Callable, Dict, List, Sequence, Tuple

from common.cards.model_card import SMOKE, TIERS
from common.cards.model_folders import all_cards, checkout_root, find_card, home, split_name
from common.core.command_line import number_in, print_verdict, without_verdict
from common.core.errors import InfrastructureError, UsageError, ZooError
from common.core.files import write_atomically
from common.evidence.gate import findings
from common.evidence.gate.evidence import GivenRun, read_runs
from common.evidence.gate.findings import CaseReport, Finding, Verdict, overall
from common.evidence.gate.judging import judge_case
from common.evidence.gate.references import (
    FEWEST_RUNS,
    accept,
    baselines_of,
    fit_records,
    key_of,
)
from common.evidence.gate.running import GateCase, cases_of, new_folder, run_case
from common.launch.flags import seeds_of
from common.machine.devices import REQUESTS
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
    add("--device", choices=REQUESTS, help="default at smoke cpu, else auto")
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
    tier = arguments.tier
    if arguments.records:
        reports = [_judge_finished(runs, arguments) for runs in _groups(arguments.records)]
    else:
        reports = _run_and_judge(arguments)
    if arguments.junit:
        write_atomically(Path(arguments.junit), findings.as_junit(reports, tier))
    if arguments.markdown:
        write_atomically(Path(arguments.markdown), findings.as_markdown(reports, tier))
    text = findings.as_text(reports, tier)
    if arguments.json:
        text = json.dumps(findings.as_json(reports, tier), indent=1, ensure_ascii=False)
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
        except ZooError as error:  # for want of something: never a pass
            left_out = Finding("run", Verdict.INCONCLUSIVE, "not run", "", str(error))
            reports.append(CaseReport(case.name, "", (), (left_out,)))
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
    seeds = arguments.seeds or range(count)
    return run_case(case, seeds, folder, arguments.device, arguments.data_path)


def _gate_cases(arguments: argparse.Namespace) -> List[GateCase]:
    root, tier = checkout_root(), arguments.tier
    named = [split_name(name) for name in arguments.models]
    cards = [(find_card(root, model), task or None) for model, task in named]
    found: List[GateCase] = []
    for card, task in cards or [(card, None) for card in all_cards(root)]:
        cases = cases_of(card, task, tier)
        if not cases and named:
            raise UsageError(
                f"the card of {card.name} names no case for tier {tier}; see `gate` in its "
                "model.yaml"
            )
        found += cases
    if not found:
        raise UsageError(f"no card names a case for tier {tier}")
    return found


# --- finished runs ---


def _groups(paths: Sequence[str]) -> List[List[GivenRun]]:
    """Finished runs, those together that differ in their seed only."""
    groups: Dict[str, List[GivenRun]] = {}
    for run in [run for path in paths for run in read_runs(Path(path))]:
        name = run.source if run.record is None else key_of(run.record).sha256
        groups.setdefault(name, []).append(run)
    return list(groups.values())


def _judge_finished(runs: List[GivenRun], arguments: argparse.Namespace) -> CaseReport:
    record, tier, task = runs[0].record, arguments.tier, None
    if record is not None:
        # Where no card knows the task it is the record that is wrong, not the command line.
        with contextlib.suppress(ZooError):
            task = find_card(checkout_root(), record.model).task(record.task)
    if record is None or task is None:
        return judge_case(runs[0].source, None, None, runs[:1], [])
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
    state = code_state(checkout_root())
    if not arguments.allow_dirty and state["dirty"] and state["commit"] != "unknown":
        raise InfrastructureError(
            "there are uncommitted changes: nobody could make these runs again; commit them, or "
            "give --allow_dirty"
        )
    given: List[Tuple[str, Callable[[], List[GivenRun]]]]
    if arguments.records:
        groups = _groups(arguments.records)
        given = [(_name_of(runs), functools.partial(list, runs)) for runs in groups]
    else:
        cases, folder = _gate_cases(arguments), new_folder(home())
        more = (arguments, arguments.runs or DEFAULT_RUNS, folder)
        given = [(case.name, functools.partial(_runs_of, case, *more)) for case in cases]
    fewest, code = arguments.runs or FEWEST_RUNS, 0
    for name, runs_of in given:
        try:
            records = fit_records(name, runs_of(), fewest, arguments.allow_dirty)
            lines = accept(home(), records, not arguments.without_speed)
            print("\n".join([f"{name}:", *lines]))
        except ZooError as error:
            print(f"error: {name}: {error}", file=sys.stderr)
            code = Verdict.INFRA.value
    return code
