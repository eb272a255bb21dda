"""Evaluates the weights of a checkpoint: a run log, files of metrics and pictures, a record."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Callable, Mapping, NamedTuple, Optional, Union

from common.ascend.compiled_graphs import CompiledLines, proof_by
from common.core.files import write_atomically
from common.core.stop_signal import StopSignal
from common.machine.precision import Precision
from common.runs import record as run_record
from common.runs.events import telling_the_end
from common.runs.marker import MARKER
from common.training.pictures import drawn_or_told
from common.training.tensorflow import runtime as tf_runtime
from common.training.tensorflow.checkpoint import CHECKPOINTS, STATE
from common.training.tensorflow.description import Evaluation, Subject
from common.training.tensorflow.progress import ProgressLines
from common.training.tensorflow.run_start import Targets, open_run_log, start_event
from common.training.tensorflow.runtime import TensorFlowDevice, tf
from common.training.tensorflow.step_graph import parameter_count

Content = Union[str, bytes]
Files = Mapping[str, Union[Content, Callable[[], Content]]]


class Evaluator(NamedTuple):
    """What is done with a network.

    Attributes:
        network: with its weights loaded.
        probe: a tensor that takes one pass of the network, whose devices are looked at.
        evaluate: from a session to the figures.
        files: from a session and the figures to what is to be written, by file name; first rank.
            What can fail without loss, a picture, is a function that draws it.
    """

    network: Any
    probe: Any
    evaluate: Callable[[Any], Evaluation]
    files: Callable[[Any, Evaluation], Files]


@dataclasses.dataclass(frozen=True)
class EvaluationRun:
    """A run that evaluates: where it writes, what it is, and of how many steps the weights are."""

    folder: Path
    device: TensorFlowDevice
    precision: Precision
    subject: Subject
    batch_size: int
    seed: int
    step: int


def output_folder(asked: Optional[str], checkpoint: str, name: str = "evaluation") -> str:
    """The folder that was asked for, else one of that name in the run's folder."""
    place = Path(checkpoint)
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
        write_atomically(path, whole)
    return whole is not None


def run_evaluation(run: EvaluationRun, build: Callable[[Any], Evaluator]) -> None:
    """Evaluates and writes what came out.

    Args:
        build: from an open session to the evaluator, in the default graph.
    """
    rank = run.device.place.rank
    with open_run_log(run.folder, run.device) as log, telling_the_end(
        log, StopSignal()
    ), tf.Graph().as_default(), tf_runtime.open_session(run.device, run.precision) as running:
        compiled = CompiledLines() if run.device.kind == "npu" else None
        evaluator = build(running)
        log.event(
            "start",
            **start_event(
                run.subject,
                run.device,
                run.precision,
                Targets(run.batch_size, run.seed),
                parameter_count(evaluator.network),
                tf_runtime.proof(run.device, running, evaluator.probe),
            ),
        )
        found = evaluator.evaluate(running)
        proof = None if compiled is None else proof_by(compiled)
        if proof is not None:
            log.event("device", proof=proof)
        log.event(
            "evaluation",
            split=found.split,
            role="final",
            step=run.step,
            epoch=0,
            n=found.n,
            metrics=dict(found.metrics),
        )
        if rank == 0:
            ProgressLines(0, 1, 1, True).evaluation(
                run.step, found.split, "final", found.n, found.metrics
            )
            for name, content in evaluator.files(running, found).items():
                write_file(run.folder / name, content)
    if rank == 0:
        if not (run.folder / MARKER).exists():  # else the launcher makes it
            run_record.write_record(run_record.from_run_folder(run.folder), run.folder)
        print(f"metrics, pictures and record: {run.folder}", flush=True)
