"""What the record of a run on an NPU has to say: check_npu_run.py RUN [--steps N] [--ranks N] ...

Prints what it found; where something is not as expected, that is the last line and the exit code 1.
"""

from __future__ import annotations

import argparse
import re
import statistics
import sys
from pathlib import Path
from typing import Iterator, Optional, Sequence

CHECKOUT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(CHECKOUT))

from common.core.command_line import Parser, number_in, run_program  # noqa: E402
from common.core.errors import ZooError  # noqa: E402
from common.runs.events import FILE_NAME as EVENTS  # noqa: E402
from common.runs.events import effective_events  # noqa: E402
from common.runs.record import COMPLETE, FILE_NAME, RunRecord, read_record  # noqa: E402

# The same weights in the same arithmetic: a decision or two may tip over, no more.
RELATIVE, ABSOLUTE = 0.01, 0.001
AT_AN_END = 10  # steps at either end of a training whose losses are compared


def problems(record: RunRecord, asked: argparse.Namespace) -> Iterator[str]:
    """Everything that is not as expected."""
    device, steps, folder = record.device, record.progress.steps, Path(asked.run)
    if record.status != COMPLETE:
        yield f"the record says {record.status}: {record.reason}"
    if device.kind != "npu":
        yield f"the record says that {device.kind} computed, not an NPU"
    if record.health.nonfinite_steps:
        yield f"{record.health.nonfinite_steps} steps have a loss that is no finite number"
    yield from _unproven(record, not asked.evaluates)
    if "HF32" in record.precision.arithmetic:
        yield "the record says that convolutions were HF32; unset ENABLE_HF32_EXECUTION"
    if asked.ranks not in (None, device.count):
        yield f"the record says {device.count} ranks, not {asked.ranks}"
    if asked.steps not in (None, steps):
        yield f"the run ended at step {steps}, not {asked.steps}"
    if asked.same_as is not None:
        other = read_record(Path(asked.same_as) / FILE_NAME)
        yield from _other_figures(record, other, asked.absolute)
    yield from _other_course(folder, asked)
    places = [folder / "rank_0" / "profiling", folder / "rank_0" / "profile"]
    places += [folder / "profiling", folder / "profile"]
    if asked.profile and not any(path.is_file() for one in places for path in one.rglob("*")):
        yield f"there is no file of a profile in {folder}"


def _unproven(record: RunRecord, trains: bool) -> Iterator[str]:
    """What is wrong with the proof: TensorFlow counts graphs, torch tells where parameters are."""
    proof = record.health.proof
    if not record.device.framework.startswith("TensorFlow"):
        if "parameter tensors on" not in proof:
            yield f"nothing proves that the parameters were on the NPU: {proof!r}"
        return
    counts = re.search(r"(\d+) in the first training step, (\d+) in later steps", proof)
    if "graph(s) compiled for the NPU" not in proof:
        yield f"no graph was seen to be compiled for the NPU: {proof!r}"
    elif trains and counts is None:
        yield f"the training step was not compiled for the NPU: {proof!r}"
    elif trains and counts is not None and int(counts.group(2)):
        yield f"graphs were compiled again in later steps: {proof!r}"


def _other_figures(record: RunRecord, other: RunRecord, absolute: float) -> Iterator[str]:
    """How the final figures of two runs differ; those that only one of them has are passed over."""
    here, there = record.metrics, other.metrics
    common = sorted(set(here.final) & set(there.final))
    if not common:
        yield "there is no figure to compare: an evaluation is missing"
    elif here.n_eval != there.n_eval:
        yield f"{here.n_eval} samples were evaluated, {there.n_eval} at the end of training"
    for name in common:
        found, expected = here.final[name], there.final[name]
        allowed = max(absolute, RELATIVE * max(abs(found), abs(expected)))
        if not abs(found - expected) <= allowed:
            yield f"{name} is {found:g}, and was {expected:g} at the end of training"


def _other_course(folder: Path, asked: argparse.Namespace) -> Iterator[str]:
    """Whether the last start was not at the step that is asked for, or the loss did not fall."""
    if asked.resumed_at is None and not asked.learns:
        return
    events = list(effective_events(folder / "rank_0" / EVENTS))
    starts = [event.get("resumed_step", 0) for event in events if event["event"] == "start"]
    if asked.resumed_at is not None and starts[-1:] != [asked.resumed_at]:
        went_on = starts[-1] if starts else "none"
        yield f"the run went on at step {went_on}, not {asked.resumed_at}"
    losses = [event["loss"] for event in events if event["event"] == "step"]
    losses = [loss for loss in losses if isinstance(loss, (int, float))]
    if asked.learns and len(losses) < 2 * AT_AN_END:
        yield f"the log has {len(losses)} steps with a loss, too few to tell"
    elif asked.learns:
        first, last = map(statistics.median, (losses[:AT_AN_END], losses[-AT_AN_END:]))
        if not last < first:
            yield f"the loss did not fall: {first:g} at first, {last:g} at the end"


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Tells what a reader wants to know of a run, good or bad, and checks it."""
    parser, count = Parser(prog="check_npu_run.py"), number_in(int, 0)
    parser.add_argument("run", help="the run folder")
    parser.add_argument("--evaluates", action="store_true", help="the run trains nothing")
    parser.add_argument("--learns", action="store_true", help="its loss falls")
    parser.add_argument("--profile", action="store_true", help="it leaves a profile")
    parser.add_argument("--steps", type=count, help="it ends at this step")
    parser.add_argument("--ranks", type=count, help="it has so many ranks")
    parser.add_argument("--resumed_at", type=count, help="its last start was at this step")
    parser.add_argument("--same_as", help="the run folder with the same final figures")
    text = "by which they may differ, however small they are"
    parser.add_argument("--absolute", type=number_in(float, 0), default=ABSOLUTE, help=text)
    asked = parser.parse_args(arguments)
    record = read_record(Path(asked.run) / FILE_NAME)
    device, skipped = record.device, record.health.loss_scale_skips
    print(f"{record.progress.steps} steps, {device.count} rank(s) on {device.name}")
    print(f"precision: {record.precision.arithmetic}, {skipped} steps skipped")
    print(f"speed: {record.speed.samples_per_second} samples per second")
    print(f"proof: {record.health.proof}")
    for name, value in sorted(record.metrics.final.items()):
        print(f"{name}: {value:g}")
    found = list(problems(record, asked))
    sys.stdout.flush()
    if found:
        raise ZooError("; ".join(found))
    print("as expected")
    return 0


if __name__ == "__main__":
    run_program(main)
