"""`zoo compare`: GPU against NPU, or any two or more runs, with verdicts."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Dict, List, Optional, Tuple

from common.cards.model_card import Task
from common.cards.model_folders import checkout_root, find_card, split_name
from common.command_line import number_in
from common.comparison import table
from common.comparison.as_json import content_of
from common.comparison.compared import WINDOW, Comparison, Settings, compare
from common.comparison.picture import comparison_picture
from common.comparison.runs import Group, Run, check_networks, names_of_curves
from common.comparison.sources import read_run
from common.comparison.verdicts import LOSS_MARGIN, Judged, exit_code
from common.errors import UsageError, ZooError
from common.pictures.canvas import require_pillow, save_png

LOWER_IS_BETTER = ("loss", "error", "seconds")


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.description = ("Compares runs from logs, run folders or records; the first label is the "
                          "reference. One flag given several times is several seeds. Exit code: 0 "
                          "OK or PERFECT, 1 POK or NOK, 2 INCONCLUSIVE, 64 usage.")
    for device in ("gpu", "npu", "cpu"):
        parser.add_argument("--" + device, action="append", default=[], metavar="PATH",
                            help="a log, run folder or record of a run on " + device.upper())
    parser.add_argument("--run", action="append", default=[], metavar="LABEL=PATH",
                        help="a run under any label")
    parser.add_argument("--metric", help="what PrecisionStatus judges; a training curve such as "
                        "loss is judged by its last window (default: the card's metric)")
    parser.add_argument("--model", metavar="MODEL[/TASK]",
                        help="whose card says metric and margin (default: the records')")
    parser.add_argument("--margin", type=number_in(float, 0), help="how much worse still passes: "
                        "in the metric's unit; a share for a curve (default: the card's; {:g} for "
                        "a curve)".format(LOSS_MARGIN))
    parser.add_argument("--at_step", type=number_in(int, 0), help="tell the curve at this step")
    parser.add_argument("--window", type=number_in(int, 2), default=WINDOW,
                        help="samples in a window, at most")
    parser.add_argument("--target", type=float, help="tell when the curve reached this value")
    parser.add_argument("--batch_size", type=number_in(int, 1),
                        help="samples in a step of the whole job, where a log doesn't say")
    parser.add_argument("--n_eval", type=number_in(int, 1), default=None,
                        help="samples in the test set, where a log doesn't say")
    _add_output(parser)


def _add_output(parser: argparse.ArgumentParser) -> None:
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--json", action="store_true", help="print JSON")
    output.add_argument("--markdown", action="store_true", help="print Markdown")
    parser.add_argument("--plot", metavar="OUT.png", help="draw the curves over each other")


def run(arguments: argparse.Namespace) -> int:
    """Prints the comparison of each candidate with the reference; returns the verdicts' code."""
    if arguments.plot:
        _require_pictures()
    groups = read_groups(given_runs(arguments))
    settings = settings_of(arguments, groups)
    comparisons = [compare(groups[0], group, settings) for group in groups[1:]]
    print(_printed(comparisons, arguments), end="")
    if arguments.plot:
        save_png(Path(arguments.plot), comparison_picture(groups, settings.curve))
    return exit_code([verdict for comparison in comparisons
                      for verdict in (comparison.precision, comparison.perf)])


def _require_pictures() -> None:
    try:
        require_pillow()
    except ZooError as error:  # its exit code would be that of POK and NOK
        raise UsageError(str(error)) from error


def given_runs(arguments: argparse.Namespace) -> Dict[str, List[Path]]:
    """The paths by label, in the order gpu, npu, cpu, then --run's.

    Raises:
        UsageError: fewer than two labels, or a --run without LABEL=.
    """
    found = {device: [Path(path) for path in getattr(arguments, device)]
             for device in ("gpu", "npu", "cpu") if getattr(arguments, device)}
    for text in arguments.run:
        label, equals, path = text.partition("=")
        if not equals or not label or not path:
            raise UsageError("--run {!r} is not LABEL=PATH; give for example "
                             "--run before=old.log".format(text))
        found.setdefault(label, []).append(Path(path))
    if len(found) < 2:
        raise UsageError("zoo compare needs runs under two labels: --gpu X --npu Y, or --run "
                         "LABEL=PATH twice; see zoo compare --help")
    return found


def read_groups(given: Dict[str, List[Path]]) -> List[Group]:
    """Reads every run.

    Raises:
        UsageError: a run can't be read, or records contradict their labels or each other; never
            an error whose exit code could be taken for a verdict.
    """
    try:
        groups = [Group(label, tuple(read_run(path, label) for path in paths))
                  for label, paths in given.items()]
    except ZooError as error:
        raise UsageError(str(error)) from error
    check_networks(groups)
    return groups


def settings_of(arguments: argparse.Namespace, groups: List[Group]) -> Settings:
    """What to compare, from the flags, the records and the card."""
    task = _task_of(arguments.model, groups)
    curves = names_of_curves(groups)
    judged, curve = _judged(arguments, task, curves)
    return Settings(
        judged=judged, curve=curve, curve_higher_is_better=not _is_lower_better(curve),
        window=arguments.window, at_step=arguments.at_step, target=arguments.target,
        global_batch=arguments.batch_size, n_eval=arguments.n_eval or 0,
        whole=100.0 if judged.unit == "percent" else 1.0)


def _task_of(named: Optional[str], groups: List[Group]) -> Optional[Task]:
    """The card's task: the one named, else the records', else None."""
    known: List[Run] = [run for group in groups for run in group.runs if run.model]
    if named is None and not known:
        return None
    with_task = [run for run in known if run.task] or known
    model, task = split_name(named) if named else (with_task[0].model, with_task[0].task)
    return find_card(checkout_root(), model).task(task or None)


def _judged(arguments: argparse.Namespace, task: Optional[Task],
            curves: List[str]) -> Tuple[Judged, str]:
    """The judged metric and the curve that is drawn beside it."""
    metric = task.metric if task else None
    name = arguments.metric or (metric.name if metric else "accuracy")
    if metric is not None and name == metric.name:
        margin = metric.margin if arguments.margin is None else arguments.margin
        unit = metric.unit if metric.unit != "fraction" else ""
        return Judged(name, metric.higher_is_better, margin, unit=unit), _main_curve(curves)
    if arguments.metric is None or name not in curves or arguments.n_eval:
        return Judged(name, not _is_lower_better(name), arguments.margin), _main_curve(curves)
    margin = LOSS_MARGIN if arguments.margin is None else arguments.margin
    return Judged(name, not _is_lower_better(name), margin, is_curve=True), name


def _main_curve(curves: List[str]) -> str:
    return "train_loss" if "loss" not in curves and "train_loss" in curves else "loss"


def _is_lower_better(name: str) -> bool:
    return name.endswith(LOWER_IS_BETTER)


def _printed(comparisons: List[Comparison], arguments: argparse.Namespace) -> str:
    if arguments.json:
        contents = [content_of(comparison) for comparison in comparisons]
        return json.dumps(contents, indent=1, allow_nan=False) + "\n"
    tell = table.as_markdown if arguments.markdown else table.as_text
    return "\n".join(tell(comparison) for comparison in comparisons)
