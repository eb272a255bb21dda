"""Evaluates a checkpoint, or explains its decisions: metrics, curves, a gallery, a record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from common.training.evaluation_run import Files
from common.training.run import Evaluation
from common.training.tensorflow import runtime as tf_runtime
from common.training.tensorflow.evaluation_run import Evaluator, run_evaluation
from common.training.tensorflow.runtime import tf
from protoattend.kept import kept_dataset
from protoattend.network.prototype_network import PrototypeNetwork, load_weights
from protoattend.options import Options
from protoattend.passes import SplitEvaluation
from protoattend.reports import TestReport, explain, tell_explanation
from protoattend.runs import MODEL, Asked, asked_for, is_data_asked_for, subject_of
from protoattend.session import Session, open_session


def run(options: Options) -> int:
    """Evaluates --checkpoint and writes what came out; returns the exit code."""
    asked = asked_for(options, "evaluation")
    session = open_session(asked.options, asked.dataset)

    def build(running: Any) -> Evaluator:
        evaluation = _built(running, session, asked)
        report = TestReport(evaluation.splits, asked.found)

        def evaluate(running: Any) -> Evaluation:
            fill = lambda: evaluation.prepare(running)  # noqa: E731
            return report.evaluate(fill, evaluation.decide(running))

        def files(running: Any, result: Evaluation) -> Files:
            return report.files()

        return Evaluator(evaluation.network, evaluation.passes.probe, evaluate, files)

    return run_evaluation(
        session,
        asked.folder,
        subject_of(MODEL, session.options, session.dataset, asked.architecture),
        session.options.random_seed,
        asked.found.step,
        build,
    )


def run_explanation(options: Options) -> int:
    """Explains --images, or test images; writes pictures and a gallery; returns the exit code."""
    kept = None if is_data_asked_for(options) else kept_dataset(str(options.checkpoint))
    asked = asked_for(options, "explanation", kept)
    with open_session(asked.options, asked.dataset) as session:
        with tf.Graph().as_default(), tf_runtime.open_session(
            session.device, session.precision
        ) as running:
            evaluation = _built(running, session, asked)
            evaluation.prepare(running)
            shape, decide = asked.architecture.image_shape, evaluation.decide(running)
            decisions, header = explain(evaluation.splits, asked.found, shape, decide)
        tell_explanation(decisions, header, asked.dataset.class_names, Path(asked.folder))
    return 0


def _built(running: Any, session: Session, asked: Asked) -> SplitEvaluation:
    """The network and its passes in the default graph, with the checkpoint's weights."""
    network = PrototypeNetwork(asked.architecture)
    evaluation = SplitEvaluation(session, network)
    running.run(tf.local_variables_initializer())
    load_weights(running, network, asked.found)
    return evaluation
