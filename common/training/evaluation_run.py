"""Evaluates the weights of a checkpoint: a run log, files of metrics and pictures, a record."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Callable, ContextManager, Mapping, NamedTuple, Optional, Type, Union

from common.core.files import write_atomically
from common.core.stop_signal import StopSignal
from common.machine.devices import OpenedDevice
from common.machine.precision import Precision
from common.machine.ranks import Place
from common.runs.events import telling_the_end
from common.training import run_folder
from common.training.checkpoints import CHECKPOINTS, STATE
from common.training.lines import TrainingLines
from common.training.pictures import drawn_or_told
from common.training.run import Evaluation, Subject, open_run_log, start_event
from common.training.stored_weights import SUFFIX

Content = Union[str, bytes]
Files = Mapping[str, Union[Content, Callable[[], Content]]]


class Opened(NamedTuple):
    """A network that is ready to be evaluated.

    Attributes:
        parameters: numbers that are trained; proof: where it computes.
        evaluate: to the figures; calls what it is given now and then, so that a watcher sees it.
        files: from the figures to what is to be written, by file name; first rank. What can fail
            without loss, a picture, is a function that draws it.
        seen: what was seen of the device afterwards, None where that is no more than the proof.
    """

    parameters: int
    proof: str
    evaluate: Callable[[Callable[[], None]], Evaluation]
    files: Callable[[Evaluation], Files]
    seen: Callable[[], Optional[str]] = lambda: None


@dataclasses.dataclass(frozen=True)
class EvaluationRun:
    """A run that evaluates: where it writes, what it is, and of how many steps the weights are."""

    folder: Path
    device: OpenedDevice
    place: Place
    precision: Precision
    subject: Subject
    batch_size: int
    seed: int
    step: int
    lines: Type[TrainingLines] = TrainingLines


def output_folder(asked: Optional[str], checkpoint: str, name: str = "evaluation") -> str:
    """The folder that was asked for, else one of that name in the run's folder.

    For packed weights, which lie with the zoo, it is below output/ here.
    """
    place = Path(checkpoint)
    if place.suffix == SUFFIX:
        return asked or str(Path("output") / place.stem / name)
    if not place.is_dir():
        place = place.parent
    if (place / STATE).exists():
        place = place.parent
    if place.name == CHECKPOINTS:
        place = place.parent
    return asked or str(place / name)


def write_file(path: Path, content: Union[Content, Callable[[], Content]]) -> bool:
    """Writes a file whole; returns False where its content can't be drawn, which is told."""
    whole = drawn_or_told(path.name, content, print) if callable(content) else content
    if whole is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, whole)
    return whole is not None


def metrics_text(about: str, metrics: Mapping[str, float]) -> str:
    """metrics.txt: what was evaluated, then a line for each figure."""
    lines = [about, *(f"{name:<24} {value:.4f}" for name, value in metrics.items())]
    return "\n".join(lines) + "\n"


def run_evaluation(run: EvaluationRun, opening: Callable[[], ContextManager[Opened]]) -> None:
    """Evaluates and writes what came out, a record too where no launcher is to make it."""
    rank = run.place.rank
    claim = run_folder.claim(run.folder, False) if rank == 0 else None
    try:
        log = open_run_log(run.folder, rank)
        with log, telling_the_end(log, StopSignal()), opening() as opened:
            about = (run.subject, run.device, run.place, run.precision)
            numbers = (opened.parameters, opened.proof, run.batch_size, run.seed)
            log.event("start", **start_event(*about, *numbers))
            found = opened.evaluate(lambda: log.event("heartbeat", what="final"))
            seen = opened.seen()
            if seen is not None:
                log.event("device", proof=seen)
            log.event("evaluation", **found.told("final", run.step, 0))
            if claim is not None:
                lines = run.lines(0, 1, 1, 1, True)
                lines.log = claim.log
                lines.evaluation(run.step, found.split, "final", found.n, found.metrics)
                for name, content in opened.files(found).items():
                    write_file(run.folder / name, content)
    finally:
        if claim is not None:
            claim.release()
    if rank == 0:
        print(f"metrics, pictures and record: {run.folder}", flush=True)
