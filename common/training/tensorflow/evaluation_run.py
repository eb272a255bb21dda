"""An evaluation run in a session of its own; see common.training.evaluation_run."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any, Callable, Iterator, NamedTuple

from common.ascend.compiled_graphs import CompilationWatch
from common.training import evaluation_run
from common.training.evaluation_run import EvaluationRun, Files, Opened
from common.training.run import Evaluation, Subject
from common.training.tensorflow import runtime as tf_runtime
from common.training.tensorflow.engine import parameter_count
from common.training.tensorflow.runtime import tf
from common.training.tensorflow.session import Session


class Evaluator(NamedTuple):
    """What is done with a network.

    Attributes:
        network: with its weights loaded.
        probe: a tensor that takes one pass of the network, whose devices are looked at.
        evaluate: from a session to the figures.
        files: from a session and the figures to what is to be written, see Opened.
    """

    network: Any
    probe: Any
    evaluate: Callable[[Any], Evaluation]
    files: Callable[[Any, Evaluation], Files]


def run_evaluation(
    session: Session,
    folder: str,
    subject: Subject,
    seed: int,
    step: int,
    build: Callable[[Any], Evaluator],
) -> int:
    """Evaluates, writes what came out, and closes the session; returns 0.

    Args:
        step: of how many steps the weights are.
        build: from an open session to the evaluator, in the default graph.
    """
    device, precision = session.device, session.precision

    @contextlib.contextmanager
    def opening() -> Iterator[Opened]:
        with tf.Graph().as_default(), tf_runtime.open_session(device, precision) as running:
            compiled = CompilationWatch(device.kind == "npu")
            built = build(running)
            yield Opened(
                parameter_count(built.network),
                tf_runtime.proof(device, running, built.probe),
                lambda heartbeat: built.evaluate(running),
                lambda found: built.files(running, found),
                compiled.proof,
            )

    batch_size = session.options.evaluation_batch_size
    run = EvaluationRun(
        Path(folder), device, session.place, precision, subject, batch_size, seed, step
    )
    with session:
        evaluation_run.run_evaluation(run, opening)
    return 0
