"""What a comparison is to do: from what the user asks, by the network's card."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, fields
from typing import List, Optional, Tuple

from common.cards.model_card import Task
from common.cards.model_folders import checkout_root, find_card, split_name
from common.core.command_line import number_in
from common.evidence.comparison.runs import Group, Run, names_of_curves
from common.evidence.comparison.verdicts import LOSS_MARGIN, Judged

WINDOW = 50
LOWER_IS_BETTER = ("loss", "error", "seconds")


@dataclass(frozen=True)
class Settings:
    """What the user asked for.

    Attributes:
        judged: the metric that PrecisionStatus is about.
        curve: the series that is aligned, windowed and drawn.
        window: samples in a window, at most.
        target: a value of the curve.
        global_batch, n_eval: samples in a step and in the test set, for runs that don't say.
        whole: the value of the judged metric when all is right: 100 for percent.
    """

    judged: Judged
    curve: str = "loss"
    curve_higher_is_better: bool = False
    window: int = WINDOW
    at_step: Optional[int] = None
    target: Optional[float] = None
    global_batch: Optional[int] = None
    n_eval: int = 0
    whole: float = 1.0


@dataclass(frozen=True)
class Asked:
    """What `zoo compare` is asked by flags of the same names; defaults leave all to the card."""

    metric: Optional[str] = None
    model: Optional[str] = None
    margin: Optional[float] = None
    at_step: Optional[int] = None
    window: int = WINDOW
    target: Optional[float] = None
    batch_size: Optional[int] = None
    n_eval: Optional[int] = None


def add_settings_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags that every command with a comparison has."""
    parser.add_argument(
        "--metric",
        help="what PrecisionStatus judges; a training curve such as "
        "loss is judged by its last window (default: the card's metric)",
    )
    parser.add_argument(
        "--model",
        metavar="MODEL[/TASK]",
        help="whose card says metric and margin (default: the records')",
    )
    parser.add_argument(
        "--margin",
        type=number_in(float, 0),
        help="how much worse still passes: "
        f"in the metric's unit; a share for a curve (default: the card's; {LOSS_MARGIN:g} for "
        "a curve)",
    )
    parser.add_argument("--at_step", type=number_in(int, 0), help="tell the curve at this step")
    parser.add_argument(
        "--window", type=number_in(int, 2), default=WINDOW, help="samples in a window, at most"
    )


def asked_in(arguments: argparse.Namespace) -> Asked:
    """What a command line asks, as far as the command has the flags."""
    return Asked(
        **{
            field.name: getattr(arguments, field.name)
            for field in fields(Asked)
            if hasattr(arguments, field.name)
        }
    )


def settings_of(asked: Asked, groups: List[Group]) -> Settings:
    """What to compare, from what was asked, the records and the card."""
    task = _task_of(asked.model, groups)
    curves = names_of_curves(groups)
    judged, curve = _judged(asked, task, curves)
    return Settings(
        judged=judged,
        curve=curve,
        curve_higher_is_better=not _is_lower_better(curve),
        window=asked.window,
        at_step=asked.at_step,
        target=asked.target,
        global_batch=asked.batch_size,
        n_eval=asked.n_eval or 0,
        whole=100.0 if judged.unit == "percent" else 1.0,
    )


def _task_of(named: Optional[str], groups: List[Group]) -> Optional[Task]:
    """The card's task: the one named, else the records', else None."""
    known: List[Run] = [run for group in groups for run in group.runs if run.model]
    if named is None and not known:
        return None
    with_task = [run for run in known if run.task] or known
    model, task = split_name(named) if named else (with_task[0].model, with_task[0].task)
    return find_card(checkout_root(), model).task(task or None)


def _judged(asked: Asked, task: Optional[Task], curves: List[str]) -> Tuple[Judged, str]:
    """The judged metric and the curve that is drawn beside it."""
    metric = task.metric if task else None
    name = asked.metric or (metric.name if metric else "accuracy")
    if metric is not None and name == metric.name:
        margin = metric.margin if asked.margin is None else asked.margin
        unit = metric.unit if metric.unit != "fraction" else ""
        return Judged(name, metric.higher_is_better, margin, unit=unit), _main_curve(curves)
    if asked.metric is None or name not in curves or asked.n_eval:
        return Judged(name, not _is_lower_better(name), asked.margin), _main_curve(curves)
    margin = LOSS_MARGIN if asked.margin is None else asked.margin
    return Judged(name, not _is_lower_better(name), margin, is_curve=True), name


def _main_curve(curves: List[str]) -> str:
    return "train_loss" if "loss" not in curves and "train_loss" in curves else "loss"


def _is_lower_better(name: str) -> bool:
    return name.endswith(LOWER_IS_BETTER)
