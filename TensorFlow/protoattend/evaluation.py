"""Evaluates a checkpoint, or explains its decisions: metrics, curves, a gallery, a record."""

from __future__ import annotations

from typing import Any

from common.training.evaluation_run import Files
from common.training.run import Evaluation
from common.training.tensorflow import runtime as tf_runtime
from common.training.tensorflow.runtime import tf
from common.training.tensorflow.session import Evaluator, run_evaluation
from protoattend.kept import asked_to_explain
from protoattend.network.prototype_network import PrototypeNetwork, load_weights
from protoattend.options import Options
from protoattend.passes import SplitEvaluation
from protoattend.reports import TestReport, explain
from protoattend.runs import MODEL, Asked, asked_for, subject_of
from protoattend.session import Session, open_session


def run(options: Options) -> int:
    """Evaluates --checkpoint and writes what came out; returns the exit code."""
    asked = asked_for(options, "evaluation")
    session = open_session(asked.options, asked.dataset)

    def build(running: Any) -> Evaluator:
        evaluation = _built(running, session, asked)
        report = TestReport(evaluation.splits, asked.found)

        def evaluate(running: Any) -> Evaluation:
            return report.evaluate(lambda: evaluation.prepare(running), evaluation.decide(running))

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
    asked = asked_to_explain(options)
    session = open_session(asked.options, asked.dataset)
    device, precision = session.device, session.precision
    with session, tf.Graph().as_default(), tf_runtime.open_session(device, precision) as running:
        evaluation = _built(running, session, asked)
        evaluation.prepare(running)
        explain(evaluation.splits, asked, evaluation.decide(running))
    return 0


def _built(running: Any, session: Session, asked: Asked) -> SplitEvaluation:
    """The network and its passes in the default graph, with the checkpoint's weights."""
    network = PrototypeNetwork(asked.architecture)
    evaluation = SplitEvaluation(session, network)
    running.run(tf.local_variables_initializer())
    load_weights(running, network, asked.found)
    return evaluation
