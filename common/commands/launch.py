"""`zoo launch MODEL[/TASK] CASE [flags]`: runs a case of a network, or prints its plan."""

from __future__ import annotations

import argparse
import json

from common.cards.model_folders import checkout_root, find_card, split_name
from common.core.errors import UsageError
from common.core.terminal import Terminal
from common.launch.flags import command_line, find_target, parse_flags
from common.launch.launcher import launch
from common.launch.plan import as_json, as_text, completed
from common.launch.request import input_lines, kept_port, planned

EXAMPLES = """
  zoo list                                                      what there is
  zoo launch residual_attention_net full_1p --data_path=DIR
  zoo launch residual_attention_net full_1p --help              the flags of a case
  zoo launch slot_attention smoke --seeds=0,1,2                 three runs and their median
  zoo launch residual_attention_net full_8p --data_path=DIR --device=npu --dry_run
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Takes every word as it is: the flags are the case's."""
    parser.usage = "zoo launch MODEL[/TASK] CASE [--flag=value ...]"
    parser.epilog = "examples:" + EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "words",
        nargs=argparse.REMAINDER,
        metavar="MODEL CASE [flags]",
        help="a network, one of its cases, and flags of the case",
    )


def run(arguments: argparse.Namespace) -> int:
    """Runs, plans or explains; returns the exit code."""
    names = [word for word in arguments.words[:2] if not word.startswith("-")]
    words = arguments.words[len(names) :]
    if not names:
        raise UsageError("zoo launch needs a network and a case; see zoo launch --help, zoo list")
    model, case = names[0], names[1] if len(names) > 1 else None
    if case is None and {"-h", "--help"} & set(words):
        return _tell_cases(model)
    target = find_target(model, case, words)
    flags, command = parse_flags(target, words), command_line([model, target.case.name], words)
    if flags.json and not flags.dry_run:
        raise UsageError("--json is the form of a plan: give --dry_run too")
    if flags.seeds is not None:
        from common.launch.seeds import run_seeds, seed_launch  # one seed starts without it

        all_seeds = seed_launch(target, flags, command)
        if not flags.dry_run:
            return run_seeds(all_seeds, Terminal())
        plans = list(all_seeds.plans.values())
    else:
        plans = [planned(target, flags, command)]
        if not flags.dry_run:
            return launch(plans[0], Terminal())
    plans = [completed(plan, kept_port(plan).port) for plan in plans]
    if flags.json:
        told = [as_json(plan) for plan in plans]
        print(json.dumps(told if flags.seeds is not None else told[0], indent=1))
    else:
        texts = [as_text(plan) for plan in plans] or ["every seed is complete already"]
        lines = input_lines(plans[0]) if plans else []
        print("\n\n".join([*texts, "\n".join(lines)]).rstrip())
    return 0


def _tell_cases(model: str) -> int:
    """Prints the cases of a network's task."""
    name, task = split_name(model)
    card = find_card(checkout_root(), name)
    cases = card.task(task or None).cases.values()
    print(f"usage: zoo launch {model} CASE [--flag=value ...]\n\n{card.title} ({card.paper})\n")
    print("\n".join(f"  {case.name:<16} {case.description}" for case in cases))
    print(f"\nzoo launch {model} CASE --help tells the flags of a case")
    return 0
