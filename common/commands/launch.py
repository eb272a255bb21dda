"""`zoo launch MODEL[/TASK] CASE [flags]`: runs a case of a network, or prints its plan."""

from __future__ import annotations

import argparse
import json
from typing import Optional, Sequence

from common.cards.model_folders import checkout_root, find_card, split_name
from common.core.errors import UsageError
from common.core.terminal import Terminal
from common.launch.flags import LaunchFlags, asks_for_help, help_text, parse_flags
from common.launch.launcher import launch
from common.launch.plan import as_json, as_text
from common.launch.request import find_target, input_lines, make_request

EXAMPLES = """
  zoo list                                                      what there is
  zoo launch residual_attention_net full_1p --data_path=DIR
  zoo launch residual_attention_net full_1p --help              the flags of a case
  zoo launch slot_attention smoke --seeds=0,1,2                 three runs and their median
  zoo launch residual_attention_net full_8p --data_path=DIR --device=npu --dry_run
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Takes every word as it is: the flags are the case's, not argparse's."""
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
    if asks_for_help(words):
        return _help(model, case)
    flags = parse_flags(words)
    if flags.json and not flags.dry_run:
        raise UsageError("--json is the form of a plan: give --dry_run too")
    if flags.seeds is not None:
        return _run_seeds(model, case, words, flags)
    request = make_request(model, case, words)
    if not flags.dry_run:
        return launch(request, Terminal())
    plan = request.plan()
    if flags.json:
        print(json.dumps(as_json(plan), indent=1))
    else:
        print("\n".join([as_text(plan), "", *input_lines(plan, request.target.task)]).rstrip())
    return 0


def _run_seeds(model: str, case: Optional[str], words: Sequence[str], flags: LaunchFlags) -> int:
    from common.launch.seeds import plans, run_seeds, seed_launch  # one seed starts without it

    all_seeds = seed_launch(model, case, words)
    if not flags.dry_run:
        return run_seeds(all_seeds, Terminal())
    made = plans(all_seeds)
    print(
        json.dumps([as_json(plan) for plan in made], indent=1)
        if flags.json
        else "\n\n".join(as_text(plan) for plan in made) or "every seed is complete already"
    )
    return 0


def _help(model: str, case: Optional[str]) -> int:
    if case is not None:
        target = find_target(model, case, None)
        card, task = target.card, target.task
    else:
        card = find_card(checkout_root(), split_name(model)[0])
        task = card.task(split_name(model)[1] or None)
    program = "zoo launch {} {}".format(model, case or "CASE")
    print(help_text(program, card, task, case))
    return 0
