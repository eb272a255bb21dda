"""An evaluation run in a session of its own; see common.training.evaluation_run."""

from __future__ import annotations

import contextlib
from typing import Any, Callable, Iterator, NamedTuple

from common.ascend.compiled_graphs import CompiledLines
from common.training import evaluation_run
from common.training.evaluation_run import EvaluationRun, Files, Opened
from common.training.run import Evaluation
from common.training.tensorflow import runtime as tf_runtime
from common.training.tensorflow.engine import parameter_count
from common.training.tensorflow.runtime import tf


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


def run_evaluation(run: EvaluationRun, build: Callable[[Any], Evaluator]) -> None:
    """Evaluates and writes what came out.

    Args:
        build: from an open session to the evaluator, in the default graph.
    """
    device: Any = run.device

    @contextlib.contextmanager
    def opening() -> Iterator[Opened]:
        with tf.Graph().as_default(), tf_runtime.open_session(device, run.precision) as running:
            compiled = CompiledLines() if device.kind == "npu" else None
            built = build(running)
            yield Opened(
                parameter_count(built.network),
                tf_runtime.proof(device, running, built.probe),
                lambda heartbeat: built.evaluate(running),
                lambda found: built.files(running, found),
                lambda: None if compiled is None else compiled.proof(),
            )

    evaluation_run.run_evaluation(run, opening)
