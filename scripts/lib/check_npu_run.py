"""What the record of a run on an NPU has to say: check_npu_run.py RUN [--steps N] [--ranks N] ...

Prints what it found; where something is not as expected, that is the last line and the exit code 1.
"""

from __future__ import annotations

import argparse
import re
import statistics
import sys
from pathlib import Path
from typing import Any, Callable, Iterator, List, Optional, Sequence

CHECKOUT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(CHECKOUT))

from common.core.command_line import Parser, number_in, run_program  # noqa: E402
from common.core.errors import ZooError  # noqa: E402
from common.runs import events as run_log  # noqa: E402
from common.runs.record import COMPLETE, FILE_NAME, RunRecord, read_record  # noqa: E402

# The same weights in the same arithmetic: a decision or two may tip over, no more.
RELATIVE, ABSOLUTE = 0.01, 0.001
AT_AN_END = 10  # steps at either end of a training whose losses are compared
_STEPS_COMPILED = re.compile(r"(\d+) in the first training step, (\d+) in later steps")

Say = Callable[[str], None]


def ended_well(record: RunRecord) -> Iterator[str]:
    """What is wrong with the end of a run, or with where it ran."""
    if record.status != COMPLETE:
        yield f"the record says {record.status}: {record.reason}"
    if record.device.kind != "npu":
        yield f"the record says that {record.device.kind} computed, not an NPU"
    if record.health.nonfinite_steps:
        yield f"{record.health.nonfinite_steps} steps have a loss that is no finite number"


def compiled_for_the_npu(record: RunRecord, trains: bool) -> Iterator[str]:
    """What is wrong with the proof: TensorFlow counts graphs, torch tells where parameters are."""
    proof = record.health.proof
    if not record.device.framework.startswith("TensorFlow"):
        if "parameter tensors on" not in proof:
            yield f"nothing proves that the parameters were on the NPU: {proof!r}"
        return
    if "graph(s) compiled for the NPU" not in proof:
        yield f"no graph was seen to be compiled for the NPU: {proof!r}"
        return
    counts = _STEPS_COMPILED.search(proof)
    if trains and counts is None:
        yield f"the training step was not compiled for the NPU: {proof!r}"
    if trains and counts is not None and int(counts.group(2)):
        yield f"graphs were compiled again in later steps: {proof!r}"


def as_large(record: RunRecord, ranks: Optional[int], steps: Optional[int]) -> Iterator[str]:
    """Whether the run had as many ranks and steps as it was asked for."""
    if ranks is not None and record.device.count != ranks:
        yield f"the record says {record.device.count} ranks, not {ranks}"
    if steps is not None and record.progress.steps != steps:
        yield f"the run ended at step {record.progress.steps}, not {steps}"


def same_figures(record: RunRecord, other: RunRecord, absolute: float) -> Iterator[str]:
    """How the final figures of two runs differ; those that only one of them has are passed over."""
    here, there = record.metrics, other.metrics
    common = sorted(set(here.final) & set(there.final))
    if not common:
        yield "there is no figure to compare: an evaluation is missing"
        return
    if here.n_eval != there.n_eval:
        yield f"{here.n_eval} samples were evaluated, {there.n_eval} at the end of training"
    for name in common:
        found, expected = here.final[name], there.final[name]
        allowed = max(absolute, RELATIVE * max(abs(found), abs(expected)))
        if not abs(found - expected) <= allowed:
            yield f"{name} is {found:g}, and was {expected:g} at the end of training"


def events_of(folder: Path) -> List[Any]:
    """The events of the first rank's log."""
    return list(run_log.effective_events(folder / "rank_0" / run_log.FILE_NAME))


def went_on_at(events: Sequence[Any], step: int) -> Iterator[str]:
    """Whether the last start of a run was at this step."""
    starts = [event.get("resumed_step", 0) for event in events if event["event"] == "start"]
    if not starts or starts[-1] != step:
        yield "the run went on at step {}, not {}".format(starts[-1] if starts else "none", step)


def learnt(events: Sequence[Any]) -> Iterator[str]:
    """Whether the loss of the last steps is below that of the first."""
    losses = [
        event["loss"]
        for event in events
        if event["event"] == "step" and isinstance(event["loss"], (int, float))
    ]
    if len(losses) < 2 * AT_AN_END:
        yield f"the log has {len(losses)} steps with a loss, too few to tell"
        return
    first, last = (statistics.median(part) for part in (losses[:AT_AN_END], losses[-AT_AN_END:]))
    if not last < first:
        yield f"the loss did not fall: {first:g} at first, {last:g} at the end"


def has_files(folder: Path) -> Iterator[str]:
    """Whether the first rank left a profile."""
    found = [
        path
        for name in ("profiling", "profile")
        for place in (folder / "rank_0" / name, folder / name)
        if place.is_dir()
        for path in place.rglob("*")
        if path.is_file()
    ]
    if not found:
        yield f"there is no file of a profile in {folder}"


def problems(record: RunRecord, asked: argparse.Namespace) -> Iterator[str]:
    """Everything that is not as expected."""
    folder = Path(asked.run)
    yield from ended_well(record)
    yield from compiled_for_the_npu(record, not asked.evaluates)
    yield from as_large(record, asked.ranks, asked.steps)
    if asked.same_as is not None:
        yield from same_figures(
            record, read_record(Path(asked.same_as) / FILE_NAME), asked.absolute
        )
    if asked.resumed_at is not None:
        yield from went_on_at(events_of(folder), asked.resumed_at)
    if asked.learns:
        yield from learnt(events_of(folder))
    if asked.profile:
        yield from has_files(folder)


def tell(record: RunRecord, say: Say) -> None:
    """Says what a reader wants to know of a run, good or bad."""
    say(f"{record.progress.steps} steps, {record.device.count} rank(s) on {record.device.name}")
    say(f"precision: {record.precision.arithmetic}, {record.health.loss_scale_skips} steps skipped")
    say(f"speed: {record.speed.samples_per_second} samples per second")
    say(f"proof: {record.health.proof}")
    for name, value in sorted(record.metrics.final.items()):
        say(f"{name}: {value:g}")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags: each is one more thing to look at."""
    count = number_in(int, 0)
    parser.add_argument("run", help="the run folder")
    parser.add_argument("--evaluates", action="store_true", help="the run trains nothing")
    parser.add_argument("--learns", action="store_true", help="its loss falls")
    parser.add_argument("--profile", action="store_true", help="it leaves a profile")
    parser.add_argument("--steps", type=count, help="it ends at this step")
    parser.add_argument("--ranks", type=count, help="it has so many ranks")
    parser.add_argument("--resumed_at", type=count, help="its last start was at this step")
    parser.add_argument("--same_as", help="the run folder with the same final figures")
    parser.add_argument(
        "--absolute",
        type=number_in(float, 0),
        default=ABSOLUTE,
        help="by which they may differ, however small they are",
    )


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Checks one run; returns the exit code."""
    parser = Parser(prog="check_npu_run.py")
    add_arguments(parser)
    asked = parser.parse_args(arguments)
    record = read_record(Path(asked.run) / FILE_NAME)
    tell(record, lambda line: print(line, flush=True))
    found = list(problems(record, asked))
    if found:
        raise ZooError("; ".join(found))
    print("as expected")
    return 0


if __name__ == "__main__":
    run_program(main)
